"""How nodes are doing, as the admin API tells it."""

from itertools import pairwise

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.metrics.history import POINTS_MAX, RANGES_S, shown, step_s
from aether.model.artifact import Artifact
from aether.model.ids import Incarnation, InstanceId, NodeId
from aether.model.lifecycle import SliceState
from aether.model.limits import FIGURE_NODES_MAX, HISTORY_VALUES_MAX
from aether.model.rows import InstanceRow


def instance(state, since, node="node-2"):
    return InstanceRow(
        instance=InstanceId("i1"),
        artifact=Artifact.parse("shop:pricing:1.0.0"),
        node=NodeId(node),
        incarnation=Incarnation("1"),
        state=SliceState(state),
        since=since,
    )


@pytest.mark.parametrize("prefix", ["", "/api"])
async def test_metrics_have_the_shape_of_the_original(world, prefix):
    world.figures.tell("node-1", cpu__usage=0.25, heap__used=2**27, heap__max=2**30, heap__usage=0.125)
    world.figures.tell("node-2", cpu__usage=0.1)
    world.figures.tell("node-9", cpu__usage=0.9)  # not reached any more
    states = ("LOAD", "LOADING", "LOADED", "ACTIVATE", "ACTIVATING", "ACTIVE")
    for n, state in enumerate(states):
        world.figures.deployments.see([instance(state, 100.0 + n)])

    answer = (await world.ask("GET", f"{prefix}/metrics")).json

    assert answer["load"] == {
        "node-1": {"cpu.usage": 0.25, "heap.used": 2**27, "heap.max": 2**30, "heap.usage": 0.125},
        "node-2": {"cpu.usage": 0.1},
    }
    assert answer["deployments"] == {
        "shop:pricing:1.0.0": [
            {
                "nodeId": "node-2",
                "instance": "i1",
                "status": "SUCCESS",
                "fullDeploymentMs": 5000,
                "netDeploymentMs": 3000,
                "transitions": {
                    "START_TO_LOAD": 1000,
                    "LOAD_TO_LOADED": 1000,
                    "LOADED_TO_ACTIVATE": 2000,
                    "ACTIVATE_TO_ACTIVE": 1000,
                },
                "startTime": 100_000,
                "loadTime": 101_000,
                "loadedTime": 102_000,
                "activateTime": 104_000,
                "activeTime": 105_000,
            }
        ]
    }


async def test_a_minute_is_the_last_that_is_over_or_what_there_is(world):
    world.figures.tell("node-1", cpu__usage=0.5, calls__rate=10, calls__failure_rate=0.5)
    young = (await world.ask("GET", "/metrics/comprehensive")).json
    assert (young["complete"], young["sampleCount"], young["totalInvocations"]) == (False, 1, 10)
    assert young["errorRate"] == 0.5
    for _ in range(130):
        world.figures.now += 1
        world.figures.tell("node-1", cpu__usage=0.25)
    answer = (await world.ask("GET", "/metrics/comprehensive")).json

    assert (answer["complete"], answer["sampleCount"], answer["avgCpuUsage"]) == (True, 60, 0.25)
    assert answer["minuteTimestamp"] % 60_000 == 0
    assert answer["nodes"]["node-1"] == {k: v for k, v in answer.items() if k not in ("nodeId", "nodes")}
    past = (await world.ask("GET", "/metrics/comprehensive?minutes=2")).json["minutes"]["node-1"]
    assert [b["minuteTimestamp"] - a["minuteTimestamp"] for a, b in pairwise(past)] == [60_000]


async def test_figures_that_are_too_large_to_be_added_up_leave_an_answer(world):
    """They come from other nodes, and a minute of them is more than its four bytes hold."""
    for _ in range(130):
        world.figures.now += 1
        world.figures.tell("node-1", calls__rate=3e38, events=3e38, calls__in_flight=3e38)
    answer = (await world.ask("GET", "/metrics/comprehensive")).json

    assert (answer["totalInvocations"], answer["eventCount"]) == (0, 0)


async def test_what_is_kept_of_a_slice_does_not_grow_with_nodes_that_come_and_go(world):
    deployments = world.figures.deployments
    for number in range(FIGURE_NODES_MAX + 3):
        row = instance("LOAD", float(number), node=f"node-{number}")
        deployments.see([attrs.evolve(row, instance=InstanceId(f"i{number}"))])

    kept = deployments.of(Artifact.parse("shop:pricing:1.0.0"))
    assert len(kept) == FIGURE_NODES_MAX
    assert f"node-{FIGURE_NODES_MAX + 2}" in {each.node for each in kept}
    assert "node-0" not in {each.node for each in kept}


async def test_derived_metrics_are_those_of_this_node_and_of_all(world):
    world.figures.tell("node-1", calls__rate=4, calls__p99_s=0.1)
    world.figures.tell("node-2", loop__lag_mean_s=1.0)
    answer = (await world.ask("GET", "/metrics/derived")).json

    assert (answer["nodeId"], answer["requestRate"], answer["latencyP99"]) == ("node-1", 4, 100)
    assert answer["hasCapacity"]
    assert answer["nodes"]["node-2"]["stressed"]
    assert answer["nodes"]["node-2"]["eventLoopSaturation"] == 1


async def test_node_metrics_are_a_list_with_a_line_for_each_node(world):
    world.figures.tell("node-1", raft__role=2, cpu__usage=0.5, heap__used=3 * 2**20, heap__max=2**30)
    world.figures.tell("node-2", raft__role=0, cpu__usage=0.1)
    first, second = (await world.ask("GET", "/node-metrics")).json

    assert (first["nodeId"], first["isLeader"]) == ("node-1", True)
    assert (first["heapUsedMb"], first["heapMaxMb"]) == (3.0, 1024.0)
    assert (second["isLeader"], second["cpuUsage"]) == (False, 0.1)


async def test_history_shows_what_is_gone_too_and_asks_for_known_names(world):
    for second in range(30):
        world.figures.now += 1
        world.figures.tell("node-9", cpu__usage=second / 100, raft__term=second)
    answer = (await world.ask("GET", "/metrics/history?range=5m&metrics=cpu.usage,raft.term")).json
    points = answer["nodes"]["node-9"]

    assert (answer["timeRange"], answer["stepSeconds"], len(points)) == ("5m", 1, 30)
    assert points[-1]["metrics"] == {"cpu.usage": 0.29, "raft.term": 29}
    assert points[-1]["timestamp"] - points[0]["timestamp"] == 29_000
    assert (await world.ask("GET", "/metrics/history?timeRange=2h&node=node-9")).json["timeRange"] == "2h"


@pytest.mark.parametrize(
    ("query", "status"), [("range=3h", 400), ("metrics=no.such", 400), ("node=nobody", 404), ("range=5m&x=1", 400)]
)
async def test_what_nobody_knows_is_refused_with_what_is_known(world, query, status):
    world.figures.tell("node-1", cpu__usage=0.5)
    asked = await world.ask("GET", f"/metrics/history?{query}")

    assert asked.status == status


async def test_the_busiest_methods_have_a_past(world):
    key = ("shop:pricing:1.0.0", "quote")
    for step in range(4):
        world.figures.windows.put(world.figures.now - 30 + 10 * step, {key: (step, 0.0, 0.01, 1.0)})
    (method,) = (await world.ask("GET", "/metrics/history?range=5m&methods=true")).json["methods"]

    assert (method["artifact"], method["method"]) == key
    assert [point["metrics"]["rate"] for point in method["points"]] == [0, 1, 2, 3]


@given(st.sampled_from(sorted(RANGES_S)), st.integers(0, 20_000))
def test_an_answer_about_the_past_is_bounded_however_much_is_asked(wanted, curves):
    step = step_s(RANGES_S[wanted], curves)
    points = RANGES_S[wanted] / step

    assert points <= POINTS_MAX
    assert points * curves <= max(HISTORY_VALUES_MAX, curves)


@given(st.floats())
def test_a_figure_is_shown_as_json_can_carry_it(value):
    seen = shown(value)

    assert seen == pytest.approx(value, rel=1e-5, abs=1e-300) if abs(value) < float("inf") else seen == 0


async def test_an_instance_that_failed_says_where(world):
    deployments = world.figures.deployments
    deployments.see([instance("LOAD", 1.0)])
    deployments.see([instance("LOADING", 2.0)])
    deployments.see([instance("FAILED", 3.0)])
    deployments.see([instance("UNLOAD", 4.0)])
    deployments.see([])
    row = attrs.evolve(instance("LOAD", 10.0), instance=InstanceId("i2"))
    deployments.see([row])
    first, second = (await world.ask("GET", "/metrics")).json["deployments"]["shop:pricing:1.0.0"]

    assert (first["status"], first["fullDeploymentMs"], first["loadedTime"]) == ("FAILED_LOADING", -1, -1)
    assert (second["status"], second["startTime"]) == ("IN_PROGRESS", 10_000)


async def test_a_state_that_nobody_saw_counts_as_reached_with_the_next(world):
    world.figures.deployments.see([instance("LOAD", 1.0)])
    world.figures.deployments.see([instance("ACTIVE", 4.0)])
    ((found,),) = (await world.ask("GET", "/metrics")).json["deployments"].values()

    assert found["fullDeploymentMs"] == 3000
    assert found["netDeploymentMs"] == 0


async def test_an_instance_that_was_there_before_this_node_has_no_beginning(world):
    world.figures.deployments.see([instance("ACTIVE", 4.0)])
    ((found,),) = (await world.ask("GET", "/metrics")).json["deployments"].values()

    assert (found["status"], found["startTime"], found["fullDeploymentMs"]) == ("SUCCESS", -1, -1)
    assert found["transitions"] == {}


async def test_health_says_of_how_many_nodes_there_are_figures(world):
    world.figures.tell("node-1", cpu__usage=0.5)
    assert (await world.ask("GET", "/health")).json["metricsNodeCount"] == 1
    world.figures.tell("node-2", cpu__usage=0.5)
    world.figures.tell("node-9", cpu__usage=0.5)  # not reached any more
    assert (await world.ask("GET", "/health")).json["metricsNodeCount"] == 2
