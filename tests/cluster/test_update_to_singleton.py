"""An update to a version that runs once: it does so from the beginning, and taking it back takes that back too."""

import attrs
import pytest
import trio

import aether
from aether.errors import Conflict
from aether.kv import keys
from aether.model.artifact import Artifact
from aether.model.rollout import TERMINAL, RolloutPlan, RolloutState, Strategy

OLD = Artifact.parse("tests.turns:writer:1.0.0")
TEXT = 'id = "app"\n[[slices]]\nartifact = "tests.turns:writer:{version}"\n'
RUNNING = []  # (version, token) of each instance that runs


@aether.slice(artifact=str(OLD), instances=3)
class Writer:
    async def number(self) -> str:
        return "1"


@aether.slice(artifact="tests.turns:writer:2.0.0", singleton=True)
class Once:
    token: int = aether.fencing_token()

    @aether.lifespan
    async def lifespan(self):
        RUNNING.append(self.token)
        assert len(RUNNING) == 1
        await trio.sleep(0.5)  # meanwhile other rows of the slice change
        yield
        RUNNING.remove(self.token)

    async def number(self) -> str:
        return "2"


@aether.slice(artifact="tests.turns:writer:3.0.0", singleton=True)
class Broken:
    @aether.lifespan
    async def lifespan(self):
        raise ValueError("no pen")
        yield

    async def number(self) -> str:
        return "3"


class Calls:
    """One after the other, until cancelled; none of them fails."""

    def __init__(self, cluster):
        self.writer = cluster.get(Writer)
        self.answers = []

    async def run(self):
        while True:
            self.answers.append(await self.writer.number())
            await trio.sleep(0.05)


async def begin(cluster, version, way):
    if way == "text":
        await cluster.nodes[0].apply(TEXT.format(version=version))
    else:
        await cluster.nodes[0].rollouts.start(str(OLD.base), version)


async def over(cluster):
    kv = cluster.nodes[0].kv
    with trio.fail_after(120):
        while not (rows := [row for row in kv.rows(keys.rollouts_of(OLD.base)) if row.state in TERMINAL]):
            await trio.sleep(0.1)
    return rows[-1]


def standing(cluster):
    kv = cluster.nodes[0].kv
    desired = kv.get(keys.desired(OLD.base))
    rows = [row for row in kv.rows(keys.instances_of(OLD.base)) if row.state == "ACTIVE"]
    return desired, [(str(row.artifact.version), row.token) for row in rows]


@pytest.fixture(autouse=True)
def _fresh():
    RUNNING.clear()


@pytest.mark.parametrize("way", ["update", "text"])
async def test_it_runs_once_and_no_call_fails(aether_cluster, way):
    cluster = await aether_cluster(Writer, nodes=3)
    await cluster.offer(Once)
    calls = Calls(cluster)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(calls.run)
        await begin(cluster, "2.0.0", way)
        row = await over(cluster)
        await trio.sleep(1)
        nursery.cancel_scope.cancel()

    assert row.state is RolloutState.COMPLETED, row.reason
    desired, active = standing(cluster)
    assert (desired.artifact.version, desired.singleton, desired.instances) == (row.new, True, 1)
    assert [version for version, token in active if token > 0] == ["2.0.0"]
    assert calls.answers[-1] == "2"


@pytest.mark.parametrize("way", ["update", "text"])
async def test_taken_back_there_are_as_many_as_before(aether_cluster, way):
    cluster = await aether_cluster(Writer, nodes=3)
    await cluster.offer(Broken)
    await begin(cluster, "3.0.0", way)
    row = await over(cluster)
    assert row.state is RolloutState.ROLLED_BACK
    assert "no pen" in row.reason
    with trio.fail_after(60):
        while len(standing(cluster)[1]) < 3:
            await trio.sleep(0.1)
    await trio.sleep(5)

    desired, active = standing(cluster)
    assert (desired.artifact, desired.singleton, desired.instances) == (OLD, False, 3)
    assert {version for version, _ in active} == {"1.0.0"}
    assert len(active) == 3


async def test_a_way_that_needs_both_beside_each_other_is_refused_before_anything_stops(aether_cluster):
    cluster = await aether_cluster(Writer, nodes=3)
    await cluster.offer(Once)
    before = standing(cluster)
    with pytest.raises(Conflict, match=r"it runs once, and canary .*; use the strategy rolling"):
        await cluster.nodes[0].rollouts.start(str(OLD.base), "2.0.0", RolloutPlan(strategy=Strategy.CANARY))
    await trio.sleep(1)

    assert standing(cluster) == before
    assert attrs.asdict(before[0])["singleton"] is False
