"""Every GET of the admin API: shape, honesty, freshness."""

from __future__ import annotations

import json
import re

import attrs
import pytest
import trio

from aether.errors import NoQuorum
from aether.management.openapi import openapi_document
from aether.management.table import ENDPOINTS
from aether.model.artifact import Artifact, ArtifactBase
from aether.model.ids import NodeId, Revision
from aether.model.lifecycle import SliceState
from aether.model.route import Route
from aether.model.rows import DesiredRow, RouteRow, UnsatisfiedRow

GETS = [  # /kv/row needs a key (test_rows.py)
    e.path.replace("lifecycle/{id}", "lifecycle/node-1")
    .replace("{id}", "demo")
    .replace("{name}", "orders")
    .replace("{artifact}", "shop.orders:place-order")
    for e in ENDPOINTS
    if (e.read or e.look) and e.path != "/kv/row"
]
PRICING = Artifact.parse("shop:pricing:1.0.0")


def words(value: object):
    """Every key and string value at any depth."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from words(item)
    elif isinstance(value, list):
        for item in value:
            yield from words(item)
    elif isinstance(value, str):
        yield value


@pytest.mark.parametrize("prefix", ["", "/api"])
@pytest.mark.parametrize("path", [*GETS, "/health/live", "/health/ready", "/openapi.json"])
async def test_every_path_answers_json_at_both_places_without_the_word_error(world, prefix, path):
    """Scripts of the original call an answer failed when it holds the key or the value `error`."""
    world.rows.instance_rows[2] = attrs.evolve(world.rows.instance_rows[2], reason="error")
    answer = await world.ask("GET", prefix + path)
    assert answer.status == 200
    assert "error" not in set(words(answer.json))
    assert answer.response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", [*GETS, "/health/live"])
async def test_a_get_path_refuses_other_verbs_and_says_which_it_has(world, path):
    """405 with Allow."""
    answer = await world.ask("DELETE", path)
    assert (answer.status, answer.response.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")
    assert (await world.ask("OPTIONS", path)).status == 204
    assert (await world.ask("HEAD", path)).status == 200


@pytest.mark.parametrize("path", ["/nothing", "/health/", "/api", "/api/", "/apihealth", "/blueprints/", "//health"])
async def test_an_unknown_path_is_404_with_a_hint(world, path):
    """The original's tests look for the word error here."""
    answer = await world.ask("GET", path)
    assert answer.status == 404
    assert "/openapi.json" in answer.json["error"]


async def test_health_of_a_whole_cluster(world):
    """Field names as the original's, so that its scripts and tests read them."""
    world.rows.instance_rows[2] = attrs.evolve(world.rows.instance_rows[2], state=SliceState.ACTIVE)
    health = (await world.ask("GET", "/health")).json
    assert health["status"] == "healthy"
    assert health["quorum"] is True
    assert (health["nodeCount"], health["connectedPeers"], health["sliceCount"]) == (3, 2, 2)
    assert health["problems"] == []


async def test_health_is_degraded_while_something_is_missing_and_says_what(world):
    """`healthy` must mean that nothing is missing."""
    world.peers.discard(NodeId("node-3"))
    health = (await world.ask("GET", "/health")).json
    assert health["status"] == "degraded"
    assert (health["nodeCount"], health["connectedPeers"], health["memberCount"]) == (2, 1, 3)
    assert health["problems"] == [
        "node node-3 is not reachable from here",
        "shop:pricing:1.0.0: 0 of 1 instances ACTIVE",
    ]


async def test_health_without_a_confirmed_majority_is_unhealthy_but_answers(world):
    """The original called two nodes of any number a quorum; ours asks consensus, whatever is connected."""
    world.consensus.has_quorum = False
    answer = await world.ask("GET", "/health")
    assert answer.status == 200
    assert (answer.json["status"], answer.json["quorum"], answer.json["ready"]) == ("unhealthy", False, False)


async def test_without_a_majority_only_missing_nodes_are_to_be_started(world):
    """Two full disks of three stop a group whose nodes all run: whoever was told to start the missing ones, or that
    disks are lost, would look in vain and then recover.
    """
    world.consensus.has_quorum = False
    problems = (await world.ask("GET", "/health")).json["problems"]
    assert "though 3 of 3 are connected" in problems[0]
    assert "disks are full" in problems[0]
    assert "start the missing" not in problems[0]
    world.peers.clear()
    problems = (await world.ask("GET", "/health")).json["problems"]
    assert problems[0] == "no majority of the voters answers; start the missing nodes"


async def test_a_node_whose_disk_is_full_is_not_healthy(world):
    world.rows.instance_rows[2] = attrs.evolve(world.rows.instance_rows[2], state=SliceState.ACTIVE)
    world.local.disk_is_full = True
    health = (await world.ask("GET", "/health")).json
    assert (health["status"], health["quorum"]) == ("degraded", True)
    assert [problem for problem in health["problems"] if "disk" in problem and "free some" in problem]


@pytest.mark.parametrize(
    ("change", "because"),
    [
        (lambda w: setattr(w.consensus, "has_quorum", False), "no majority"),
        (lambda w: setattr(w.local, "ready", False), "catching up"),
        (lambda w: setattr(w.local, "draining", True), "draining"),
    ],
)
async def test_readiness_fails_while_the_node_should_get_no_requests(world, change, because):
    """A load balancer must not send to a node that would answer 503; liveness must not restart it for that."""
    change(world)
    ready = await world.ask("GET", "/health/ready")
    assert (ready.status, ready.response.headers["Retry-After"]) == (503, "1")
    assert because in ready.json["detail"]
    assert (await world.ask("GET", "/health/live")).status == 200


async def test_status_names_leader_and_node(world):
    """`isLeader`, `leader` and `nodeId` are what the original's clients read."""
    status = (await world.ask("GET", "/status")).json
    assert (status["nodeId"], status["status"], status["isLeader"], status["leader"]) == (
        "node-1",
        "running",
        True,
        "node-1",
    )
    assert (status["term"], status["revision"], status["role"]) == (3, 42, "leader")
    assert status["cluster"] == {"nodeCount": 3, "leaderId": "node-1", "nodes": ["node-1", "node-2", "node-3"]}
    assert status["loopLagMs"] == 2.0


async def test_status_during_an_election_has_an_empty_leader(world):
    """As the original: a text, never null."""
    world.consensus = attrs.evolve(world.consensus, leader=None)
    status = (await world.ask("GET", "/status")).json
    assert (status["leader"], status["isLeader"]) == ("", False)


async def test_nodes_are_the_reachable_members_and_members_are_all(world):
    """A dead node leaves /nodes at once; its row stays visible with its state."""
    world.peers.discard(NodeId("node-2"))
    nodes = (await world.ask("GET", "/nodes")).json
    assert (nodes["nodes"], nodes["nodeCount"]) == (["node-1", "node-3"], 2)
    assert [member["id"] for member in nodes["members"]] == ["node-1", "node-3"]
    members = (await world.ask("GET", "/members")).json["members"]
    assert [(m["id"], m["state"]) for m in members] == [
        ("node-1", "ON_DUTY"),
        ("node-2", "UNREACHABLE"),
        ("node-3", "ON_DUTY"),
    ]
    assert members[0]["available"] == ["shop.orders:place-order:1.2.0", "shop:pricing:1.0.0"]


async def test_a_node_that_left_in_order_is_not_taken_for_one_that_is_leaving_or_died(world):
    """Its last word stays in its row; whether its process still runs, only being reached tells."""
    world.rows.member_rows[1] = attrs.evolve(world.rows.member_rows[1], draining=True)
    assert await state_of(world, "node-2") == "DRAINING"
    world.peers.discard(NodeId("node-2"))
    assert await state_of(world, "node-2") == "STOPPED"


async def state_of(world, node):
    members = (await world.ask("GET", "/members")).json["members"]
    return next(member["state"] for member in members if member["id"] == node)


async def test_slices_are_cluster_wide_with_their_state(world):
    """The original listed what the answering node had loaded; an operator asks about the cluster."""
    slices = (await world.ask("GET", "/slices")).json["slices"]
    assert [(s["artifact"], s["state"], s["instances"], s["activeInstances"], s["nodes"]) for s in slices] == [
        ("shop:pricing:1.0.0", "LOADING", 1, 0, ["node-3"]),
        ("shop.orders:place-order:1.2.0", "ACTIVE", 2, 2, ["node-1", "node-2"]),
    ]


@pytest.mark.parametrize(
    ("states", "wanted", "state"),
    [
        ([], 1, "PENDING"),
        ([], 0, "AT_REST"),
        (["DEACTIVATING"], 0, "DEACTIVATING"),
        (["ACTIVE"], 1, "ACTIVE"),
        (["ACTIVE"], 2, "DEGRADED"),
        (["ACTIVE", "FAILED"], 2, "DEGRADED"),
        (["FAILED", "LOADING"], 2, "LOADING"),
        (["FAILED"], 1, "FAILED"),
        (["LOADED", "ACTIVATING"], 2, "ACTIVATING"),
        (["ACTIVE", "ACTIVE"], 1, "ACTIVE"),
    ],
)
async def test_one_word_speaks_for_all_instances(world, states, wanted, state):
    """ACTIVE only when as many are ACTIVE as wanted."""
    row = world.rows.instance_rows[2]
    world.rows.desired_rows[1] = attrs.evolve(world.rows.desired_rows[1], instances=wanted)
    world.rows.instance_rows[2:] = [
        attrs.evolve(row, instance=f"x{n}", state=SliceState(s)) for n, s in enumerate(states)
    ]
    slices = (await world.ask("GET", "/slices")).json["slices"]
    assert slices[0]["state"] == state


async def test_a_slice_that_sleeps_is_idle_and_lacks_nothing(world):
    """Nobody should be woken at night because nobody called a slice."""
    world.rows.desired_rows[1] = attrs.evolve(world.rows.desired_rows[1], instances=0, instances_min=0)
    del world.rows.instance_rows[2:]

    assert (await world.ask("GET", "/slices")).json["slices"][0]["state"] == "IDLE"
    assert not [p for p in (await world.ask("GET", "/health")).json["problems"] if "pricing" in p]


async def test_slice_status_shows_each_instance_with_its_reason(world):
    """Why is it not ACTIVE? The answer must be here, not in a log."""
    row = world.rows.instance_rows[2]
    world.rows.instance_rows[2] = attrs.evolve(
        row, state=SliceState.FAILED, reason="lifespan raised KeyError: 'x'", attempt=3
    )
    world.rows.unsatisfied_rows.append(UnsatisfiedRow(artifact=PRICING.base, missing=1, reason="no node offers 1.0.0"))
    (pricing, orders) = (await world.ask("GET", "/slices/status")).json["slices"]
    (shown,) = pricing["instances"]
    assert (shown["state"], shown["node"], shown["attempt"], shown["health"]) == ("FAILED", "node-3", 3, "UNHEALTHY")
    assert shown["reason"] == "lifespan raised KeyError: 'x'"
    assert pricing["unsatisfied"] == {"missing": 1, "reason": "no node offers 1.0.0"}
    assert [(i["nodeId"], i["state"], i["health"]) for i in orders["instances"]] == [
        ("node-1", "ACTIVE", "HEALTHY"),
        ("node-2", "ACTIVE", "HEALTHY"),
    ]


async def test_rows_of_a_dead_process_are_lost_and_not_counted(world):
    """A node that restarted has another incarnation: its old instances do not run, whatever their rows say."""
    world.rows.member_rows[1] = attrs.evolve(world.rows.member_rows[1], incarnation="node-2.2")
    slices = (await world.ask("GET", "/slices")).json["slices"]
    assert (slices[1]["state"], slices[1]["activeInstances"], slices[1]["nodes"]) == ("DEGRADED", 1, ["node-1"])
    status = (await world.ask("GET", "/slices/status")).json["slices"]
    assert [i["state"] for i in status[1]["instances"]] == ["ACTIVE", "LOST"]


async def test_routes_name_verb_path_slice_and_method(world):
    """As the original spells them."""
    assert (await world.ask("GET", "/routes")).json["routes"] == [
        {
            "method": "POST",
            "path": "/orders",
            "artifact": "shop.orders:place-order",
            "sliceMethod": "place",
            "idempotent": True,
        }
    ]


async def test_a_route_that_another_slice_answers_says_which(world):
    """Two teams chose one path: the operator sees whose requests go where."""
    base = ArtifactBase.parse("shop.reports:orders")
    routes = (
        Route("POST", "/orders", "make"),
        Route("GET", "/reports/{id}", "one"),
        Route("GET", "/reports/new", "new"),
    )
    world.rows.route_rows.append(RouteRow(artifact=base, routes=routes))
    world.rows.route_rows.append(
        RouteRow(artifact=ArtifactBase.parse("shop.z:z"), routes=(Route("GET", "/reports/{name}", "z"),))
    )
    shown = (await world.ask("GET", "/routes")).json["routes"]
    assert {(r["artifact"], r["path"]): r["shadowedBy"] for r in shown if "shadowedBy" in r} == {
        ("shop.reports:orders", "/orders"): "shop.orders:place-order",
        ("shop.z:z", "/reports/{name}"): "shop.reports:orders",
    }


async def test_slices_that_are_wanted_without_a_text_have_a_blueprint_all_the_same(world):
    """`app` of an opening process, `adhoc` of `deploy`: a list without them hides who owns a slice."""
    row = DesiredRow(artifact=Artifact.parse("shop:extra:1.0.0"), instances=1, blueprint="app")
    world.rows.desired_rows.append(row)
    listed = (await world.ask("GET", "/blueprints")).json["blueprints"]
    assert [(b["id"], b["number"], b["slices"]) for b in listed][1:] == [("app", 0, ["shop:extra:1.0.0"])]
    answer = await world.ask("GET", "/blueprints/app")
    assert answer.status == 404
    assert "wanted by `deploy` or an opening process" in answer.json["detail"]


async def test_blueprints_are_listed_and_shown_with_their_text(world):
    """What is in force, who applied it, and the earlier ones by number."""
    (listed,) = (await world.ask("GET", "/blueprints")).json["blueprints"]
    assert (listed["id"], listed["number"], listed["appliedBy"]) == ("demo", 2, "bob")
    assert listed["slices"] == ["shop.orders:place-order:1.2.0", "shop:pricing:1.0.0"]
    assert (await world.ask("GET", "/blueprints/demo")).json["toml"] == "new"
    assert (await world.ask("GET", "/blueprints/demo?number=1")).json["toml"] == "old"
    for path in ("/blueprints/other", "/blueprints/demo?number=9"):
        assert (await world.ask("GET", path)).status == 404


# --- maps -------------------------------------------------------------------------------------------------------------


async def test_a_map_is_read_page_by_page_with_revisions(world):
    """The base of an audit: every entry once, in key order, each with the revision of its last change."""
    seen, target = [], "/maps/orders?limit=2"
    while target:
        page = (await world.ask("GET", target)).json
        assert len(page["entries"]) <= 2
        seen += [(e["key"], e["value"], e["revision"]) for e in page["entries"]]
        target = page["next"] and f"/maps/orders?limit=2&after={page['next']}"
    assert seen == [(f"k{n}", {"n": n}, 10 + n) for n in range(5)]


async def test_a_page_of_large_values_ends_early_and_says_where_to_go_on(world):
    """A thousand entries of half a megabyte would be half a gigabyte in one answer, for anybody who may look."""
    world.rows.maps["big"] = [(f"k{n}".encode(), b"x" * 900_000, Revision(n + 1)) for n in range(5)]
    pages, after = [], ""
    while after is not None:
        page = (await world.ask("GET", f"/maps/big?limit=1000&after={after}")).json
        pages.append(len(page["entries"]))
        after = page["next"]
    assert pages == [2, 2, 1]


async def test_any_text_key_may_stand_after(world):
    """A script that saw the last key needs no cursor."""
    page = (await world.ask("GET", "/maps/orders?after=k2")).json
    assert [entry["key"] for entry in page["entries"]] == ["k3", "k4"]


async def test_a_page_that_ends_with_the_map_has_no_next(world):
    """An audit must know when it has everything."""
    assert (await world.ask("GET", "/maps/orders?limit=5")).json["next"] is None


async def test_an_unknown_map_is_404_and_an_empty_one_is_not(world):
    """Nothing there, or nothing in it: an audit must tell them apart."""
    world.rows.maps["empty"] = []
    assert (await world.ask("GET", "/maps/empty")).json["entries"] == []
    assert (await world.ask("GET", "/maps/other")).status == 404


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=x", "after=base64:a", "after=base64:%25", "limit=2.5", "lmit=3"]
)
async def test_a_bad_page_is_refused_with_its_reason(world, query):
    """Silently ignoring a misspelt limit would make an audit wrong."""
    answer = await world.ask("GET", f"/maps/orders?{query}")
    assert answer.status == 400
    assert answer.json["problems"]


# --- freshness --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", GETS)
async def test_every_get_can_be_asked_to_be_consistent(world, path):
    """Local reads may lag; who needs certainty asks for it."""
    assert (await world.ask("GET", path)).status == 200
    assert world.rows.barriers == 0
    assert (await world.ask("GET", f"{path}?consistent=true")).status == 200
    assert world.rows.barriers == 1


async def test_a_read_after_a_revision_waits_until_it_is_applied_here(world, autojump_clock):
    """A mutation answered by another node names its revision; with it, no reader sees the time before."""

    async def later() -> None:
        await trio.sleep(1)
        world.rows.revision = Revision(50)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(later)
        answer = await world.ask("GET", "/slices?min_revision=50")
    assert (answer.status, answer.json["revision"]) == (200, 50)


@pytest.mark.parametrize(
    ("query", "because"), [("minRevision=99", "not yet 99"), ("consistent", "majority did not answer")]
)
async def test_a_read_that_cannot_become_fresh_is_503_within_five_seconds(world, autojump_clock, query, because):
    """Bounded, repeatable, and honest about why."""
    world.rows.barrier_s = 1000.0
    began = trio.current_time()
    answer = await world.ask("GET", f"/slices?{query}")
    assert (answer.status, answer.response.headers["Retry-After"]) == (503, "1")
    assert because in answer.json["detail"]
    assert trio.current_time() - began == 5.0


async def test_a_consistent_read_without_quorum_says_so(world):
    """The error of the store goes up unchanged."""

    async def barrier() -> Revision:
        raise NoQuorum(1, 2)

    world.rows = attrs.evolve(world.rows)
    object.__setattr__(world, "rows", _Failing(world.rows, barrier))
    assert (await world.ask("GET", "/slices?consistent=true")).json["wanted"] == 2


class _Failing:
    def __init__(self, rows, barrier) -> None:
        self._rows = rows
        self.barrier = barrier

    def __getattr__(self, name: str):
        return getattr(self._rows, name)


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("consistant=true", "consistant: unknown; did you mean consistent?"),
        ("consistent=maybe", "consistent: 'maybe' is not true or false"),
        ("min_revision=-1", "min_revision: '-1' is not a whole number"),
        ("min_revision=1" + "0" * 30, "min_revision: 1" + "0" * 30 + " is out of range; allowed are 0 to 9.22337e+18"),
        ("min_revision=" + "9" * 5000, "min_revision: '" + "9" * 80 + "' is not a whole number"),
        ("min_revision=1&minRevision=2", "minRevision: given twice, also in another spelling; keep one"),
        ("zzz=1", "zzz: unknown; known are consistent, minRevision, min_revision"),
    ],
)
async def test_a_query_that_does_not_fit_is_refused_with_a_hint(world, query, problem):
    """A misspelt `consistent` that is ignored is a stale read nobody expects."""
    answer = await world.ask("GET", f"/slices?{query}")
    assert (answer.status, answer.json["problems"]) == (400, [problem])


async def test_the_openapi_document_names_every_path(world):
    """One table makes router and document; this guards the join."""
    document = (await world.ask("GET", "/openapi.json")).json
    assert document == json.loads(json.dumps(openapi_document()))
    for endpoint in ENDPOINTS:
        verbs = {verb.lower() for other in ENDPOINTS if other.path == endpoint.path for verb in other.verbs}
        assert verbs == set(document["paths"][endpoint.path.replace(":path}", "}")])
        for name in re.findall(r"\{(\w+)\}", endpoint.path):
            operation = document["paths"][endpoint.path.replace(":path}", "}")][endpoint.verbs[0].lower()]
            assert {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} in operation[
                "parameters"
            ]


async def test_contracts_are_listed_newest_first_and_shown_by_their_coordinates(world):
    """Without a version, the one in force is meant."""
    listed = (await world.ask("GET", "/contracts")).json["contracts"]
    assert [(c["artifact"], c["running"]) for c in listed] == [
        ("shop.orders:place-order:1.2.0", True),
        ("shop.orders:place-order:1.0.0", False),
    ]
    for name, shown in (("", "1.2.0"), (":1.0.0", "1.0.0")):
        answer = (await world.ask("GET", f"/contracts/shop.orders:place-order{name}")).json
        assert (answer["artifact"], answer["contract"]) == (f"shop.orders:place-order:{shown}", {"name": "PlaceOrder"})
    world.rows.desired_rows.clear()
    assert (await world.ask("GET", "/contracts/shop.orders:place-order")).json["artifact"].endswith("1.2.0")


@pytest.mark.parametrize(("name", "status"), [("shop:none", 404), ("shop.orders:place-order:9.0.0", 404), ("x", 400)])
async def test_a_contract_that_is_not_known_is_not_found(world, name, status):
    assert (await world.ask("GET", f"/contracts/{name}")).status == status


@pytest.mark.parametrize("version", ["", ":1.2.0"])
async def test_a_contract_of_nearly_that_name_is_proposed(world, version):
    answer = await world.ask("GET", f"/contracts/shop.orders:place-ordr{version}")
    assert f"did you mean shop.orders:place-order{version}?" in answer.json["detail"]


async def test_a_row_that_is_no_contract_is_an_error_in_words(world):
    world.rows.contract_rows[1] = attrs.evolve(world.rows.contract_rows[1], text="{")
    assert "no JSON" in (await world.ask("GET", "/contracts/shop.orders:place-order")).json["detail"]
