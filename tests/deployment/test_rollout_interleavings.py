"""Updates among everything else: the real managers of leader and nodes, in virtual time, while operators, losses of
nodes and changes of leader come in any order."""

import itertools
import random

import pytest
import trio

from aether.deployment.apply_manager import ApplyManager
from aether.deployment.duty_manager import DutyManager
from aether.deployment.duty_operator import DutyOperator
from aether.deployment.merging import merged_count
from aether.deployment.operator import Operator
from aether.deployment.rollout_manager import RolloutManager
from aether.deployment.rollout_operator import RolloutOperator
from aether.errors import AetherError, Conflict
from aether.kv import keys
from aether.kv.commands import Batch, Delete, Put
from aether.model.artifact import Artifact
from aether.model.ids import NodeId
from aether.model.rollout import TERMINAL, Cleanup, RolloutPlan, RolloutState, Strategy
from aether.model.rows import TrafficRow

OLD, NEW, STOCK = (Artifact.parse(f"shop:{t}") for t in ("pricing:1.0.0", "pricing:2.0.0", "stock:1.0.0"))
BASE = OLD.base
NAMES = ("n1", "n2", "n3", "n4")
FIRST = 'id = "shop"\n[[slices]]\nartifact = "shop:pricing:1.0.0"\ninstances = 3\nmin_available = 2\n'
STOCK_TOO = '[[slices]]\nartifact = "shop:stock:1.0.0"\n'
ATOMIC = '[deployment]\nmode = "atomic"\ntimeout = 60\n'
SECOND = FIRST.replace("1.0.0", "2.0.0")


class Town:
    """A world whose nodes run the leader's loops of updates and applies too."""

    def __init__(self, world, nursery):
        self.world = world
        self._nursery = nursery
        self._ids = itertools.count(1)
        self.scopes = {}

    def _id(self):
        return f"r{next(self._ids)}"

    def live(self):
        return dict(self.world.reachable)

    async def start(self, name):
        node = await self.world.start(name, str(OLD), str(NEW), str(STOCK))
        self._nursery.start_soon(self._lead, node)

    async def _lead(self, node):
        wall = self.world.wall
        updates = RolloutOperator(node.kv, self.live, wall=wall, new_id=self._id)
        manager = RolloutManager(node.kv, self.live, wall=wall, new_id=self._id)
        blueprints = Operator(node.kv, wall, new_id=self._id).blueprints
        applies = ApplyManager(node.kv, blueprints, updates.rollback)
        duties = DutyManager(node.kv, wall=wall)
        scope = self.scopes[node.kv.node] = trio.CancelScope()
        with scope:
            async with trio.open_nursery() as nursery:
                for run in (manager.run, applies.run, duties.run):
                    nursery.start_soon(run)

    def kill(self, name):
        self.scopes.pop(NodeId(name)).cancel()
        self.world.kill(name)

    async def open(self):
        for name in NAMES:
            await self.start(name)
        kv = self.kv = type(self.world.nodes["n1"].kv)(self.world.log, "operator")
        self.operator = Operator(kv, self.world.wall, new_id=self._id)
        self.updates = RolloutOperator(kv, self.live, wall=self.world.wall, new_id=self._id)
        self.duties = DutyOperator(kv, self.live, lambda: (), self.world.wall)
        self.world.elect("n1")
        await self.operator.apply(FIRST, "ann")
        await self.world.until(lambda: self.active(OLD) == 3)

    def active(self, artifact):
        return sum(r.artifact == artifact and r.state == "ACTIVE" for r in self.world.instances())

    def update(self):
        return max(self.world.rows(keys.ROLLOUTS), key=lambda row: (row.created_at, int(row.id[1:])))

    def desired(self):
        return self.kv.get(keys.desired(BASE))

    def fail(self, name, times=500):
        for node in self.world.nodes.values():
            node.host.fail["activate", name] = [RuntimeError("no such table")] * times


@pytest.fixture
async def town(world, nursery):
    town = Town(world, nursery)
    await town.open()
    return town


# --- an atomic apply and its own update -------------------------------------------------------------------------------


@pytest.mark.parametrize("dies_at", [None, RolloutState.ROUTING, RolloutState.ROLLING_BACK, RolloutState.ROLLED_BACK])
async def test_an_atomic_apply_is_taken_back_while_its_own_update_runs(autojump_clock, town, dies_at):
    """What else it brought fails for good: its update turns round first, whoever leads meanwhile; then the text."""
    world = town.world
    town.fail("stock")
    (update,) = (await town.operator.apply(SECOND + STOCK_TOO + ATOMIC, "bob")).rollouts.values()
    await world.until(lambda: town.update().weight_new > 0)
    await town.updates.pause(update)
    if dies_at is not None:
        await world.until(lambda: town.update().state is dies_at, within_s=200)
        town.kill("n1")
        world.elect("n2")

    await world.until(lambda: world.rows(keys.BLUEPRINTS_CURRENT) == [3], within_s=400)
    await world.until(lambda: not world.instances("shop:stock") and town.active(OLD) == 3, within_s=400)

    assert [(row.id, row.state) for row in world.rows(keys.ROLLOUTS)] == [(update, RolloutState.ROLLED_BACK)]
    (third,) = [row for row in world.rows(keys.BLUEPRINTS) if row.number == 3]
    assert (third.text, third.applied_by) == (FIRST, "the leader")
    assert "shop:stock:1.0.0 FAILED again" in third.reason
    assert world.rows(keys.APPLIES) == []
    assert world.rows(keys.TRAFFIC) == []
    assert (town.desired().artifact, town.desired().beside, town.desired().instances) == (OLD, None, 3)
    assert town.active(NEW) == 0


# --- what is changed behind its back ----------------------------------------------------------------------------------


async def test_an_update_whose_row_was_deleted_leaves_neither_traffic_nor_a_second_version(autojump_clock, town):
    """`aether kv delete --force`, or a backup from before it began."""
    update = (await town.updates.start(str(BASE), "2.0.0")).row.id
    await town.world.until(lambda: town.update().weight_new > 0 and town.desired().instances < 3)
    town.world.log.apply(Batch((), (Delete(keys.rollout(BASE, update)),)))

    await town.world.until(lambda: not town.world.rows(keys.TRAFFIC))
    await town.world.until(lambda: town.active(OLD) == 3 and town.active(NEW) == 0)
    assert (town.desired().instances, town.desired().beside) == (3, None)


async def test_traffic_that_people_wrote_stays(autojump_clock, town):
    row = TrafficRow(artifact=BASE, weights={"1.0.0": 1})
    town.world.log.apply(Batch((), (Put(keys.traffic(BASE), row),)))
    await trio.sleep(100)
    assert town.world.rows(keys.TRAFFIC) == [row]


async def test_who_decided_before_an_update_began_looks_again(autojump_clock, town):
    """A deployment that takes its time does not put a third version in force beside an update."""
    await town.operator.blueprints.delete("shop")
    await town.operator.deploy(str(OLD), 3)
    await town.world.until(lambda: town.active(OLD) == 3)
    slow = type(town.kv)(town.world.log, "slow", latency_s=1.0)
    deployed = []

    async def deploy():
        try:
            deployed.append(await Operator(slow, town.world.wall).deploy(str(NEW)))
        except Conflict as error:
            deployed.append(str(error))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(deploy)
        await trio.sleep(1.5)  # it has decided, and writes
        await town.updates.start(str(BASE), "2.0.0", RolloutPlan(strategy=Strategy.MANUAL))
    assert "its update" in deployed[0]
    await town.world.until(lambda: town.update().state is RolloutState.DEPLOYED)


# --- any order --------------------------------------------------------------------------------------------------------


class Attack:
    """Words of operators, losses and changes of leader, drawn from one seed."""

    def __init__(self, town, seed):
        self.town = town
        self.random = random.Random(seed)
        self.story = []
        self.drained = set()

    async def go(self, steps):
        for _ in range(steps):
            name = self.random.choice(
                [
                    "start", "start", "start", "word", "word", "word", "route", "scale", "apply", "deploy", "undeploy",
                    "delete", "kill", "lead", "drain", "forget", "fail", "mend", "rest",
                ]
            )  # fmt: skip
            try:
                await getattr(self, name)()
                self.story.append(name)
            except AetherError as error:
                self.story.append(f"{name}: {error}")
            await trio.sleep(self.random.choice([0, 0.01, 0.2, 1, 5, 40]))
            self.check()

    def check(self):
        """Holds at every moment."""
        kv = self.town.kv
        under_way = [row for row in kv.rows(keys.ROLLOUTS) if row.state not in TERMINAL]
        assert len(under_way) <= 1, self.story

    async def start(self):
        plan = RolloutPlan(
            strategy=self.random.choice([s for s in Strategy if s is not Strategy.AB]),
            hold_s=self.random.choice([0, 3]),
            batch=self.random.choice([1, 2]),
            instances=self.random.choice([None, None, 2]),
            cleanup=self.random.choice(list(Cleanup)),
            grace_s=10,
            manual_approval=self.random.random() < 0.2,
        )
        await self.town.updates.start(str(BASE), self.random.choice(["1.0.0", "2.0.0"]), plan)

    async def word(self):
        word = self.random.choice(["approve", "complete", "rollback", "pause", "resume"])
        self.story.append(word)
        await getattr(self.town.updates, word)(str(BASE))

    async def route(self):
        await self.town.updates.route(str(BASE), *self.random.choice([(1, 3), (1, 1), (1, 0), (0, 1)]))

    async def scale(self):
        await self.town.operator.scale(str(BASE), self.random.choice([1, 2, 4]), for_s=self.random.choice([0, 20]))

    async def apply(self):
        mode = self.random.choice(["", ATOMIC])
        await self.town.operator.apply(self.random.choice([FIRST, SECOND, FIRST + STOCK_TOO]) + mode)

    async def deploy(self):
        await self.town.operator.deploy(self.random.choice([str(OLD), str(NEW)]))

    async def undeploy(self):
        await self.town.operator.undeploy(str(BASE))

    async def delete(self):
        await self.town.operator.blueprints.delete("shop")

    async def kill(self):
        if len(self.town.world.nodes) == len(NAMES):
            leader = self.town.kv.get(keys.leadership).node
            name = self.random.choice(NAMES)
            self.town.kill(name)
            if name == leader:
                self.town.world.elect(self.random.choice(sorted(self.town.world.nodes)))
        else:
            for name in set(NAMES) - self.town.world.nodes.keys():
                await self.town.start(name)

    async def lead(self):
        self.town.world.elect(self.random.choice(sorted(self.town.world.nodes)))

    async def drain(self):
        for name in self.random.sample(NAMES, 2):
            if name in self.drained:
                await self.town.duties.activate(name)
                self.drained.discard(name)
            elif len(self.drained) < 2:
                await self.town.duties.drain(name)
                self.drained.add(name)

    async def forget(self):
        """`aether kv delete --force` of what is under way."""
        rows = [row for row in self.town.kv.rows(keys.ROLLOUTS) if row.state not in TERMINAL]
        changes = tuple(Delete(keys.rollout(row.artifact, row.id)) for row in rows)
        self.town.world.log.apply(Batch((), changes))

    async def fail(self):
        self.town.fail("pricing", 3)

    async def mend(self):
        for node in self.town.world.nodes.values():
            node.host.fail.clear()

    async def rest(self):
        """Nothing happens for a while."""

    async def end(self):
        """Everything works again, and whatever waits for a person is told to end."""
        await self.mend()
        for name in sorted(set(NAMES) - self.town.world.nodes.keys()):
            await self.town.start(name)
        for name in sorted(self.drained):
            await self.town.duties.activate(name)
        for _ in range(200):
            await trio.sleep(10)
            rows = [row for row in self.town.kv.rows(keys.ROLLOUTS) if row.state not in TERMINAL]
            if not rows and not self.town.world.rows(keys.APPLIES):
                break
            for word in ("resume", "approve", "complete", "rollback"):
                try:
                    await getattr(self.town.updates, word)(str(BASE))
                except AetherError as error:
                    self.story.append(f"{word}: {error}")
        await trio.sleep(400)


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_happens_it_ends_and_leaves_nothing(autojump_clock, town, seed):
    attack = Attack(town, seed)
    await attack.go(14)
    await attack.end()

    world, desired, told = town.world, town.desired(), attack.story
    rows = [row for row in world.rows(keys.ROLLOUTS) if row.state not in TERMINAL]
    assert rows == [], told
    assert world.rows(keys.TRAFFIC) == [], told
    assert world.rows(keys.APPLIES) == [], told
    if desired is None:
        assert world.rows(keys.OVERRIDES) == [], told
        assert world.instances(str(BASE)) == [], told
        return
    override = town.kv.get(keys.override(BASE))
    assert (desired.beside, desired.beside_instances) == (None, 0), told
    assert desired.instances == merged_count(desired, override, world.wall()), told
    assert {r.artifact for r in world.instances(str(BASE))} == {desired.artifact}, told
    assert town.active(desired.artifact) == desired.instances, told
