"""A slice is deployed and undeployed a thousand times in virtual time: nothing is left behind."""

import gc
from collections import Counter
from functools import partial

import pytest
import trio
from tests.e2e.hard_world import long

import aether
from aether.cluster import local
from aether.kv import keys
from aether.model.artifact import ArtifactBase
from aether.model.limits import DEPLOYMENTS_KEPT, EVENTS_KEPT_MAX, FIGURE_NODES_MAX, LOCAL_EVENTS_KEPT_MAX
from aether.node.config import NodeConfig

pytestmark = pytest.mark.timeout(3_600)

INSTANCES = keys.instances_of(ArtifactBase.parse("tests.cycles:visitor"))
NODES = 3
SNAPSHOT_ENTRIES = 100
HISTORIES = {
    "Event": NODES * (EVENTS_KEPT_MAX + LOCAL_EVENTS_KEPT_MAX),
    "Place": NODES * (EVENTS_KEPT_MAX + LOCAL_EVENTS_KEPT_MAX),
    "Entry": NODES * 2 * SNAPSHOT_ENTRIES,
    "Deployment": NODES * FIGURE_NODES_MAX * DEPLOYMENTS_KEPT,
}
"""What grows with every cycle until it is as long as its limit allows."""

SLACK = 30
"""Of any other kind: figures of each second and minute, what was under way."""


@aether.slice(artifact="tests.cycles:visitor:1.0.0", instances=3)
class Visitor:
    @aether.get("/visit")
    async def visit(self) -> int:
        return 1


@aether.slice(artifact="tests.cycles:resident:1.0.0", instances=1)
class Resident:
    async def here(self) -> bool:
        return True


@pytest.mark.parametrize("cycles", [40, pytest.param(1_000, marks=long)])
async def test_a_thousand_deployments_leave_neither_rows_nor_tasks_nor_objects(aether_cluster, monkeypatch, cycles):
    """Whoever deploys at every commit, for years, must not fill a node: after each cycle it is as before."""
    monkeypatch.setattr(local, "NodeConfig", partial(NodeConfig, snapshot_entries=SNAPSHOT_ENTRIES))
    cluster = await aether_cluster(Visitor, Resident, nodes=NODES)
    await cycle(cluster, 5)
    rows, tasks, objects = await looked_at(cluster)
    await cycle(cluster, cycles)
    rows_then, tasks_then, objects_then = await looked_at(cluster)

    assert rows_then == rows
    assert tasks_then == tasks
    grown = {name: more for name, more in (objects_then - objects).items() if more > SLACK}
    assert {name: more for name, more in grown.items() if more > HISTORIES.get(name, 0)} == {}, grown
    assert await cluster.get(Visitor).visit() == 1
    assert await cluster.get(Resident).here()


async def cycle(cluster, times):
    first = cluster.nodes[0]
    for _ in range(times):
        await first.undeploy("tests.cycles:visitor")
        await settled(cluster, 0)
        await first.deploy("tests.cycles:visitor:1.0.0", instances=3)
        await settled(cluster, 3)


async def settled(cluster, count):
    """Each node sees so many visitors ACTIVE, and no other instance of it."""
    for node in cluster.nodes:
        with trio.fail_after(60):
            while True:
                states = [row.state for row in node.kv.rows(INSTANCES)]
                if len(states) == count and all(state == "ACTIVE" for state in states):
                    break
                await trio.sleep(0.05)


async def looked_at(cluster):
    """Rows of each kind, tasks of trio, and our own objects by their class, with nothing under way."""
    for node in cluster.nodes:
        await node.kv.barrier()
    await trio.sleep(1)
    gc.collect()
    kinds = (type(each) for each in gc.get_objects())
    objects = Counter(kind.__qualname__ for kind in kinds if str(kind.__module__).startswith("aether."))
    rows = Counter(key.partition("/")[0] for key, _, _ in cluster.nodes[0].kv.scan(""))
    return rows, trio.lowlevel.current_statistics().tasks_living, objects
