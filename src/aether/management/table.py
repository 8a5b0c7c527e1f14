"""Every path of the admin API, in one table.

Knows: path, verbs, query and body schema, handler, whether it changes anything.
Never: access rules, waiting.
Holds: each path is mounted at `/` and at `/api`; the reference page, the OpenAPI document and the tests are made from
       this table, so they cannot disagree with it.
"""

from __future__ import annotations

from typing import Final

import attrs

from aether.management import (
    blueprint_queries,
    commands,
    contract_queries,
    member_commands,
    queries,
    rows_service,
    slice_queries,
)
from aether.management.access_endpoints import ACCESS_ENDPOINTS
from aether.management.alert_endpoints import ALERT_ENDPOINTS
from aether.management.blueprint_endpoints import BLUEPRINT_ENDPOINTS
from aether.management.call_endpoints import CALL_ENDPOINTS
from aether.management.certificate_endpoints import CERTIFICATE_ENDPOINTS
from aether.management.controller_endpoints import CONTROLLER_ENDPOINTS
from aether.management.duty_endpoints import DUTY_ENDPOINTS
from aether.management.endpoint import (
    ADDRESS,
    ARTIFACT,
    BY,
    CHANGES_MAX,
    FOR,
    FORCE,
    FRESH,
    IF_VERSION,
    INSTANCES,
    KEY,
    NODE,
    NUMBER_MAX,
    PREFIX,
    REASON,
    REHEARSED,
    UNTIL,
    WAIT,
    WAIT_GROUP,
    WATCH_S_MAX,
    Change,
    Endpoint,
    get,
)
from aether.management.event_endpoints import EVENT_ENDPOINTS
from aether.management.exposition_endpoints import EXPOSITION_ENDPOINTS
from aether.management.invocation_endpoints import INVOCATION_ENDPOINTS
from aether.management.metrics_endpoints import METRICS_ENDPOINTS
from aether.management.placement_endpoints import PLACEMENT_ENDPOINTS
from aether.management.process_endpoints import PROCESS_ENDPOINTS
from aether.management.repository_endpoints import REPOSITORY_ENDPOINTS
from aether.management.rollout_endpoints import ROLLOUT_ENDPOINTS
from aether.management.schema import Field, Kind, Schema
from aether.management.store_endpoints import STORE_ENDPOINTS
from aether.management.trace_endpoints import TRACE_ENDPOINTS
from aether.model.access import Role
from aether.model.limits import KEY_BYTES_MAX, VALUE_BYTES_MAX
from aether.web.router import HttpRouter

PREFIXES: Final = ("", "/api")


def _member(path: str, about: str, change: Change, fields: tuple[Field, ...]) -> Endpoint:
    return Endpoint(path=path, about=about, role=Role.ADMIN, query=WAIT_GROUP, body=Schema(fields), change=change)


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    get("/health", "Whether the cluster can decide, and what is missing.", queries.health),
    get("/status", "This node: role, leader, term, revision, addresses.", queries.status),
    get("/nodes", "The reachable members.", queries.nodes),
    *DUTY_ENDPOINTS,
    *PLACEMENT_ENDPOINTS,
    *METRICS_ENDPOINTS,
    *ROLLOUT_ENDPOINTS,
    *INVOCATION_ENDPOINTS,
    *EXPOSITION_ENDPOINTS,
    get("/members", "All members, reachable or not.", queries.members),
    get("/slices", "Every slice of the cluster with its state.", slice_queries.slices),
    get("/slices/status", "Every instance with state, node, reason and attempt.", slice_queries.slices_status),
    *STORE_ENDPOINTS,
    *EVENT_ENDPOINTS,
    *CONTROLLER_ENDPOINTS,
    *ALERT_ENDPOINTS,
    get("/routes", "Every HTTP route of the slices.", slice_queries.routes),
    get("/contracts", "The versions whose contract is known.", contract_queries.contracts),
    Endpoint(
        path="/contracts/{artifact}",
        about="The contract of one version as data: methods, schemas, faults.",
        role=Role.VIEWER,
        query=Schema(FRESH),
        read=lambda facts, query, variables: contract_queries.contract(facts, query, variables["artifact"]),
    ),
    Endpoint(
        path="/maps/{name}",
        about="Entries of a replicated map as this node holds them, in key order.",
        role=Role.VIEWER,
        query=Schema(
            (
                *FRESH,
                Field("after", Kind.TEXT, high=4096, about="`next` of the page before, or any key that is text"),
                Field("limit", Kind.WHOLE, low=1, high=1000, about="entries on one page, 100 by default"),
            )
        ),
        read=lambda facts, query, variables: blueprint_queries.map_page(facts, query, variables["name"]),
    ),
    Endpoint(
        path="/kv",
        about="Rows of the replicated store, in the order of their keys.",
        role=Role.VIEWER,
        query=Schema(
            (
                *FRESH,
                PREFIX,
                Field("after", Kind.TEXT, high=KEY_BYTES_MAX, about="`next` of the page before, or any key"),
                Field("limit", Kind.WHOLE, low=1, high=1000, about="rows on one page, 100 by default"),
            )
        ),
        look=rows_service.list_rows,
    ),
    Endpoint(
        path="/kv/row",
        about="One row of the replicated store.",
        role=Role.VIEWER,
        query=Schema((*FRESH, KEY)),
        look=rows_service.get_row,
    ),
    Endpoint(
        path="/kv/changes",
        about="What changed after a revision: a watch is one of these after the other.",
        role=Role.VIEWER,
        query=Schema(
            (
                *FRESH,
                PREFIX,
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
        role=Role.OPERATOR,
        query=REHEARSED,
        body=Schema(
            (
                KEY,
                Field("value", Kind.ANY, about="any JSON value, stored as maps store it"),
                Field("base64", Kind.TEXT, high=VALUE_BYTES_MAX * 4 // 3 + 4, about="the bytes themselves"),
                IF_VERSION,
                FORCE,
            )
        ),
        wish=rows_service.put_wish,
    ),
    Endpoint(
        path="/kv/delete",
        about="Delete one row; one that is not there is no failure.",
        role=Role.OPERATOR,
        query=REHEARSED,
        body=Schema((KEY, IF_VERSION, FORCE)),
        wish=rows_service.delete_wish,
    ),
    Endpoint(
        path="/backup",
        about="The state of the cluster at one revision, as a file for `aether restore`.",
        role=Role.ADMIN,
        query=Schema(
            (Field("consistent", Kind.FLAG, about="with all acknowledged before; false when no majority is left"),)
        ),
        is_backup=True,
    ),
    Endpoint(
        path="/ws/dashboard",
        about="What the page of the cluster shows, each second, over a WebSocket.",
        role=Role.VIEWER,
        query=Schema(),
        is_dashboard=True,
    ),
    Endpoint(
        path="/deploy",
        about="Want a slice, as part of the blueprint `adhoc`.",
        role=Role.OPERATOR,
        query=WAIT,
        body=Schema((ARTIFACT, INSTANCES)),
        change=commands.deploy,
    ),
    Endpoint(
        path="/scale",
        about="Want another number of instances than the blueprint says, for good or for a while.",
        role=Role.OPERATOR,
        query=WAIT,
        body=Schema((ARTIFACT, attrs.evolve(INSTANCES, required=True), FOR, UNTIL, REASON, BY), ignored=("placement",)),
        change=commands.scale,
    ),
    Endpoint(
        path="/undeploy",
        about="Want a slice no more; one that is not wanted is no failure.",
        role=Role.OPERATOR,
        query=WAIT,
        body=Schema((ARTIFACT,)),
        change=commands.undeploy,
    ),
    _member("/members/add", "Announce a member that will be started.", member_commands.add, (NODE, ADDRESS)),
    _member("/members/remove", "Let a member leave for ever, dead or alive.", member_commands.remove, (NODE,)),
    _member("/members/promote", "Let a member vote.", member_commands.promote, (NODE,)),
    _member("/members/demote", "Let a member work without a vote.", member_commands.demote, (NODE,)),
    _member(
        "/members/transfer-leader",
        "Let another voter lead; the one with the longest log unless `node` names one.",
        member_commands.transfer_leader,
        (attrs.evolve(NODE, required=False),),
    ),
    *BLUEPRINT_ENDPOINTS,
    *ACCESS_ENDPOINTS,
    *CERTIFICATE_ENDPOINTS,
    *CALL_ENDPOINTS,
    *TRACE_ENDPOINTS,
    *PROCESS_ENDPOINTS,
    *REPOSITORY_ENDPOINTS,
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
