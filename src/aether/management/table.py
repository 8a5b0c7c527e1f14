"""Every path of the admin API, in one table.

Knows: path, verbs, query and body schema, handler, whether it changes anything.
Never: access rules, waiting.
Holds: each path is mounted at `/` and at `/api`; the reference page, the OpenAPI document and the tests are made from
       this table, so they cannot disagree with it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import attrs

from aether.management import commands, contract_queries, member_commands, queries, rows_service
from aether.management.commands import Changed
from aether.management.queries import Answer, Facts
from aether.management.row_store import RowStore, Wanted
from aether.management.schema import Field, Kind, Schema
from aether.management.view import Members, Operator
from aether.model.ids import NAME_CHARS_MAX
from aether.model.limits import HTTP_MANAGEMENT_BODY_BYTES_MAX, INSTANCES_MAX, KEY_BYTES_MAX, VALUE_BYTES_MAX
from aether.web.router import HttpRouter

Query = Mapping[str, object]
Body = Mapping[str, object]
Read = Callable[[Facts, Query, Mapping[str, str]], Answer]
Change = Callable[[Operator, Body, str], Awaitable[Changed]]
Regroup = Callable[[Members, Body, str], Awaitable[Changed]]
Look = Callable[[RowStore, Query], Awaitable[Answer]]
Wish = Callable[[Body], Wanted]

NO_BODY: Final = Schema()
WAIT_S_MAX: Final = 3600.0
WATCH_S_MAX: Final = 60.0
CHANGES_MAX: Final = 1000
NUMBER_MAX: Final = 2**63 - 1  # revisions and numbers of blueprints are 64-bit integers
PREFIXES: Final = ("", "/api")


@attrs.frozen(kw_only=True)
class Endpoint:
    """One path.

    Exactly one says what it does:
    read       answers a GET, from the facts
    look       answers a GET, from the rows, perhaps after waiting
    is_backup  answers a GET with the file
    change     carries out a POST (and PUT, as the original), by the operator
    regroup    carries out a POST about the membership
    wish       reads from a POST which row is to be written
    toml       the body may be TOML, or plain text, instead of JSON; it then stands for the field `toml`
    """

    path: str
    about: str
    query: Schema
    body: Schema = NO_BODY
    read: Read | None = None
    look: Look | None = None
    is_backup: bool = False
    change: Change | None = None
    regroup: Regroup | None = None
    wish: Wish | None = None
    toml: bool = False

    @property
    def changes_something(self) -> bool:
        return self.change is not None or self.wish is not None or self.regroup is not None

    @property
    def verbs(self) -> tuple[str, ...]:
        return ("POST", "PUT") if self.changes_something else ("GET",)


_FRESH: Final = (
    Field("consistent", Kind.FLAG, about="read after everything acknowledged before, by asking the majority"),
    Field(
        "min_revision",
        Kind.WHOLE,
        also=("minRevision",),
        high=NUMBER_MAX,
        about="read once this node has applied that revision",
    ),
)
_WAIT: Final = Schema(
    (Field("wait", Kind.SECONDS, high=WAIT_S_MAX, about="answer when instances are ACTIVE as desired, or 504"),)
)
_ARTIFACT: Final = Field(
    "artifact",
    Kind.TEXT,
    required=True,
    also=("artifactBase", "artifact_base"),
    low=1,
    high=512,
    about="group:artifact:version; for scale and undeploy the version may be left out",
)
_INSTANCES: Final = Field("instances", Kind.WHOLE, high=INSTANCES_MAX, about="how many instances are wanted")
_BY: Final = Field("appliedBy", Kind.TEXT, also=("applied_by",), high=200, about="who applied it, for the record")


_KEY: Final = Field(
    "key", Kind.TEXT, required=True, low=1, high=KEY_BYTES_MAX, about="text of the key, such as maps/NAME/KEY"
)
_PREFIX: Final = Field("prefix", Kind.TEXT, high=KEY_BYTES_MAX, about="only keys that begin so")
_IF_VERSION: Final = Field(
    "ifVersion",
    Kind.WHOLE,
    also=("if_version",),
    high=NUMBER_MAX,
    about="do nothing unless the row has this version; 0 = it does not exist",
)
_FORCE: Final = Field("force", Kind.FLAG, about="write even a row that the cluster keeps itself")


_NODE: Final = Field(
    "node", Kind.TEXT, required=True, also=("nodeId", "node_id"), low=1, high=NAME_CHARS_MAX, about="id of a member"
)
_ADDRESS: Final = Field(
    "address", Kind.TEXT, required=True, low=1, high=300, about="host:port of its cluster port, as others dial it"
)
_WAIT_GROUP: Final = Schema(
    (Field("wait", Kind.SECONDS, high=WAIT_S_MAX, about="answer when the group has changed as asked, or 504"),)
)


def _member(path: str, about: str, regroup: Regroup, fields: tuple[Field, ...]) -> Endpoint:
    return Endpoint(path=path, about=about, query=_WAIT_GROUP, body=Schema(fields), regroup=regroup)


def _get(path: str, about: str, read: Callable[[Facts, Query], Answer]) -> Endpoint:
    return Endpoint(path=path, about=about, query=Schema(_FRESH), read=lambda facts, query, _: read(facts, query))


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    _get("/health", "Whether the cluster can decide, and what is missing.", queries.health),
    _get("/status", "This node: role, leader, term, revision, addresses.", queries.status),
    _get("/nodes", "The reachable members.", queries.nodes),
    _get("/members", "All members, reachable or not.", queries.members),
    _get("/slices", "Every slice of the cluster with its state.", queries.slices),
    _get("/slices/status", "Every instance with state, node, reason and attempt.", queries.slices_status),
    _get("/routes", "Every HTTP route of the slices.", queries.routes),
    _get("/contracts", "The versions whose contract is known.", contract_queries.contracts),
    Endpoint(
        path="/contracts/{artifact}",
        about="The contract of one version as data: methods, schemas, faults.",
        query=Schema(_FRESH),
        read=lambda facts, query, variables: contract_queries.contract(facts, query, variables["artifact"]),
    ),
    _get("/blueprints", "The blueprints in force.", queries.blueprints),
    Endpoint(
        path="/blueprints/{id}",
        about="One blueprint with its text.",
        query=Schema(
            (*_FRESH, Field("number", Kind.WHOLE, low=1, high=NUMBER_MAX, about="an earlier one of the same id"))
        ),
        read=lambda facts, query, variables: queries.blueprint(facts, query, variables["id"]),
    ),
    Endpoint(
        path="/maps/{name}",
        about="Entries of a replicated map as this node holds them, in key order.",
        query=Schema(
            (
                *_FRESH,
                Field("after", Kind.TEXT, high=4096, about="`next` of the page before, or any key that is text"),
                Field("limit", Kind.WHOLE, low=1, high=1000, about="entries on one page, 100 by default"),
            )
        ),
        read=lambda facts, query, variables: queries.map_page(facts, query, variables["name"]),
    ),
    Endpoint(
        path="/kv",
        about="Rows of the replicated store, in the order of their keys.",
        query=Schema(
            (
                *_FRESH,
                _PREFIX,
                Field("after", Kind.TEXT, high=KEY_BYTES_MAX, about="`next` of the page before, or any key"),
                Field("limit", Kind.WHOLE, low=1, high=1000, about="rows on one page, 100 by default"),
            )
        ),
        look=rows_service.list_rows,
    ),
    Endpoint(
        path="/kv/row",
        about="One row of the replicated store.",
        query=Schema((*_FRESH, _KEY)),
        look=rows_service.get_row,
    ),
    Endpoint(
        path="/kv/changes",
        about="What changed after a revision: a watch is one of these after the other.",
        query=Schema(
            (
                *_FRESH,
                _PREFIX,
                Field("since", Kind.WHOLE, high=NUMBER_MAX, about="`revision` of the answer before; none = begin now"),
                Field("wait", Kind.SECONDS, high=WATCH_S_MAX, about="how long to wait for the first change"),
                Field("limit", Kind.WHOLE, low=1, high=CHANGES_MAX, about="about how many changes, 100 by default"),
            )
        ),
        look=rows_service.list_changes,
    ),
    Endpoint(
        path="/kv/put",
        about="Write one row.",
        query=NO_BODY,
        body=Schema(
            (
                _KEY,
                Field("value", Kind.ANY, about="any JSON value, stored as maps store it"),
                Field("base64", Kind.TEXT, high=VALUE_BYTES_MAX * 4 // 3 + 4, about="the bytes themselves"),
                _IF_VERSION,
                _FORCE,
            )
        ),
        wish=rows_service.put_wish,
    ),
    Endpoint(
        path="/kv/delete",
        about="Delete one row; one that is not there is no failure.",
        query=NO_BODY,
        body=Schema((_KEY, _IF_VERSION, _FORCE)),
        wish=rows_service.delete_wish,
    ),
    Endpoint(
        path="/backup",
        about="The state of the cluster at one revision, as a file for `aether restore`.",
        query=Schema(
            (Field("consistent", Kind.FLAG, about="with all acknowledged before; false when no majority is left"),)
        ),
        is_backup=True,
    ),
    Endpoint(
        path="/deploy",
        about="Want a slice, as part of the blueprint `adhoc`.",
        query=_WAIT,
        body=Schema((_ARTIFACT, _INSTANCES)),
        change=commands.deploy,
    ),
    Endpoint(
        path="/scale",
        about="Want another number of instances.",
        query=_WAIT,
        body=Schema((_ARTIFACT, attrs.evolve(_INSTANCES, required=True)), ignored=("placement",)),
        change=commands.scale,
    ),
    Endpoint(
        path="/undeploy",
        about="Want a slice no more; one that is not wanted is no failure.",
        query=_WAIT,
        body=Schema((_ARTIFACT,)),
        change=commands.undeploy,
    ),
    _member("/members/add", "Announce a member that will be started.", member_commands.add, (_NODE, _ADDRESS)),
    _member("/members/remove", "Let a member leave for ever, dead or alive.", member_commands.remove, (_NODE,)),
    _member("/members/promote", "Let a member vote.", member_commands.promote, (_NODE,)),
    _member("/members/demote", "Let a member work without a vote.", member_commands.demote, (_NODE,)),
    _member(
        "/members/transfer-leader",
        "Let another voter lead; the one with the longest log unless `node` names one.",
        member_commands.transfer_leader,
        (attrs.evolve(_NODE, required=False),),
    ),
    Endpoint(
        path="/blueprint",
        about="Put a blueprint in force.",
        query=_WAIT,
        body=Schema(
            (
                Field("toml", Kind.TEXT, required=True, also=("blueprint",), high=HTTP_MANAGEMENT_BODY_BYTES_MAX),
                _BY,
            )
        ),
        change=commands.apply,
        toml=True,
    ),
)


def router() -> HttpRouter[Endpoint]:
    """The table as a router, at `/` and at `/api`."""
    table = HttpRouter(
        (verb, prefix + endpoint.path, endpoint)
        for prefix in PREFIXES
        for endpoint in ENDPOINTS
        for verb in endpoint.verbs
    )
    assert not table.conflicts, table.conflicts
    return table
