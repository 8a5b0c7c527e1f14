"""What one path of the admin API is, and the fields that many of them share.

Knows: verbs, schemas, handlers; whoever carries mutations out.
Never: which paths there are, access rules, waiting.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import attrs

from aether.management.actors import Actors
from aether.management.commands import Changed
from aether.management.queries import Answer, Facts
from aether.management.row_store import RowStore, Wanted
from aether.management.schema import Field, Kind, Schema
from aether.model.ids import NAME_CHARS_MAX
from aether.model.limits import INSTANCES_MAX, KEY_BYTES_MAX

Query = Mapping[str, object]
Body = Mapping[str, object]
Read = Callable[[Facts, Query, Mapping[str, str]], Answer]
Change = Callable[[Actors, Body, str], Awaitable[Changed]]
Look = Callable[[RowStore, Query], Awaitable[Answer]]
Wish = Callable[[Body], Wanted]
Ask = Callable[[Actors, Query, Mapping[str, str]], Awaitable[Answer]]

NO_BODY: Final = Schema()
WAIT_S_MAX: Final = 3600.0
WATCH_S_MAX: Final = 60.0
CHANGES_MAX: Final = 1000
OVERRIDE_S_MAX: Final = 366 * 86_400.0
NUMBER_MAX: Final = 2**63 - 1  # revisions and numbers of blueprints are 64-bit integers


@attrs.frozen(kw_only=True)
class Endpoint:
    """One path.

    Exactly one says what it does:
    read       answers a GET, from the facts
    look       answers a GET, from the rows, perhaps after waiting
    ask        answers a GET, by asking who carries mutations out
    is_backup  answers a GET with the file
    change     carries out a POST (and PUT, as the original); its body holds the variables of the path too
    wish       reads from a POST which row is to be written
    toml       the body may be TOML, or plain text, instead of JSON; it then stands for the field `toml`
    """

    path: str
    about: str
    query: Schema
    body: Schema = NO_BODY
    read: Read | None = None
    look: Look | None = None
    ask: Ask | None = None
    is_backup: bool = False
    change: Change | None = None
    wish: Wish | None = None
    toml: bool = False

    @property
    def changes_something(self) -> bool:
        return self.change is not None or self.wish is not None

    @property
    def verbs(self) -> tuple[str, ...]:
        return ("POST", "PUT") if self.changes_something else ("GET",)


FRESH: Final = (
    Field("consistent", Kind.FLAG, about="read after everything acknowledged before, by asking the majority"),
    Field(
        "min_revision",
        Kind.WHOLE,
        also=("minRevision",),
        high=NUMBER_MAX,
        about="read once this node has applied that revision",
    ),
)
WAIT: Final = Schema(
    (Field("wait", Kind.SECONDS, high=WAIT_S_MAX, about="answer when instances are ACTIVE as desired, or 504"),)
)
ARTIFACT: Final = Field(
    "artifact",
    Kind.TEXT,
    required=True,
    also=("artifactBase", "artifact_base"),
    low=1,
    high=512,
    about="group:artifact:version; for scale and undeploy the version may be left out",
)
INSTANCES: Final = Field("instances", Kind.WHOLE, high=INSTANCES_MAX, about="how many instances are wanted")
BY: Final = Field("appliedBy", Kind.TEXT, also=("applied_by",), high=200, about="who applied it, for the record")
FOR: Final = Field(
    "forSeconds",
    Kind.SECONDS,
    also=("for_s", "for"),
    high=OVERRIDE_S_MAX,
    about="after so long the blueprint's count holds again",
)
UNTIL: Final = Field("until", Kind.SECONDS, high=1e12, about="the same as seconds since 1970")
REASON: Final = Field("reason", Kind.TEXT, high=300, about="why, for whoever wonders later")

KEY: Final = Field(
    "key", Kind.TEXT, required=True, low=1, high=KEY_BYTES_MAX, about="text of the key, such as maps/NAME/KEY"
)
PREFIX: Final = Field("prefix", Kind.TEXT, high=KEY_BYTES_MAX, about="only keys that begin so")
IF_VERSION: Final = Field(
    "ifVersion",
    Kind.WHOLE,
    also=("if_version",),
    high=NUMBER_MAX,
    about="do nothing unless the row has this version; 0 = it does not exist",
)
FORCE: Final = Field("force", Kind.FLAG, about="write even a row that the cluster keeps itself")


NODE: Final = Field(
    "node", Kind.TEXT, required=True, also=("nodeId", "node_id"), low=1, high=NAME_CHARS_MAX, about="id of a member"
)
ADDRESS: Final = Field(
    "address", Kind.TEXT, required=True, low=1, high=300, about="host:port of its cluster port, as others dial it"
)
WAIT_GROUP: Final = Schema(
    (Field("wait", Kind.SECONDS, high=WAIT_S_MAX, about="answer when the group has changed as asked, or 504"),)
)


def get(path: str, about: str, read: Callable[[Facts, Query], Answer]) -> Endpoint:
    """A GET that is answered from the facts."""
    return Endpoint(path=path, about=about, query=Schema(FRESH), read=lambda facts, query, _: read(facts, query))
