"""Hedged calls, one-way calls, broadcasts, the retry budget: in virtual time."""

import contextlib

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from aether.errors import BadInput, NoInstance, OutcomeUnknown
from aether.invocation.acceptance import read_one_way
from aether.invocation.latencies import SAMPLES_MIN, Latencies
from aether.invocation.local import LocalInstance
from aether.invocation.messages import CallCancel
from aether.invocation.reply import FULL, Abandoned, Done, Form, NotStarted, TimedOut
from aether.invocation.retry_budget import RetryBudget
from aether.model.artifact import Artifact
from aether.model.limits import ONE_WAY_MAX_S, RETRY_BURST_MAX, RETRY_SHARE
from aether.slice_api.call import CallOptions

PRICING = Artifact.parse("shop:pricing:1.0.0")


async def echo(method, payload):
    return payload


async def forever(method, payload):
    await trio.sleep_forever()


def after(seconds, answer):
    async def handler(method, payload):
        await trio.sleep(seconds)
        return answer

    return handler


async def call(node, payload=None, **options):
    return await node.invoker.call(PRICING.base, "quote", payload, form=Form.WIRE, options=CallOptions(**options))


def counted(node):
    return node.invoker.statistics().targets["shop:pricing"]


# --- the budget -------------------------------------------------------------------------------------------------------


@given(st.lists(st.booleans(), max_size=400))
def test_repeats_never_exceed_their_share_and_a_burst(repeat):
    """A node that fails every call must not see its load doubled by repeats."""
    budget = RetryBudget()
    spent = 0
    for wanted in repeat:
        budget.calls += 1
        if wanted and budget.left:
            budget.spend()
            spent += 1
        assert spent <= RETRY_BURST_MAX + RETRY_SHARE * budget.calls + 1e-9


def test_a_budget_saves_up_no_more_than_a_burst():
    budget = RetryBudget()
    budget.calls += 1_000_000
    spent = 0
    while budget.left:
        budget.spend()
        spent += 1

    assert spent == RETRY_BURST_MAX


async def test_a_target_that_always_fails_is_not_hammered_and_another_one_is_not_punished(network_of, autojump_clock):
    async def cut_off(method, payload):
        return Abandoned("stopped")

    async with network_of("a", "b", "c") as (network, a, b, c):
        network.idempotent("quote")
        failing = [network.host(b, cut_off), network.host(c, cut_off)]
        calls = 200
        for _ in range(calls):
            with contextlib.suppress(OutcomeUnknown), trio.fail_after(0.2):
                await call(a)
        tries = sum(len(instance.served) for instance in failing)
        statistics = counted(a)

        assert statistics.calls == calls
        assert tries == calls + statistics.repeats
        assert statistics.repeats <= RETRY_BURST_MAX + RETRY_SHARE * calls
        assert statistics.refused > 0
        other = Artifact.parse("shop:place-order:1.0.0")
        assert a.invoker._attempts.budgets[other.base].left


async def test_a_call_that_was_refused_and_moved_costs_no_budget(network_of, autojump_clock):
    async def full(method, payload):
        return NotStarted(FULL)

    async with network_of("a", "b", "c") as (network, a, b, c):
        network.host(b, full)
        network.host(c, echo)
        for _ in range(20):
            await call(a)

        assert counted(a).repeats == 0
        assert counted(a).moved > 0


# --- hedging ----------------------------------------------------------------------------------------------------------


async def test_a_second_instance_is_asked_when_the_first_is_slow(network_of, autojump_clock):
    async with network_of("a", "b", "c") as (network, a, b, c):
        network.idempotent("quote")
        slow = network.host(b, forever)
        fast = network.host(c, after(0.01, "fast"))
        while not slow.served:  # until the first choice is the slow one
            began = trio.current_time()
            reply = await call(a, hedge_after=0.1)
        await trio.sleep(0.1)

        assert reply == Done("fast")
        assert 0.1 < trio.current_time() - began - 0.1 < 0.13
        assert slow.cancelled == 1, "the loser is cancelled"
        assert [m.reason for _, m, _ in a.sent if isinstance(m, CallCancel)] == ["another instance answered first"]
        assert (counted(a).hedges, counted(a).hedges_won) == (1, 1)
        assert fast.served


async def test_a_hedge_that_is_slower_is_cancelled(network_of, autojump_clock):
    async with network_of("a", "b", "c") as (network, a, b, c):
        network.idempotent("quote")
        first = network.host(b, after(0.2, "b"))
        second = network.host(c, after(0.2, "c"))
        reply = await call(a, hedge_after=0.1)
        await trio.sleep(0.1)

        assert (counted(a).hedges, counted(a).hedges_won) == (1, 0)
        assert first.cancelled + second.cancelled == 1
        assert reply == Done("c" if first.cancelled else "b")


async def test_a_share_of_recent_calls_decides_when_to_hedge(network_of, autojump_clock):
    """Nobody knows the right seconds; what most calls take is known after some of them."""
    async with network_of("a", "b", "c") as (network, a, b, c):
        network.idempotent("quote")
        instances = [network.host(b, after(0.05, "b")), network.host(c, after(0.05, "c"))]
        for _ in range(SAMPLES_MIN):
            await call(a, hedge_after="p95")
        assert counted(a).hedges == 0
        for instance in instances:
            instance.handler = after(1.0, "slow")
        await call(a, hedge_after="p95")

        assert counted(a).hedges == 1


async def test_hedges_stop_with_the_budget(network_of, autojump_clock):
    """When everything is slow, asking twice makes it slower."""
    async with network_of("a", "b", "c") as (network, a, b, c):
        network.idempotent("quote")
        network.host(b, after(1.0, "b"))
        network.host(c, after(1.0, "c"))
        calls = 2 * RETRY_BURST_MAX
        for _ in range(calls):
            await call(a, hedge_after=0.1)

        assert counted(a).hedges <= RETRY_BURST_MAX + RETRY_SHARE * calls


async def test_only_idempotent_methods_are_hedged(network_of, autojump_clock):
    async with network_of("a", "b") as (network, a, b):
        served = network.host(b, echo)
        with pytest.raises(BadInput, match="is not idempotent"):
            await call(a, hedge_after=0.1)

        assert served.served == []


async def test_a_hedged_call_with_one_instance_is_an_ordinary_one(network_of, autojump_clock):
    async with network_of("a", "b") as (network, a, b):
        network.idempotent("quote")
        network.host(b, after(1.0, "b"))

        assert await call(a, hedge_after=0.1) == Done("b")
        assert counted(a).hedges == 0


async def test_an_error_of_the_first_leg_waits_for_the_second(network_of, autojump_clock):
    async def cut_off(method, payload):
        await trio.sleep(0.2)
        return Abandoned("stopped")

    async with network_of("a", "b", "c") as (network, a, b, c):
        network.idempotent("quote")
        failing = network.host(b, cut_off)
        network.host(c, after(0.05, "c"))
        while not failing.served:
            assert await call(a, hedge_after=0.1) == Done("c")


async def test_cancelling_a_hedged_call_cancels_both_legs(network_of, autojump_clock):
    async with network_of("a", "b", "c") as (network, a, b, c):
        network.idempotent("quote")
        legs = [network.host(b, forever), network.host(c, forever)]
        with trio.move_on_after(1.0):
            await call(a, hedge_after=0.1)
        await trio.sleep(0.1)

        assert [leg.cancelled for leg in legs] == [1, 1]


@given(st.lists(st.floats(0, 10), min_size=SAMPLES_MIN, max_size=200), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_a_quantile_is_one_of_the_durations_and_bounds_its_share(seconds, share):
    latencies = Latencies()
    for each in seconds:
        latencies.add(each)
    found = latencies.quantile(share)

    assert found in seconds
    assert sum(each <= found for each in seconds) >= share * len(seconds)
    assert sum(each < found for each in seconds) < share * len(seconds)


def test_of_few_calls_no_share_is_told():
    assert Latencies().quantile(0.95) is None


# --- one way ----------------------------------------------------------------------------------------------------------


class AcceptingInstance(LocalInstance):
    """Serves as hosting does: the call is carried out by `around`."""

    name = "Pricing"

    def __init__(self, handler):
        self.handler = handler
        self.ended = []

    async def serve(self, method, payload, form, scope, around=None):
        async def run():
            return Done(await self.handler(method, payload))

        with scope:
            result = await (run() if around is None else around(None, run))
            self.ended.append(result)
            return result
        self.ended.append("cancelled")
        return None


@pytest.fixture(params=["co-located", "remote"])
def one_way(request, network_of):
    @contextlib.asynccontextmanager
    async def opened(handler):
        async with network_of("a", "b") as (network, a, b):
            home = b if request.param == "remote" else a
            network.host(home, handler)
            (name,) = home.instances
            home.instances[name] = AcceptingInstance(handler)
            yield network, a, b, home.instances[name]

    return opened


async def test_a_one_way_call_returns_once_it_runs(one_way, autojump_clock):
    async with one_way(after(5.0, "result")) as (_network, a, _b, instance):
        began = trio.current_time()
        assert await call(a, one_way=True) == Done(None)
        assert trio.current_time() - began < 0.1
        assert instance.ended == []
        await trio.sleep(6)
        assert instance.ended == [Done("result")]


async def test_a_caller_that_goes_does_not_end_its_one_way_call(one_way, autojump_clock):
    async with one_way(after(5.0, "result")) as (network, a, b, instance):
        with trio.move_on_after(1):
            await call(a, one_way=True)
            await trio.sleep_forever()
        network.disconnect(a, b)
        await trio.sleep(6)

        assert instance.ended == [Done("result")]


async def test_a_one_way_call_has_the_deadline_of_the_contract(one_way, autojump_clock):
    async with one_way(forever) as (network, a, _b, instance):
        network.idempotent(deadline_s=3.0)
        with trio.fail_after(1):
            await call(a, one_way=True)
        await trio.sleep(2.5)
        assert instance.ended == []
        await trio.sleep(1)
        assert instance.ended == ["cancelled"]


async def test_a_one_way_call_that_nobody_accepts_is_an_error(network_of, autojump_clock):
    async with network_of("a") as (_, a):
        with pytest.raises(NoInstance), trio.fail_after(1):
            await call(a, one_way=True)


async def test_a_one_way_call_to_a_full_node_goes_elsewhere(network_of, autojump_clock):
    async with network_of("a", "b") as (network, a, b):
        network.host(a, echo)
        network.host(b, echo)
        a.invoker._server._in_flight_max = 0
        for _ in range(10):
            assert await call(a, payload=1, one_way=True) == Done(1)  # this instance knows no acceptance


@pytest.mark.parametrize("lasts_s", [0, -1, True, "1", float("inf"), float("nan")])
def test_a_peer_that_says_nonsense_of_a_one_way_call_is_refused(lasts_s):
    with pytest.raises(BadInput):
        read_one_way({"oneway": lasts_s})


def test_a_one_way_call_is_bounded_whatever_the_peer_says():
    assert read_one_way({"oneway": 1e12}) == ONE_WAY_MAX_S
    assert read_one_way({}) is None


# --- broadcast --------------------------------------------------------------------------------------------------------


async def each(node, payload=None):
    return await node.invoker.each(PRICING.base, "quote", payload, form=Form.WIRE)


async def test_a_broadcast_asks_every_instance_once(network_of, autojump_clock):
    async with network_of("a", "b", "c") as (network, a, b, c):
        for node in (a, b, c):
            network.host(node, after(0.1, node.name))
        began = trio.current_time()
        answers = await each(a)

        assert answers == {f"pricing-{n}": Done(n) for n in "abc"}
        assert trio.current_time() - began < 0.15, "all at once"


async def test_a_broadcast_lists_what_failed_beside_what_did_not(network_of, autojump_clock):
    async def full(method, payload):
        return NotStarted(FULL)

    async def cut_off(method, payload):
        return Abandoned("stopped")

    async with network_of("a", "b", "c", "d") as (network, a, b, c, d):
        network.host(a, echo)
        network.host(b, full)
        network.host(c, cut_off)
        network.host(d, forever)
        with trio.fail_after(1.0):
            answers = await each(a, 7)

        assert answers["pricing-a"] == Done(7)
        assert answers["pricing-b"] == NotStarted(FULL)
        assert answers["pricing-c"] == Abandoned("stopped")
        assert isinstance(answers["pricing-d"], TimedOut)


async def test_a_broadcast_to_nobody_is_an_error(network_of, autojump_clock):
    async with network_of("a") as (_, a):
        with pytest.raises(NoInstance):
            await each(a)


async def test_cancelling_a_broadcast_cancels_every_instance(network_of, autojump_clock):
    async with network_of("a", "b", "c") as (network, a, b, c):
        instances = [network.host(node, forever) for node in (a, b, c)]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(each, a)
            await trio.sleep(1)
            nursery.cancel_scope.cancel()
        await trio.sleep(0.1)

        assert [instance.cancelled for instance in instances] == [1, 1, 1]
