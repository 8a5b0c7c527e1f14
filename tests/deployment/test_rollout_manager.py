"""The leader's loop of updates: whoever leads goes on where the last one was stopped."""

import itertools
import math

import attrs
import pytest
import trio

from aether.deployment.rollout_manager import RolloutManager
from aether.deployment.rollout_operator import RolloutOperator
from aether.deployment.rollout_return import RETURN
from aether.errors import BadInput, Conflict, NoQuorum, NotFound, OutcomeUnknown
from aether.kv import keys
from aether.kv.commands import Batch, Delete, Put
from aether.kv.watch_service import Watch
from aether.model.artifact import Artifact
from aether.model.health import ClusterHealth, VersionHealth
from aether.model.ids import Incarnation, InstanceId, NodeId
from aether.model.lifecycle import SliceState
from aether.model.limits import ROLLOUT_DEPLOY_S, ROLLOUTS_KEPT
from aether.model.rollout import TERMINAL, Cleanup, Gates, RolloutPlan, RolloutState, Strategy
from aether.model.rows import BlueprintRow, DesiredRow, InstanceRow, LeadershipRow, MemberRow
from aether.model.version import Version

OLD = Artifact.parse("shop:pricing:1.0.0")
NEW = Artifact.parse("shop:pricing:2.0.0")
BASE = OLD.base
R = RolloutState
WALL_S = 1_000_000_000.0
TEXT = """id = "shop"

[[slices]]
artifact = "shop:pricing:1.0.0"  # the price list
instances = 3
"""


class PlayedHealth:
    """What callers of each version are said to have seen."""

    def __init__(self):
        self.versions = {}

    async def health(self, base, share=""):
        await trio.sleep(0.01)
        return ClusterHealth(versions=self.versions)


@attrs.define(eq=False, slots=False)
class Shop:
    """Three nodes that may lead; instances come and go as the desired row says."""

    log: object
    make_kv: object
    nursery: object
    health: PlayedHealth = attrs.field(factory=PlayedHealth)
    failing: set = attrs.field(factory=set)
    late: set = attrs.field(factory=set)
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    term: int = 0
    jump_s: float = 0.0

    def __attrs_post_init__(self):
        self.kv = self.make_kv("n1")
        self.ids = itertools.count(1)
        self.live = {NodeId(f"n{n}"): Incarnation("i") for n in (1, 2, 3)}
        rows = [MemberRow(node=node, incarnation=Incarnation("i"), available=(OLD, NEW)) for node in self.live]
        self.log.apply(Batch((), tuple(Put(keys.member(row.node), row) for row in rows)))
        self.operator = RolloutOperator(
            self.kv, lambda: self.live, wall=self.wall, new_id=lambda: f"r{next(self.ids)}", health=self.health
        )

    def wall(self):
        return WALL_S + trio.current_time() + self.jump_s

    def want(self, instances=3, **more):
        self.put(keys.desired(BASE), DesiredRow(artifact=OLD, instances=instances, blueprint="shop", **more))

    def put(self, key, row):
        self.log.apply(Batch((), (Put(key, row),)))

    async def lead(self, name):
        """Let `name` lead; the manager of the leader before is stopped in whatever it does."""
        self.scope.cancel()
        self.term += 1
        self.put(keys.leadership, LeadershipRow(term=self.term, node=NodeId(name)))
        self.scope = trio.CancelScope()
        kv = self.make_kv(name)
        manager = RolloutManager(
            kv,
            lambda: self.live,
            wall=self.wall,
            new_id=lambda: f"r{next(self.ids)}",
            health=self.health,
            floor_s=30.0,
        )
        await self.nursery.start(self._lead, manager, self.scope)
        return kv

    async def _lead(self, manager, scope, *, task_status):
        with scope:
            await manager.run(task_status=task_status)

    async def reconcile(self):
        """Rows as the desired row wants them, at once."""
        ids = itertools.count(1)
        async with Watch(self.log.watchers, (keys.DESIRED, keys.INSTANCES)) as watch:
            while True:
                await trio.sleep(0.05)
                self._step(ids)
                await watch.changed()

    def _step(self, ids):
        desired = self.kv.get(keys.desired(BASE))
        wanted = {} if desired is None else {desired.artifact.version: desired.instances}
        if desired is not None and desired.beside is not None:
            wanted[desired.beside] = desired.beside_instances
        changes = []
        rows = list(self.kv.rows(keys.INSTANCES))
        for version in {row.artifact.version for row in rows} | wanted.keys():
            ours = [row for row in rows if row.artifact.version == version]
            for row in ours[wanted.get(version, 0) :]:
                changes.append(Delete(keys.instance(BASE, row.instance)))
            for _ in range(wanted.get(version, 0) - len(ours)):
                number = next(ids)
                changes.append(self._born(InstanceId(f"x{number}"), version, NodeId(f"n{number % 3 + 1}")))
        if changes:
            self.log.apply(Batch((), tuple(changes)))

    def _born(self, instance, version, node):
        state = SliceState.ACTIVE
        if str(version) in self.failing:
            state = SliceState.FAILED
        elif str(version) in self.late:
            state = SliceState.LOADING
        row = InstanceRow(
            instance=instance,
            artifact=BASE.at(version),
            node=node,
            incarnation=Incarnation("i"),
            state=state,
            reason="bang" if state is SliceState.FAILED else "",
        )
        return Put(keys.instance(BASE, instance), row)

    def fail_all(self, version):
        for row in self.kv.rows(keys.INSTANCES):
            if str(row.artifact.version) == version:
                self.put(keys.instance(BASE, row.instance), attrs.evolve(row, state=SliceState.FAILED, reason="bang"))

    def rollouts(self):
        return list(self.kv.rows(keys.ROLLOUTS))

    def row(self):
        return max(self.rollouts(), key=lambda row: (row.created_at, row.id))

    async def until(self, *states, within_s=900.0):
        await self.when(lambda: self.row().state in states, within_s)
        return self.row()

    async def when(self, condition, within_s=900.0):
        """Return once `condition()` holds of the rows."""
        async with Watch(self.log.watchers, ("",)) as watch:
            with trio.fail_after(within_s):
                while not condition():
                    await watch.changed()

    def versions(self):
        return sorted(str(row.artifact.version) for row in self.kv.rows(keys.INSTANCES) if row.state == "ACTIVE")


@pytest.fixture
async def shop(log, kv):
    async with trio.open_nursery() as nursery:
        shop = Shop(log, lambda name: type(kv)(log, name), nursery)
        nursery.start_soon(shop.reconcile)
        yield shop
        nursery.cancel_scope.cancel()


PLANS = [
    RolloutPlan(strategy=Strategy.IMMEDIATE),
    RolloutPlan(strategy=Strategy.ROLLING),
    RolloutPlan(strategy=Strategy.ROLLING, batch=2, hold_s=1),
    RolloutPlan(strategy=Strategy.CANARY, hold_s=2),
    RolloutPlan(strategy=Strategy.BLUE_GREEN, cleanup=Cleanup.GRACE_PERIOD, grace_s=3),
]


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.strategy)
async def test_an_update_is_carried_through_by_one_leader(autojump_clock, shop, plan):
    shop.want()
    await trio.sleep(1)
    await shop.lead("n1")
    await shop.operator.start("shop:pricing", "2.0.0", plan)
    row = await shop.until(*TERMINAL)
    assert (row.state, row.reason) == (R.COMPLETED, "")
    await trio.sleep(1)
    assert shop.versions() == ["2.0.0"] * 3
    assert shop.kv.get(keys.traffic(BASE)) is None
    desired = shop.kv.get(keys.desired(BASE))
    assert (desired.artifact, desired.instances, desired.beside) == (NEW, 3, None)


@pytest.mark.parametrize("goes_back", [False, True])
@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.strategy)
async def test_the_leader_may_be_stopped_after_every_transition(autojump_clock, shop, plan, goes_back):
    """Another one goes on from the rows: forwards, or back from where it was told."""
    shop.want()
    await trio.sleep(1)
    await shop.lead("n1")
    await shop.operator.start("shop:pricing", "2.0.0", plan)
    leaders = itertools.cycle(["n2", "n3", "n1"])
    known, stops = None, 0
    while (row := shop.row()).state not in TERMINAL:
        known, stops = row, stops + 1
        shop.scope.cancel()
        if goes_back and row.state is R.ROUTING and row.weight_new > 0:
            await shop.operator.rollback("current")
        await shop.lead(next(leaders))
        await shop.when(lambda: shop.row() != known)  # noqa: B023 - awaited here
    assert row.state is (R.ROLLED_BACK if goes_back else R.COMPLETED)
    assert stops >= 6
    await trio.sleep(1)
    assert shop.versions() == ["1.0.0" if goes_back else "2.0.0"] * 3
    assert shop.kv.get(keys.traffic(BASE)) is None


@pytest.mark.parametrize("jump_s", [3_600.0, -3_600.0], ids=["forth", "back"])
async def test_a_wall_clock_that_jumps_in_the_middle_of_a_hold_moves_nothing(autojump_clock, shop, jump_s):
    """Somebody set it right: neither is a canary let loose before its time, nor does the update stand for an hour."""
    shop.want()
    await trio.sleep(1)
    await shop.lead("n1")
    await shop.operator.start("shop:pricing", "2.0.0", RolloutPlan(strategy=Strategy.CANARY, hold_s=60))
    held = await shop.until(R.VALIDATING)
    began = trio.current_time()
    await trio.sleep(30)
    shop.jump_s = jump_s

    await shop.when(lambda: shop.row().state is not R.VALIDATING)
    assert trio.current_time() - began == pytest.approx(60, abs=0.1)
    assert shop.row().since - held.since == pytest.approx(60 + jump_s, abs=0.1), "readers see the wall clock as it is"
    assert (await shop.until(*TERMINAL)).state is R.COMPLETED


@pytest.mark.parametrize("jump_s", [3_600.0, -3_600.0], ids=["forth", "back"])
async def test_a_wall_clock_that_jumps_moves_no_time_out(autojump_clock, shop, jump_s):
    """Instances that are still coming are waited for as long as was said."""
    shop.want()
    await trio.sleep(1)
    shop.late.add(str(NEW.version))
    await shop.lead("n1")
    await shop.operator.start("shop:pricing", "2.0.0")
    await shop.until(R.DEPLOYING)
    began = trio.current_time()
    await trio.sleep(100)
    shop.jump_s = jump_s

    await shop.until(R.ROLLING_BACK)
    assert trio.current_time() - began == pytest.approx(ROLLOUT_DEPLOY_S, abs=0.1)


async def test_a_new_leader_holds_for_no_longer_than_the_whole_time_once_more(autojump_clock, shop):
    """It counts from when it first saw the row, since the clock of the one before may have been another."""
    shop.want()
    await trio.sleep(1)
    await shop.lead("n1")
    await shop.operator.start("shop:pricing", "2.0.0", RolloutPlan(strategy=Strategy.CANARY, hold_s=60))
    await shop.until(R.VALIDATING)
    began = trio.current_time()
    await trio.sleep(30)
    shop.jump_s = 3_600.0  # that of the new one

    await shop.lead("n2")
    await shop.when(lambda: shop.row().state is not R.VALIDATING)
    assert trio.current_time() - began == pytest.approx(30 + 60, abs=0.1)


@pytest.mark.parametrize("happens", [False, True])
async def test_every_write_may_be_lost_or_unanswered(autojump_clock, shop, happens):
    """What happened without an answer is not done twice; what did not happen is done again."""
    shop.want()
    await trio.sleep(1)
    kv = await shop.lead("n1")
    errors = itertools.cycle([(OutcomeUnknown() if happens else NoQuorum(1, 2), happens), (None, True)])
    kv.fail_next.extend(itertools.islice(errors, 200))
    await shop.operator.start("shop:pricing", "2.0.0")
    assert (await shop.until(*TERMINAL)).state is R.COMPLETED


async def test_a_completed_update_writes_the_blueprint_anew(autojump_clock, shop):
    """So that applying it again changes nothing, and its history says why."""
    shop.want()
    shop.put(keys.blueprint("shop", 1), BlueprintRow(id="shop", number=1, text=TEXT, slices=(OLD,)))
    shop.put(keys.blueprint_current("shop"), 1)
    await shop.lead("n1")
    await shop.operator.start("shop:pricing:2.0.0")
    await shop.until(R.COMPLETED)
    row = shop.kv.get(keys.blueprint("shop", shop.kv.get(keys.blueprint_current("shop"))))
    assert row.text == TEXT.replace("1.0.0", "2.0.0")
    assert (row.number, row.applied_by) == (2, "rollout r1")
    assert row.reason == "shop:pricing updated to 2.0.0"
    assert row.slices == (NEW,)


async def test_the_health_of_a_step_decides_over_it(autojump_clock, shop):
    """Bad: back, with the figures as the reason."""
    shop.want()
    await shop.lead("n1")
    gates = Gates(error_rate=0.01, requests_min=20)
    await shop.operator.start("shop:pricing", "2.0.0", RolloutPlan(strategy=Strategy.CANARY, gates=gates, hold_s=1))
    shop.health.versions = {NEW.version: VersionHealth(requests=5)}
    row = await shop.until(R.VALIDATING)
    await trio.sleep(4)
    row = shop.row()
    assert (row.step, row.weight_new, row.weight_old) == (0, 1, 99)
    assert row.health["finding"] == "TOO_FEW"

    shop.health.versions = {NEW.version: VersionHealth(requests=100)}
    await shop.when(lambda: shop.row().step >= 2)
    shop.health.versions = {NEW.version: VersionHealth(requests=100, errors=7)}
    row = await shop.until(*TERMINAL)
    assert row.state is R.ROLLED_BACK
    assert "7 of 100 calls to the new version failed" in row.reason


async def test_traffic_waits_for_the_slowest_node(autojump_clock, shop):
    """A step counts only when every live node goes by it."""
    shop.want()
    kv = await shop.lead("n1")
    slow = set()
    kv.behind = lambda nodes, revision: frozenset(nodes) & slow
    slow.add(NodeId("n3"))
    await shop.operator.start("shop:pricing", "2.0.0")
    await trio.sleep(30)
    assert shop.row().state is R.DEPLOYING
    slow.clear()
    assert (await shop.until(*TERMINAL)).state is R.COMPLETED


async def test_the_newest_finished_updates_are_kept(autojump_clock, shop, monkeypatch):
    monkeypatch.setattr("aether.deployment.rollout_writes.ROLLOUTS_KEPT", 3)
    assert ROLLOUTS_KEPT == 20
    shop.want()
    await shop.lead("n1")
    started = []
    for version in ["2.0.0", "1.0.0"] * 3:
        shown = await shop.operator.start("shop:pricing", version, RolloutPlan(strategy=Strategy.IMMEDIATE))
        started.append(shown.row.id)
        await shop.until(R.COMPLETED)
    assert [row.id for row in sorted(shop.rollouts(), key=lambda row: row.created_at)] == started[-3:]


# --- back to the version before, outside of an update ---


async def test_a_version_whose_instances_all_fail_later_gives_way_to_the_one_before(autojump_clock, shop):
    shop.want()
    await shop.lead("n1")
    await shop.operator.start("shop:pricing", "2.0.0", RolloutPlan(strategy=Strategy.IMMEDIATE))
    await shop.until(R.COMPLETED)
    shop.failing.add("2.0.0")
    shop.fail_all("2.0.0")
    await shop.when(lambda: shop.versions() == ["1.0.0"] * 3)
    row = await shop.until(R.COMPLETED)
    assert (row.by, row.old, row.new) == (RETURN, NEW.version, OLD.version)

    shop.failing.add("1.0.0")
    shop.fail_all("1.0.0")
    await trio.sleep(1000)
    assert len(shop.rollouts()) == 2, "nothing to return to: it does not swing"


async def test_there_is_a_pause_between_two_returns_and_no_third(autojump_clock, shop):
    """1 -> 2 -> 3 by hand; 3 fails, 300 s later 2; then there is 1."""
    third = Artifact.parse("shop:pricing:3.0.0")
    shop.want()
    for node in shop.live:
        shop.put(keys.member(node), attrs.evolve(shop.kv.get(keys.member(node)), available=(OLD, NEW, third)))
    await shop.lead("n1")
    for version in ("2.0.0", "3.0.0"):
        await shop.operator.start("shop:pricing", version, RolloutPlan(strategy=Strategy.IMMEDIATE))
        await shop.until(R.COMPLETED)
    shop.failing |= {"3.0.0"}
    shop.fail_all("3.0.0")
    await shop.when(lambda: shop.versions() == ["2.0.0"] * 3)
    await shop.until(R.COMPLETED)
    shop.failing |= {"2.0.0"}
    shop.fail_all("2.0.0")
    await trio.sleep(250)
    assert shop.kv.get(keys.desired(BASE)).artifact == NEW
    await trio.sleep(120)
    assert shop.kv.get(keys.desired(BASE)).artifact == OLD


# --- what people ask for ---


async def begin(shop, plan=None, **wanted):
    shop.want(**wanted)
    await trio.sleep(1)
    await shop.lead("n1")
    plan = plan or RolloutPlan(strategy=Strategy.MANUAL)
    return (await shop.operator.start("shop:pricing", "2.0.0", plan)).row.id


async def test_by_hand_traffic_moves_as_told(autojump_clock, shop):
    """The story of the original's tests: deployed without traffic, 1:3, 1:1, 3:1, 1:0, complete."""
    identity = await begin(shop)
    row = await shop.until(R.DEPLOYED)
    assert (row.weight_new, row.weight_old) == (0, 1)
    await trio.sleep(100)
    assert shop.row().state is R.DEPLOYED
    for new, old in [(1, 3), (1, 1), (3, 1), (1, 0)]:
        shown = await shop.operator.route("current", new, old)
        assert (shown.row.state, shown.row.weight_new, shown.row.weight_old) == (R.ROUTING, new, old)
        assert dict(shop.kv.get(keys.traffic(BASE)).weights) == {"1.0.0": old, "2.0.0": new}
    await shop.operator.complete(identity)
    await shop.until(R.COMPLETED)
    assert shop.versions() == ["2.0.0"] * 3


async def test_rollback_twice_is_once(autojump_clock, shop):
    await begin(shop)
    await shop.until(R.DEPLOYED)
    await shop.operator.route("current", 1, 1)
    first = await shop.operator.rollback("current", "ann")
    assert (first.row.state, first.row.reason, first.changed) == (R.ROLLING_BACK, "rolled back by ann", True)
    second = await shop.operator.rollback("current")
    assert (second.row.state, second.changed) == (R.ROLLING_BACK, False)
    await shop.until(R.ROLLED_BACK)
    assert (await shop.operator.rollback("r1")).row.state is R.ROLLED_BACK
    assert shop.versions() == ["1.0.0"] * 3


async def test_where_there_never_was_an_update_the_answer_says_how_to_begin_one(shop):
    with pytest.raises(NotFound, match="none is known yet; aether rollout start"):
        await shop.operator.get("current")


@pytest.mark.parametrize(
    ("ask", "error", "message"),
    [
        (lambda o: o.start("shop:pricing", "1.0.0"), Conflict, "update r1 to 2.0.0 is under way"),
        (lambda o: o.start("shop:nothing", "1.0.0"), NotFound, "no deployment 'shop:nothing'"),
        (lambda o: o.start("shop", "1.0.0"), BadInput, "shop"),
        (lambda o: o.start("shop:pricing", "x"), BadInput, "x"),
        (lambda o: o.start("shop:pricing"), BadInput, "no version is given: version: name the one that shop:pricing"),
        (lambda o: o.start("shop:pricing:1.0.0", "2.0.0"), BadInput, "two versions"),
        (lambda o: o.get("nope"), NotFound, "no update 'nope'"),
        (lambda o: o.route("nope", 1, 1), NotFound, "no update 'nope'"),
        (lambda o: o.route("r1", 0, 0), BadInput, "0:0 gives nobody any traffic"),
        (lambda o: o.route("r1", -1, 1), BadInput, "newWeight: -1 is no whole number of parts"),
        (lambda o: o.approve("r1"), Conflict, "nothing waits for approval while it is DEPLOYED"),
        (lambda o: o.complete("r1"), Conflict, "0 and the old one 1 parts of the traffic; route all of it first"),
    ],
)
async def test_what_does_not_fit_is_refused_with_what_to_do(autojump_clock, shop, ask, error, message):
    await begin(shop)
    await shop.until(R.DEPLOYED)
    with pytest.raises(error, match=message):
        await ask(shop.operator)
    assert shop.row().state is R.DEPLOYED


@pytest.mark.parametrize(
    ("version", "plan", "wanted", "error", "message"),
    [
        ("1.0.0", RolloutPlan(), {}, Conflict, "version 1.0.0 is in force already"),
        ("9.0.0", RolloutPlan(), {}, BadInput, "can load: 1.0.0, 2.0.0"),
        ("2.0.0", RolloutPlan(batch=0), {}, BadInput, "batch: 0 is no whole number"),
        ("2.0.0", RolloutPlan(instances=10**6), {}, BadInput, "instances: 1000000 is no whole number from 1 to 1000"),
        ("2.0.0", RolloutPlan(strategy=Strategy.CANARY, steps=(50, 20)), {}, BadInput, "do not rise"),
        ("2.0.0", RolloutPlan(strategy=Strategy.AB, rules=("x",)), {}, BadInput, "write header:NAME=VALUE"),
        ("2.0.0", RolloutPlan(strategy=Strategy.AB), {}, BadInput, "needs rules"),
        ("2.0.0", RolloutPlan(gates=Gates(error_rate=2)), {}, BadInput, "error_rate: 2 is no share"),
        ("2.0.0", RolloutPlan(gates=Gates(error_rate=math.nan)), {}, BadInput, "error_rate: nan is no share"),
        ("2.0.0", RolloutPlan(gates=Gates(p99_ms=10**4500)), {}, BadInput, "p99_ms: a huge number is no latency"),
        ("2.0.0", RolloutPlan(gates=Gates(against_old=10**30)), {}, BadInput, "is no factor from 1 to 1000000000"),
        ("2.0.0", RolloutPlan(gates=Gates(requests_min=10**30)), {}, BadInput, "requests_min: 10000"),
        ("2.0.0", RolloutPlan(hold_s=10**400), {}, BadInput, "hold_s: a huge number is no time from 0 to 604800 s"),
        ("2.0.0", RolloutPlan(hold_s=-1), {}, BadInput, "hold_s: -1 is no time"),
        ("2.0.0", RolloutPlan(grace_s=math.inf), {}, BadInput, "grace_s: inf is no time"),
        ("2.0.0", RolloutPlan(grace_s="soon"), {}, BadInput, "grace_s: 'soon' is no time"),
        ("2.0.0", RolloutPlan(sticky="x" * 9_999), {}, BadInput, "sticky: 9999 characters"),
        ("2.0.0", RolloutPlan(strategy=Strategy.CANARY, steps=("a", 1)), {}, BadInput, "steps: 'a' is no whole"),
        ("2.0.0", RolloutPlan(strategy=Strategy.CANARY, steps=(101,) * 10_000), {}, BadInput, "10000 of them, at most"),
        ("2.0.0", RolloutPlan(strategy=Strategy.BLUE_GREEN), {"max_per_node": 1}, Conflict, "room for 3; add nodes"),
        ("2.0.0", RolloutPlan(), {"max_per_node": 1, "min_available": "100%"}, Conflict, "leaves 2 ACTIVE where"),
    ],
)
async def test_an_update_that_cannot_be_is_refused_before_it_begins(
    autojump_clock, shop, version, plan, wanted, error, message
):
    shop.want(**wanted)
    with pytest.raises(error, match=message) as raised:
        await shop.operator.start("shop:pricing", version, plan)
    assert len(str(raised.value)) < 2_000
    assert shop.rollouts() == []
    assert shop.kv.get(keys.traffic(BASE)) is None


async def test_of_two_operators_at_once_one_is_told_whose_update_won(autojump_clock, shop):
    shop.want()
    outcomes = []

    async def start(version):
        try:
            outcomes.append((await shop.operator.start("shop:pricing", version, by=f"op-{version}")).row.by)
        except Conflict as error:
            outcomes.append(str(error))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(start, "2.0.0")
        nursery.start_soon(start, "2.0.0")
    assert len(shop.rollouts()) == 1
    assert outcomes[0] == "op-2.0.0"
    assert "by op-2.0.0 is under way (PENDING)" in outcomes[1]


async def test_of_two_updates_that_began_at_once_the_later_one_fails(autojump_clock, shop):
    """An update that came with a blueprint, say."""
    identity = await begin(shop)
    later = attrs.evolve(shop.row(), id="r9", created_at=shop.row().created_at + 1, state=R.PENDING)
    shop.put(keys.rollout(BASE, "r9"), later)
    row = await shop.until(R.FAILED)
    assert (row.id, row.reason) == ("r9", f"update {identity} to 2.0.0 was under way")


async def test_current_is_refused_when_two_are_under_way(autojump_clock, shop):
    await begin(shop)
    other = Artifact.parse("shop:stock:1.0.0")
    row = attrs.evolve(shop.row(), id="r7", artifact=other.base, state=R.PENDING, paused=True)
    shop.put(keys.desired(other.base), DesiredRow(artifact=other, instances=1, blueprint="shop"))
    shop.put(keys.rollout(other.base, "r7"), row)
    with pytest.raises(Conflict, match="2 updates are under way; name one: r1 of shop:pricing, r7 of shop:stock"):
        await shop.operator.get("current")
    assert (await shop.operator.get("shop:stock")).row.id == "r7"


async def test_a_paused_update_stands_until_it_is_resumed(autojump_clock, shop):
    await begin(shop, RolloutPlan(strategy=Strategy.CANARY, hold_s=10))
    await shop.until(R.VALIDATING)
    await shop.operator.pause("current")
    await trio.sleep(1000)
    assert (shop.row().state, shop.row().step) == (R.VALIDATING, 0)
    assert not (await shop.operator.pause("current")).changed
    await shop.operator.resume("current")
    assert (await shop.until(*TERMINAL)).state is R.COMPLETED


async def test_a_share_by_hand_pauses_the_steps_and_resume_goes_on_from_there(autojump_clock, shop):
    await begin(shop, RolloutPlan(strategy=Strategy.CANARY, hold_s=10))
    await shop.until(R.VALIDATING)
    shown = await shop.operator.route("current", 1, 1)
    assert (shown.row.paused, shown.row.step) == (True, 3)
    await trio.sleep(100)
    assert (shop.row().weight_new, shop.row().weight_old) == (1, 1)
    await shop.operator.resume("current")
    assert (await shop.until(*TERMINAL)).state is R.COMPLETED


async def test_every_step_of_a_manual_approval_waits(autojump_clock, shop):
    plan = RolloutPlan(strategy=Strategy.CANARY, steps=(50,), manual_approval=True)
    await begin(shop, plan)
    for state, step in [(R.DEPLOYED, -1), (R.VALIDATING, 0), (R.VALIDATING, 1)]:
        await shop.until(state)
        await trio.sleep(100)
        assert (shop.row().state, shop.row().step) == (state, step)
        await shop.operator.approve("current")
        await trio.sleep(0.5)
    assert (await shop.until(*TERMINAL)).state is R.COMPLETED


async def test_the_old_version_stays_until_told_and_may_have_its_traffic_back(autojump_clock, shop):
    """Cleanup by hand: complete lets it go; a rollback before is instant."""
    plan = RolloutPlan(strategy=Strategy.BLUE_GREEN, cleanup=Cleanup.MANUAL)
    await begin(shop, plan)
    await shop.until(R.COMPLETING)
    await trio.sleep(1000)
    assert shop.versions() == ["1.0.0"] * 3 + ["2.0.0"] * 3
    await shop.operator.rollback("current")
    await shop.until(R.ROLLED_BACK)
    assert shop.versions() == ["1.0.0"] * 3

    await shop.operator.start("shop:pricing", "2.0.0", plan)
    await shop.until(R.COMPLETING)
    await shop.operator.complete("current")
    await shop.until(R.COMPLETED)
    with pytest.raises(Conflict, match=r"it is over; to return, update shop:pricing to 1\.0\.0"):
        await shop.operator.rollback("current")
    assert not (await shop.operator.complete("current")).changed


async def test_an_ab_update_ends_when_somebody_completes_it(autojump_clock, shop):
    plan = RolloutPlan(strategy=Strategy.AB, rules=("header:X-Beta=1",))
    await begin(shop, plan)
    await shop.until(R.VALIDATING)
    traffic = shop.kv.get(keys.traffic(BASE))
    assert (dict(traffic.weights), dict(traffic.rules)) == (
        {"1.0.0": 100, "2.0.0": 0},
        {"header:X-Beta=1": "2.0.0"},
    )
    await shop.operator.complete("current")
    assert (await shop.until(*TERMINAL)).state is R.COMPLETED
    assert shop.kv.get(keys.desired(BASE)).artifact.version == Version.parse("2.0.0")


async def test_the_health_of_both_versions_is_told(autojump_clock, shop):
    await begin(shop)
    shop.health.versions = {NEW.version: VersionHealth(requests=3, errors=1)}
    shown, health = await shop.operator.health("current")
    assert (shown.row.id, health.new.requests, health.new.errors, health.old.requests) == ("r1", 3, 1, 0)
