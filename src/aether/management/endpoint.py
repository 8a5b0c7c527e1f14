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
from aether.management.facts import Answer, Facts
from aether.management.row_store import RowStore, Wanted
from aether.management.schema import Field, Kind, Schema
from aether.model.access import Role
from aether.model.ids import NAME_CHARS_MAX
from aether.model.limits import INSTANCES_MAX, KEY_BYTES_MAX
from aether.web.request import Request, Response

Query = Mapping[str, object]
Body = Mapping[str, object]
Read = Callable[[Facts, Query, Mapping[str, str]], Answer]
Change = Callable[[Actors, Body, str], Awaitable[Changed]]
Look = Callable[[RowStore, Query], Awaitable[Answer]]
Wish = Callable[[Body], Wanted]
Ask = Callable[[Actors, Query, Mapping[str, str]], Awaitable[Answer]]
Serve = Callable[[Actors, Request, Query, Mapping[str, str]], Awaitable[Response]]

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
    serve      answers a GET with what is no JSON object: text, a page, a stream, a WebSocket
    is_backup  answers a GET with the file
    is_dashboard  answers a GET with the WebSocket behind the page
    change     carries out a POST (and PUT, as the original); its body holds the variables of the path too
    wish       reads from a POST which row is to be written

    role       that a caller needs
    also       further verbs that `serve` answers
    deletes    the change answers DELETE instead of POST and PUT
    toml       the body may be TOML, or plain text, instead of JSON; it then stands for the field `toml`
    rehearse   answers `?dry_run=true` instead of the change, and changes nothing; without it the change itself runs up
               to its first batch, which is shown and not written. A change that does more than write rows must not
               have DRY_RUN in its query
    needs_name whoever asks must have said who it is, whatever --insecure says
    is_secret  the answer holds what no log may show
    is_act     the change is no batch of rows but something done, perhaps by another task or node, such as a call: its
               audit is written before it. With DRY_RUN in its query it has a `rehearse`
    """

    path: str
    about: str
    role: Role
    query: Schema
    body: Schema = NO_BODY
    read: Read | None = None
    look: Look | None = None
    ask: Ask | None = None
    serve: Serve | None = None
    also: tuple[str, ...] = ()
    is_backup: bool = False
    is_dashboard: bool = False
    change: Change | None = None
    wish: Wish | None = None
    deletes: bool = False
    toml: bool = False
    rehearse: Change | None = None
    needs_name: bool = False
    is_secret: bool = False
    is_act: bool = False

    @property
    def changes_something(self) -> bool:
        return self.change is not None or self.wish is not None

    @property
    def verbs(self) -> tuple[str, ...]:
        if self.deletes:
            return ("DELETE",)
        return ("POST", "PUT") if self.changes_something else ("GET", *self.also)


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
DRY_RUN: Final = Field("dry_run", Kind.FLAG, also=("dryRun",), about="say what would be written, and write nothing")
REHEARSED: Final = Schema((DRY_RUN,))
WAIT: Final = Schema(
    (Field("wait", Kind.SECONDS, high=WAIT_S_MAX, about="answer when instances are ACTIVE as desired, or 504"), DRY_RUN)
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
    (Field("wait", Kind.SECONDS, high=WAIT_S_MAX, about="answer when the group has changed as asked, or 504"), DRY_RUN)
)


def get(path: str, about: str, read: Callable[[Facts, Query], Answer]) -> Endpoint:
    """A GET for every viewer that is answered from the facts."""
    return Endpoint(
        path=path, about=about, role=Role.VIEWER, query=Schema(FRESH), read=lambda facts, query, _: read(facts, query)
    )
