"""Both managers together, in virtual time: from a wish to ACTIVE instances, and back, through trouble."""

import itertools

import pytest
import trio

from aether.errors import BadInput, NoQuorum, NotFound, OutcomeUnknown, Overloaded
from aether.kv import keys
from aether.kv.commands import Batch, Put
from aether.model.artifact import Artifact
from aether.model.ids import InstanceId
from aether.model.lifecycle import DOWNWARD, NEXT, TIMEOUTS_S
from aether.model.limits import STEP_SHOWN_S
from aether.model.rows import DesiredRow

PRICING = "shop:pricing:1.0.0"
NEWER = "shop:pricing:1.1.0"
BASE = "shop:pricing"
HAPPY = ("LOAD", "LOADING", "LOADED", "ACTIVATE", "ACTIVATING", "ACTIVE")


async def three_nodes(world, *available):
    for name in ("n1", "n2", "n3"):
        await world.start(name, *(available or (PRICING,)))
    world.elect("n1")


def active(world, count):
    return lambda: len(world.where(BASE)) == count


def served(world):
    """The instance that is ACTIVE; one that failed before it may still be going."""
    return next(row for row in world.instances() if row.state == "ACTIVE")


def gone(world):
    return lambda: not world.instances()


def rows_written(world, instance):
    """The states of one instance as they stood in the store, in order."""
    return [
        change.value.state
        for _, batch in world.log.history
        for change in batch.changes
        if getattr(getattr(change, "value", None), "instance", None) == instance
    ]


async def test_a_wish_becomes_active_instances_spread_over_the_nodes(autojump_clock, world):
    """The main job: deploy, and each node runs one."""
    await three_nodes(world)

    await world.operator.deploy(PRICING, 3)
    took_s = await world.until(active(world, 3))

    assert world.where(BASE) == ["n1", "n2", "n3"]
    assert took_s < 1.0, "wake-ups, not the floor, drive it"
    assert [row.artifact for row in world.rows(keys.ROUTES)] == [row.artifact.base for row in world.rows(keys.DESIRED)]


async def test_every_transition_that_lasts_is_visible_as_a_row_and_legal(autojump_clock, world):
    """An operator sees where an instance hangs, because each step is written soon after it begins."""
    for name in ("n1", "n2", "n3"):
        node = await world.start(name, PRICING)
        node.host.load_s = node.host.start_s = node.host.stop_s = node.host.unload_s = 2 * STEP_SHOWN_S
    world.elect("n1")
    await world.operator.deploy(PRICING, 1)
    await world.until(active(world, 1))
    await world.operator.undeploy(BASE)
    await world.until(gone(world))

    states = rows_written(world, InstanceId("x1"))

    assert states == [
        *HAPPY,
        *("DEACTIVATE", "DEACTIVATING", "LOADED", "UNLOAD", "UNLOADING"),
    ]
    assert all(b in NEXT[a] for a, b in itertools.pairwise(states))


async def test_a_swift_start_shows_its_ends_alone(autojump_clock, world):
    """Each row is a write of the majority, and calls that wake a slice wait for all that come before ACTIVE."""
    await three_nodes(world)
    await world.operator.deploy(PRICING, 1)
    await world.until(active(world, 1))

    assert rows_written(world, InstanceId("x1")) == ["LOAD", "ACTIVE"]


async def test_a_swift_end_shows_its_order_alone(autojump_clock, world):
    """What goes to zero may be woken at once: its own end must not stand in front of the new beginning."""
    await three_nodes(world)
    for node in world.nodes.values():
        node.host.stop_s = node.host.unload_s = STEP_SHOWN_S / 4
    await world.operator.deploy(PRICING, 1)
    await world.until(active(world, 1))
    await world.operator.undeploy(BASE)
    await world.until(gone(world))

    assert rows_written(world, InstanceId("x1"))[2:] == ["DEACTIVATE"]


async def test_of_a_slice_that_is_wanted_the_leader_says_when_an_instance_goes(autojump_clock, world):
    """It may want the one that was stopped again, and its code is loaded still."""
    await three_nodes(world)
    await world.operator.deploy(PRICING, 2)
    await world.until(active(world, 2))
    await world.operator.scale(BASE, 1)
    await world.until(lambda: len(world.instances()) == 1)

    (kept,) = world.instances()
    (other,) = {"x1", "x2"} - {kept.instance}
    assert rows_written(world, InstanceId(other))[2:] == ["DEACTIVATE", "LOADED", "UNLOAD"]


@pytest.mark.parametrize("trouble", [ValueError("no"), OutcomeUnknown()], ids=["failed", "unknown"])
async def test_an_end_that_comes_while_its_beginning_is_written_is_the_end(autojump_clock, world, trouble):
    """A row that says DEACTIVATING after LOADED would be stopped twice."""
    node = await world.start("n1", PRICING)
    world.elect("n1")
    await world.operator.deploy(PRICING, 1)
    await world.until(active(world, 1))
    node.host.stop_s = node.host.unload_s = STEP_SHOWN_S
    if isinstance(trouble, ValueError):
        node.host.fail["deactivate", "pricing"] = [trouble]
    else:
        node.kv.fail_next = [(trouble, True), (trouble, False)] * 3
    await world.operator.undeploy(BASE)
    await world.until(gone(world), within_s=10)

    seen = [state for state, _ in itertools.groupby(rows_written(world, InstanceId("x1")))]
    ways = [(a, b) for a, b in itertools.combinations(DOWNWARD, 2)]
    assert all(b in NEXT[a] or (a, b) in ways for a, b in itertools.pairwise(seen[2:])), seen
    assert node.host.calls.count(("deactivate", InstanceId("x1"))) == 1


async def test_the_next_order_does_not_wait_once_more_for_as_long_as_the_last_write_took(autojump_clock, world):
    """Changes gather while the leader waits for its own write; then whoever waits for the next order is served."""
    leader = await world.start("n1")
    leader.kv.latency_s = 0.1
    node = await world.start("n2", PRICING)
    node.host.load_s = node.host.start_s = 2 * STEP_SHOWN_S
    world.elect("n1")
    await world.operator.deploy(PRICING, 1)

    assert await world.until(active(world, 1)) == pytest.approx(2 * 0.1 + 2 * 2 * STEP_SHOWN_S, abs=0.01)


@pytest.mark.parametrize("trouble", [ValueError("no"), OutcomeUnknown()], ids=["failed", "unknown"])
@pytest.mark.parametrize("work", ["load", "activate"])
async def test_a_start_that_ends_while_its_beginning_is_written_goes_on(autojump_clock, world, work, trouble):
    """Neither may overtake the other: a row that says LOADING after LOADED would be loaded twice."""
    node = await world.start("n1", PRICING)
    world.elect("n1")
    node.host.load_s = STEP_SHOWN_S if work == "load" else 0.0
    node.host.start_s = STEP_SHOWN_S
    if isinstance(trouble, ValueError):
        node.host.fail[work, "pricing"] = [trouble]
    else:
        node.kv.fail_next = [(trouble, True), (trouble, False)] * 3
    await world.operator.deploy(PRICING, 1)
    await world.until(active(world, 1), within_s=10)

    seen = [state for state, _ in itertools.groupby(rows_written(world, InstanceId("x1")))]  # unknown ones are repeated
    assert seen == [state for state in HAPPY if state in seen] or seen[-1] == "UNLOAD", seen
    assert node.host.calls.count(("activate", served(world).instance)) == 1


async def test_undeploy_removes_instances_and_routes(autojump_clock, world):
    """Left-over routes would answer 503 for ever instead of 404; left-over rows would be called."""
    await three_nodes(world)
    await world.operator.deploy(PRICING, 3)
    await world.until(active(world, 3))

    await world.operator.undeploy(BASE)
    await world.until(lambda: not world.instances() and not world.rows(keys.ROUTES))

    assert all(not node.host.running for node in world.nodes.values())


async def test_scaling_up_and_down_keeps_the_spread(autojump_clock, world):
    """Two instances on one node after a scale-down would put all eggs into one basket."""
    await three_nodes(world)
    await world.operator.deploy(PRICING, 1)
    await world.until(active(world, 1))

    await world.operator.scale(BASE, 6)
    await world.until(active(world, 6))
    assert world.where(BASE) == ["n1", "n1", "n2", "n2", "n3", "n3"]

    await world.operator.scale(BASE, 3)
    await world.until(lambda: len(world.instances()) == 3)
    assert world.where(BASE) == ["n1", "n2", "n3"]


async def test_instances_of_a_dead_node_appear_elsewhere_soon_after_it_counts_as_lost(autojump_clock, world):
    """Healing is bounded: two seconds of silence, then the time to start."""
    await three_nodes(world)
    await world.operator.deploy(PRICING, 3)
    await world.until(active(world, 3))

    world.kill("n3")
    await trio.sleep(1.9)
    assert "n3" in world.where(BASE), "a short silence moves nothing"
    took_s = await world.until(
        lambda: world.where(BASE) == ["n1", "n1", "n2"] or world.where(BASE) == ["n1", "n2", "n2"]
    )

    assert took_s < 0.5


async def test_a_node_that_was_started_anew_loses_its_old_instances_at_once(autojump_clock, world):
    """Its old process is gone for sure: nothing is gained by waiting."""
    await three_nodes(world)
    await world.operator.deploy(PRICING, 3)
    await world.until(active(world, 3))
    old = {row.instance for row in world.instances() if row.node == "n3"}

    world.kill("n3")
    await world.start("n3", PRICING)
    took_s = await world.until(
        lambda: world.where(BASE) == ["n1", "n2", "n3"] and not old & {r.instance for r in world.instances()}
    )

    assert took_s < 1.0


async def test_a_new_leader_finishes_what_the_old_one_began(autojump_clock, world):
    """No hand-over: it reads the rows and goes on."""
    await three_nodes(world)
    for node in world.nodes.values():
        node.host.load_s = 2 * STEP_SHOWN_S
    await world.operator.deploy(PRICING, 3)
    await world.until(lambda: any(row.state == "LOADED" for row in world.instances()))

    world.elect("n2")
    await world.until(active(world, 3))

    assert len(world.instances()) == 3


async def test_a_deposed_leader_orders_nothing(autojump_clock, world):
    """Its fence no longer stands, so that two leaders never place the same instance."""
    await three_nodes(world)
    world.nodes["n1"].kv.latency_s = 1.0  # its batch is under way while n2 takes over
    world.nodes["n2"].kv.latency_s = 1.5
    await world.operator.deploy(PRICING, 3)
    await trio.sleep(0.5)
    world.elect("n2")
    await trio.sleep(0.7)

    assert world.instances() == []
    await world.until(active(world, 3))
    assert len(world.instances()) == 3


async def test_the_death_of_the_leader_itself_is_healed_by_the_next_one(autojump_clock, world):
    """Followers watch silence too: the new leader does not start counting from zero."""
    await three_nodes(world)
    await world.operator.deploy(PRICING, 3)
    await world.until(active(world, 3))

    world.kill("n1")
    await trio.sleep(1.5)
    world.elect("n2")
    took_s = await world.until(lambda: world.where(BASE).count("n1") == 0 and len(world.where(BASE)) == 3)

    assert took_s < 1.0


async def test_a_start_that_hangs_is_failed_with_its_reason_and_tried_again(autojump_clock, world):
    """A hang must not hold its place for ever, and must say what hung."""
    node = await world.start("n1", PRICING)
    world.elect("n1")
    node.host.fail["activate", "pricing"] = ["hang"]
    await world.operator.deploy(PRICING, 1)

    took_s = await world.until(lambda: any(row.state == "FAILED" for row in world.instances()), within_s=90)
    assert world.instances()[0].reason == "start did not finish in 60 s"
    assert took_s == pytest.approx(60.0, abs=0.2)

    assert await world.until(active(world, 1)) == pytest.approx(1.0, abs=1.1)
    assert served(world).attempt == 1


async def test_what_cannot_be_told_of_an_instance_fails_it_and_not_its_node(autojump_clock, world):
    """Thousands of routes may fit no row; the other slices of the node are none the worse."""
    node = await world.start("n1", PRICING)
    world.elect("n1")
    propose = node.kv.propose

    async def refuse_routes(batch, *, fence=None):
        if any(change.key.head == "routes" for change in batch.changes):
            raise BadInput("routes/shop:pricing: a value of 600000 bytes", ("at most 524288",))
        return await propose(batch, fence=fence)

    node.kv.propose = refuse_routes

    await world.operator.deploy(PRICING, 1)
    await world.until(lambda: any(row.state == "FAILED" for row in world.instances()))

    assert "a value of 600000 bytes" in next(row.reason for row in world.instances())


async def test_failures_are_retried_with_growing_pauses(autojump_clock, world):
    """A slice that cannot start must not burn the cluster."""
    node = await world.start("n1", PRICING)
    world.elect("n1")
    node.host.fail["activate", "pricing"] = [ValueError("no such table\nsecond line")] * 5
    await world.operator.deploy(PRICING, 1)

    await world.until(lambda: any(row.state == "FAILED" for row in world.instances()))
    assert world.instances()[0].reason == "ValueError: no such table"
    took_s = await world.until(active(world, 1), within_s=60)

    assert 31.0 <= took_s <= 37.0, "1 + 2 + 4 + 8 + 16 s, each noticed within a second"
    assert served(world).attempt == 5


async def test_a_failing_instance_is_tried_elsewhere(autojump_clock, world):
    """The fault may be the node's."""
    bad = await world.start("n1", PRICING)
    await world.start("n2", PRICING)
    world.elect("n1")
    bad.host.fail["load", "pricing"] = [OSError("disk")] * 100
    await world.operator.deploy(PRICING, 1)

    await world.until(active(world, 1))

    assert world.where(BASE) == ["n2"]


async def test_what_a_starting_instance_waits_for_stands_in_its_row(autojump_clock, world):
    """'Stuck in ACTIVATING' is the first question an operator asks."""
    node = await world.start("n1", PRICING)
    world.elect("n1")
    node.host.waits_for["pricing"] = ("waits for shop:inventory", 5.0)
    await world.operator.deploy(PRICING, 1)

    await world.until(lambda: any(row.reason == "waits for shop:inventory" for row in world.instances()))
    assert world.states() == ["n1:ACTIVATING"]
    await world.until(active(world, 1))

    assert world.instances()[0].reason == ""


async def test_a_short_wait_is_not_worth_a_row(autojump_clock, world):
    """Slices that are deployed together wait for each other for a moment; the log should not fill with that."""
    node = await world.start("n1", PRICING)
    world.elect("n1")
    node.host.waits_for["pricing"] = ("waits for shop:inventory", 0.2)
    await world.operator.deploy(PRICING, 1)

    await world.until(active(world, 1))

    written = [c.value.reason for _, b in world.log.history for c in b.changes if hasattr(c.value, "reason")]
    assert written
    assert set(written) == {""}


async def test_a_start_that_waited_too_long_says_for_what(autojump_clock, world):
    """The time-out alone would not say which slice is missing."""
    node = await world.start("n1", PRICING)
    world.elect("n1")
    node.host.waits_for["pricing"] = ("shop:inventory", 1_000.0)
    await world.operator.deploy(PRICING, 1)

    await world.until(lambda: any(row.state == "FAILED" for row in world.instances()), within_s=90)

    assert world.instances()[0].reason == "start did not finish in 60 s; it waited for shop:inventory"


async def test_undeploy_does_not_wait_for_a_start_that_nobody_wants_any_more(autojump_clock, world):
    """Otherwise a mistyped deployment would hold its node for a minute."""
    node = await world.start("n1", PRICING)
    world.elect("n1")
    node.host.fail["activate", "pricing"] = ["hang"]
    await world.operator.deploy(PRICING, 1)
    await world.until(lambda: world.states() == ["n1:ACTIVATING"])

    await world.operator.undeploy(BASE)

    assert await world.until(gone(world)) < 1.0
    reasons = {getattr(c.value, "reason", "") for _, b in world.log.history for c in b.changes if hasattr(c, "value")}
    assert "nobody wants it any more" in reasons


async def test_a_crash_in_the_background_is_a_failure_with_its_reason(autojump_clock, world, caplog):
    """A slice whose background task died must not go on answering calls."""
    node = await world.start("n1", PRICING)
    world.elect("n1")
    await world.operator.deploy(PRICING, 1)
    await world.until(active(world, 1))

    node.host.crash(InstanceId("x1"), ExceptionGroup("background", [KeyError("sku")]))
    await world.until(lambda: world.states() == ["n1:FAILED"])
    assert world.instances()[0].reason == "crashed: KeyError: 'sku'"
    assert f"x1 of {PRICING} crashed" in [r.message for r in caplog.records if r.levelname == "ERROR" and r.exc_info]

    await world.until(active(world, 1))
    assert list(node.host.running) == ["x2"]
    assert ("deactivate", "x1") not in node.host.calls, "hosting has ended it already"


async def test_a_crash_after_a_long_life_starts_the_pauses_anew(autojump_clock, world):
    """Yesterday's failures say nothing about today's."""
    node = await world.start("n1", PRICING)
    world.elect("n1")
    node.host.fail["activate", "pricing"] = [ValueError("x")] * 3
    await world.operator.deploy(PRICING, 1)
    await world.until(active(world, 1))
    assert served(world).attempt == 3

    await trio.sleep(61.0)
    node.host.crash(world.instances()[0].instance, RuntimeError("late"))
    await world.until(lambda: world.states() == ["n1:FAILED"])

    assert world.instances()[0].attempt == 0


async def test_a_node_whose_rows_were_forgotten_stops_its_instances(autojump_clock, world):
    """It was cut off, and its place given away: two of one is what max_per_node forbids."""
    await three_nodes(world)
    await world.operator.deploy(PRICING, 3)
    await world.until(active(world, 3))
    host = world.nodes["n3"].host

    world.cut("n3")
    await world.until(lambda: "n3" not in {row.node for row in world.instances()})
    await trio.sleep(0.1)

    assert host.running == {}
    assert host.calls[-1][0] == "unload"


async def test_an_old_version_that_comes_late_does_not_take_the_routes_back(autojump_clock, world):
    """It was starting when the new one was wanted: callers would read its terms, and its routes, of yesterday."""
    newer = f"{BASE}:2.0.0"
    node = await world.start("n1", PRICING, newer)
    world.elect("n1")
    node.host.waits_for["pricing"] = ("waits for shop:stock", 5.0)
    await world.operator.deploy(PRICING, 1)
    await trio.sleep(1.0)
    del node.host.waits_for["pricing"]
    await world.operator.deploy(newer, 1)
    await world.until(lambda: [row.idempotent for row in world.rows(keys.ROUTES)] == [("v2",)])

    came = await world.until(lambda: any(call[0] == "deactivate" for call in node.host.calls))
    assert came > 3.0, "the old one did arrive, and was sent away"
    assert [row.idempotent for row in world.rows(keys.ROUTES)] == [("v2",)]


async def test_a_new_version_starts_before_the_old_one_stops(autojump_clock, world):
    """At no moment are there fewer ACTIVE instances than wanted."""
    await three_nodes(world, PRICING, NEWER)
    await world.operator.deploy(PRICING, 3)
    await world.until(active(world, 3))

    await world.operator.deploy(NEWER, 3)
    lows = []

    def changed():
        lows.append(len(world.where(BASE)))
        return {str(row.artifact) for row in world.instances()} == {NEWER} and len(world.where(BASE)) == 3

    await world.until(changed)
    assert min(lows) >= 3
    assert world.rows(keys.ROUTES)[0].idempotent == ("v1",)


async def test_a_draining_node_is_relieved_before_it_stops(autojump_clock, world):
    """A drain costs no capacity."""
    await three_nodes(world)
    await world.operator.deploy(PRICING, 3)
    await world.until(active(world, 3))
    lows = []

    def relieved():
        lows.append(len(world.where(BASE)))
        return all(row.node != "n2" for row in world.instances())

    world.drain("n2")
    await world.until(relieved)

    assert min(lows) == 3


async def test_a_shortage_is_a_row_with_its_reason_until_it_ends(autojump_clock, world):
    """`aether status` can say why two of three run; the row is written once, not at each look."""
    await world.start("n1", PRICING)
    world.elect("n1")
    await world.operator.apply(f'[[slices]]\nartifact = "{PRICING}"\ninstances = 3\nmax_per_node = 1\n')
    await world.until(active(world, 1))
    await trio.sleep(10)

    (row,) = world.rows(keys.UNSATISFIED)
    assert (row.missing, row.reason) == (2, "max_per_node = 1 is reached on n1")
    writes = [b for _, b in world.log.history for c in b.changes if c.key.text.startswith("unsatisfied/")]
    assert len(writes) == 1

    await world.start("n2", PRICING)
    await world.start("n3", PRICING)
    await world.until(lambda: active(world, 3)() and not world.rows(keys.UNSATISFIED))


async def test_nothing_is_written_while_nothing_changes(autojump_clock, world):
    """An idle cluster must not fill its log."""
    await three_nodes(world)
    await world.operator.deploy(PRICING, 3)
    await world.until(active(world, 3))
    await trio.sleep(1)
    before = world.log.store.revision

    await trio.sleep(60)

    assert world.log.store.revision == before


async def test_lost_answers_and_lost_quorum_delay_and_never_double(autojump_clock, world):
    """A write may have happened or not: the row tells, and the work is not done twice."""
    node = await world.start("n1", PRICING)
    world.elect("n1")
    node.kv.fail_next = [
        (OutcomeUnknown(), True),
        (OutcomeUnknown(), False),
        (None, True),
        (Overloaded("log", 1), False),
        (OutcomeUnknown(), True),
        (NoQuorum(1, 2), False),
        (OutcomeUnknown(), True),
        (OutcomeUnknown(), False),
        (OutcomeUnknown(), True),
    ]
    await world.operator.deploy(PRICING, 1)
    await world.until(active(world, 1))

    assert [call[0] for call in node.host.calls] == ["load", "activate"]
    assert len(world.instances()) == 1


async def test_without_quorum_managers_wait_and_then_go_on(autojump_clock, world):
    """A minority must neither act nor fall over."""
    await three_nodes(world)
    await world.operator.deploy(PRICING, 3)
    for node in world.nodes.values():
        node.kv.quorum = False
    await trio.sleep(30)
    assert world.instances() == []

    for node in world.nodes.values():
        node.kv.quorum = True
    await world.until(active(world, 3))


async def test_an_unload_that_fails_is_repeated_with_pauses_and_visible(autojump_clock, world):
    """Neither a hot loop nor a row that is left for ever."""
    node = await world.start("n1", PRICING)
    world.elect("n1")
    await world.operator.deploy(PRICING, 1)
    await world.until(active(world, 1))
    node.host.fail["unload", "*"] = [NotFound("file", "x"), OSError("busy")]

    await world.operator.undeploy(BASE)
    await world.until(lambda: world.states() == ["n1:FAILED"])
    assert world.instances()[0].reason.startswith("NotFound")

    took_s = await world.until(gone(world))
    assert 3.0 <= took_s < 3.5, "1 s, then 2 s"


async def test_a_stop_that_hangs_is_failed_and_cleared_away(autojump_clock, world):
    """The place of a hanging instance comes free in bounded time."""
    node = await world.start("n1", PRICING)
    world.elect("n1")
    await world.operator.deploy(PRICING, 1)
    await world.until(active(world, 1))
    node.host.fail["deactivate", "pricing"] = ["hang"]

    await world.operator.undeploy(BASE)
    await world.until(lambda: world.states() == ["n1:FAILED"], within_s=40)
    assert world.instances()[0].reason == "stop did not finish in 30 s"

    await world.until(gone(world))


async def test_time_outs_are_parameters(autojump_clock, world):
    """A slice that loads a model needs more than a test does."""
    node = await world.start("n1", PRICING, timeouts_s=dict.fromkeys(TIMEOUTS_S, 2.0))
    world.elect("n1")
    node.host.fail["load", "pricing"] = ["hang"]
    await world.operator.deploy(PRICING, 1)

    assert await world.until(lambda: world.states() == ["n1:FAILED"]) == pytest.approx(2.0, abs=0.1)
    assert world.instances()[0].reason == "load did not finish in 2 s"


@pytest.mark.parametrize(
    ("fields", "limit_s"),
    [({"timeouts_s": {"deactivating": 5.0}}, 5), ({"drain_s": 60.0}, 70), ({"drain_s": 1.0}, 30)],
)
async def test_a_stop_has_the_time_that_its_desired_row_gave_it_even_when_that_is_gone(
    autojump_clock, world, fields, limit_s
):
    """A long drain must not be cut off by the default of a stop, also when nobody wants the slice any more."""
    node = await world.start("n1", PRICING)
    world.elect("n1")
    artifact = Artifact.parse(PRICING)
    wish = DesiredRow(artifact=artifact, instances=1, blueprint="adhoc", **fields)
    world.log.apply(Batch((), (Put(keys.desired(artifact.base), wish),)))
    await world.until(active(world, 1))
    node.host.fail["deactivate", "pricing"] = ["hang"]

    await world.operator.undeploy(BASE)
    took_s = await world.until(lambda: world.states() == ["n1:FAILED"], within_s=90)
    assert took_s == pytest.approx(limit_s, abs=1.0)
    assert world.instances()[0].reason == f"stop did not finish in {limit_s} s"


async def test_rows_of_an_earlier_incarnation_are_not_touched_by_their_node(autojump_clock, world):
    """They describe a process that is gone; only the leader may forget them."""
    old = await world.start("n1", PRICING)
    world.elect("n1")
    old.host.fail["load", "pricing"] = ["hang"]
    await world.operator.deploy(PRICING, 1)
    await world.until(lambda: world.states() == ["n1:LOADING"])
    world.kill("n1")
    world.elect("nobody")

    node = await world.start("n1", PRICING)
    await trio.sleep(10)

    assert node.host.calls == []
    assert world.states() == ["n1:LOADING"]


async def test_a_process_that_answers_before_its_member_row_is_written_counts_as_a_new_one(autojump_clock, world):
    """The leader believes the incarnation that answers, not the row of the one before."""
    await three_nodes(world)
    await world.operator.deploy(PRICING, 3)
    await world.until(active(world, 3))

    world.nodes.pop("n3").scope.cancel()
    world.reachable["n3"] = "another"
    world.members_changed()

    assert await world.until(lambda: "n3" not in {row.node for row in world.instances()}) < 0.5
    await world.until(active(world, 3))
    assert "n3" not in world.where(BASE)


async def test_an_instance_that_hosting_stopped_by_itself_is_stopped_and_no_failure(autojump_clock, world):
    """A draining node stops its instances at once; the leader's order comes after."""
    await three_nodes(world)
    await world.operator.deploy(PRICING, 3)
    await world.until(active(world, 3))
    world.nodes["n2"].host.running.clear()

    world.drain("n2")
    seen = set()
    await world.until(lambda: seen.update(world.states()) or all(row.node != "n2" for row in world.instances()))

    assert "n2:DEACTIVATE" in seen
    assert "n2:FAILED" not in seen


async def test_an_override_ends_by_itself_and_the_blueprint_s_count_comes_back(autojump_clock, world):
    """The leader looks at the clock; nobody has to remember the sale."""
    await world.start("n1", PRICING)
    world.elect("n1")
    await world.operator.deploy(PRICING, 1)
    await world.operator.scale("shop:pricing", 3, for_s=20)
    await world.until(lambda: len(world.where("shop:pricing")) == 3)

    took_s = await world.until(lambda: len(world.instances("shop:pricing")) == 1)

    assert 15 < took_s < 25
    assert world.rows(keys.OVERRIDES) == []
