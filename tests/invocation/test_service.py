"""Calls between Invokers in virtual time: errors, deadlines, cancellation, lost peers, overload."""

import contextlib
import math

import pytest
import trio
import trio.lowlevel
import trio.testing

from aether.errors import Draining, NoInstance, OutcomeUnknown, Overloaded
from aether.invocation.endpoints import View
from aether.invocation.messages import CallCancel, CallReply, CallRequest
from aether.invocation.outgoing import RESERVE_MAX_S
from aether.invocation.reply import (
    DRAINING,
    FULL,
    Abandoned,
    Done,
    Failed,
    Faulted,
    Form,
    NotStarted,
    TimedOut,
)
from aether.invocation.serving_service import CALLS_REMEMBERED
from aether.model.artifact import Artifact
from aether.model.ids import InstanceId, NodeId
from aether.model.lifecycle import SliceState
from aether.slice_api.faults import FaultPlain

ORDERS = Artifact.parse("shop:place-order:1.0.0")
PRICING = Artifact.parse("shop:pricing:1.0.0")


async def echo(method, payload):
    return [method, payload]


async def forever(method, payload):
    await trio.sleep_forever()


WAYS = ["co-located", "wire", "remote"]


@pytest.fixture(params=WAYS)
def pair(request, network_of):
    """A caller and a callee, in each of the three ways in which a call can travel."""

    @contextlib.asynccontextmanager
    async def opened(handler, **options):
        async with network_of("a", "b", wire=request.param == "wire", **options) as (network, a, b):
            callee = network.host(b if request.param == "remote" else a, handler)
            yield network, a, callee

    return opened


# --- every case in each way -------------------------------------------------------------------------------------------


async def test_a_call_returns_what_the_method_returned(pair, autojump_clock):
    async with pair(echo) as (_, a, _callee):
        assert await a.call(payload={"sku": "x"}) == Done(["quote", {"sku": "x"}])


async def test_a_loop_over_calls_that_wait_for_nothing_lets_others_run_and_can_be_cancelled(pair, autojump_clock):
    async def takes_time(method, payload):
        autojump_clock.jump(0.0001)
        return payload

    async with pair(takes_time) as (_, a, _callee):
        with trio.move_on_after(0.05) as scope:
            for _ in range(10_000):
                await a.call()
        assert scope.cancelled_caught


@pytest.mark.parametrize(
    "outcome",
    [
        Faulted(FaultPlain("OutOfStock", 409, "Out of stock", "none left", {"sku": "x"})),
        Failed(
            kind="ValueError", message="no", traceback="tb", slice="Pricing", method="quote", instance="i", node="n"
        ),
    ],
)
async def test_an_error_of_the_method_crosses_with_all_its_facts(pair, autojump_clock, outcome):
    async def fails(method, payload):
        return outcome

    async with pair(fails) as (_, a, _callee):
        assert await a.call() == outcome


async def test_the_callers_deadline_costs_exactly_its_seconds_and_reaches_the_callee(pair, autojump_clock):
    """fail_after is the time-out: nothing of a call outlives it, on whichever node it runs."""
    async with pair(forever) as (_, a, callee):
        began = trio.current_time()
        with pytest.raises(trio.TooSlowError):
            with trio.fail_after(2.0):
                await a.call()
        assert trio.current_time() - began == 2.0
        await trio.sleep(0.1)
        assert callee.cancelled == 1


async def test_move_on_after_moves_on_silently(pair, autojump_clock):
    """The callee's own account of the time-out must not turn a silent scope into an exception."""
    async with pair(forever) as (_, a, _callee):
        with trio.move_on_after(2.0) as scope:
            await a.call()

        assert scope.cancelled_caught
        assert trio.current_time() == pytest.approx(2.0)


async def test_the_default_deadline_bounds_a_call_that_has_none(pair, autojump_clock):
    """Nothing hangs for ever; the reply says who was still running."""
    async with pair(forever) as (network, a, _callee):
        network.idempotent(deadline_s=5.0)
        reply = await a.call()

        assert isinstance(reply, TimedOut)
        assert trio.current_time() == pytest.approx(5.0)
        assert reply.hops.name == "Pricing.quote"
        assert reply.hops.running


async def test_a_time_out_inside_the_method_crosses_as_itself_and_at_once(pair, autojump_clock):
    async def inner(method, payload):
        with trio.fail_after(0.5):
            await trio.sleep_forever()

    async with pair(inner) as (_, a, _callee):
        reply = await a.call()

        assert isinstance(reply, TimedOut)
        assert trio.current_time() == pytest.approx(0.5, abs=0.01)


async def test_cancelling_the_caller_cancels_the_callee_promptly(pair, autojump_clock):
    async with pair(forever) as (network, a, callee):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(a.call)
            await trio.sleep(1.0)
            nursery.cancel_scope.cancel()
        await trio.sleep(2 * network.delay_s)

        assert callee.cancelled == 1


async def test_an_instance_that_stops_under_a_call_leaves_its_outcome_unknown(pair, autojump_clock):
    async with pair(forever) as (_, a, callee), trio.open_nursery() as nursery:

        async def call():
            with pytest.raises(OutcomeUnknown, match="may have run"):
                await a.call()

        nursery.start_soon(call)
        await trio.sleep(1.0)
        callee.scopes[0].cancel()


async def test_a_draining_instance_costs_a_caller_nothing_when_another_is_there(network_of, autojump_clock):
    """Zero failed calls over a drain, also for methods that are not idempotent."""

    async def draining(method, payload):
        return NotStarted(DRAINING)

    async with network_of("a", "b", "c") as (network, a, b, c):
        refusing, serving = network.host(b, draining), network.host(c, echo)
        for n in range(20):
            assert await a.call(payload=n) == Done(["quote", n])

        assert refusing.served
        assert len(serving.served) == 20


# --- no instance ------------------------------------------------------------------------------------------------------


async def test_a_call_waits_for_an_instance_to_appear(network_of, autojump_clock):
    async with network_of("a", "b") as (network, a, b):
        async with trio.open_nursery() as nursery:
            replies = []

            async def call():
                replies.append(await a.call(payload=1))

            nursery.start_soon(call)
            await trio.sleep(3.0)
            assert replies == []
            network.host(b, echo)

        assert replies == [Done(["quote", 1])]


async def test_with_no_instance_until_the_deadline_the_error_says_state_and_reason(network_of, autojump_clock):
    async with network_of("a") as (network, a):
        network.host(a, echo, state=SliceState.ACTIVATING)
        with pytest.raises(NoInstance) as caught, trio.fail_after(1.0):
            await a.call()

        assert (caught.value.artifact, caught.value.state) == ("shop:pricing", "ACTIVATING")
        assert 1.0 - RESERVE_MAX_S - 0.01 <= trio.current_time() <= 1.0


async def test_a_row_that_names_an_instance_nobody_runs_is_asked_again_until_the_deadline(network_of, autojump_clock):
    """The registry may be behind: the instance is gone, its row is not. Nothing ran, so the error is NoInstance."""
    async with network_of("a", "b") as (network, a, b):
        network.host(b, echo)
        b.instances.clear()
        with pytest.raises(NoInstance, match="unknown instance"), trio.fail_after(1.0):
            await a.call()

        assert len([m for _, m, _ in a.sent if isinstance(m, CallRequest)]) < 20, "tries are paced"


# --- lost peers -------------------------------------------------------------------------------------------------------


async def test_an_idempotent_call_survives_the_loss_of_its_peer(network_of, autojump_clock):
    async with network_of("a", "b", "c") as (network, a, b, c):
        network.idempotent("quote")
        lost = network.host(b, forever)
        replies = []
        async with trio.open_nursery() as nursery:

            async def call():
                replies.append(await a.call(payload=1))

            nursery.start_soon(call)
            await trio.sleep(1.0)
            network.host(c, echo)
            network.disconnect(a, b)
            at = trio.current_time()

        assert replies == [Done(["quote", 1])]
        assert trio.current_time() - at < 0.1
        assert lost.cancelled == 1, "the callee stops too: nobody can receive its reply"


async def test_any_other_call_to_a_lost_peer_ends_at_once_with_an_unknown_outcome(network_of, autojump_clock):
    """Waiting for the deadline would help nobody, and a repeat might order twice."""
    async with network_of("a", "b", "c") as (network, a, b, c):
        network.host(b, forever)
        async with trio.open_nursery() as nursery:

            async def call():
                with pytest.raises(OutcomeUnknown, match="connection to b was lost"):
                    await a.call()

            nursery.start_soon(call)
            await trio.sleep(1.0)
            other = network.host(c, echo)
            network.disconnect(a, b)
            at = trio.current_time()

        assert trio.current_time() == at
        assert other.served == []


async def test_a_call_that_waited_for_its_first_endpoint_knows_that_it_may_be_repeated(network_of, autojump_clock):
    """The contract's row arrives together with the endpoint."""
    async with network_of("a", "b", "c") as (network, a, b, c):
        replies = []
        async with trio.open_nursery() as nursery:

            async def call():
                replies.append(await a.call(payload=1))

            nursery.start_soon(call)
            await trio.sleep(1.0)
            network.idempotent("quote")
            network.host(b, forever)
            await trio.sleep(1.0)
            network.host(c, echo)
            network.disconnect(a, b)

        assert replies == [Done(["quote", 1])]


async def test_a_node_that_stops_leaves_no_call_hanging(network_of, lone_node, autojump_clock):
    """Its deadlines are kept by the node; without them a call would wait for ever."""
    async with network_of("b") as (network, b):
        network.host(b, forever)
        async with trio.open_nursery() as nursery, trio.open_nursery() as invokers:
            stopping = lone_node(network, "c")
            await invokers.start(stopping.invoker.run)
            stopping.registry.rebuild(
                View(instances=network.rows.values(), members=network.members("b"), connected={b.name})
            )

            async def call():
                with pytest.raises(OutcomeUnknown, match="node c stopped"):
                    await stopping.call()

            nursery.start_soon(call)
            await trio.testing.wait_all_tasks_blocked()
            invokers.cancel_scope.cancel()
        with pytest.raises(Draining):
            await stopping.call()


async def test_a_refused_send_goes_elsewhere_for_any_method(network_of, autojump_clock):
    async with network_of("a", "b", "c") as (network, a, b, c):
        network.host(b, echo)
        network.host(c, echo)
        network.full.add(b.name)
        for n in range(20):
            assert await a.call(payload=n) == Done(["quote", n])


async def test_a_reply_that_comes_too_late_or_twice_or_from_a_stranger_is_ignored(network_of, autojump_clock):
    async with network_of("a", "b") as (network, a, b):
        network.host(b, echo)
        a.invoker.deliver(b.name, CallReply(12345, Done(1)), "")
        async with trio.open_nursery() as nursery:
            replies = []

            async def call():
                replies.append(await a.call(payload=1))

            nursery.start_soon(call)
            await trio.testing.wait_all_tasks_blocked()
            (_, request, _) = a.sent[0]
            a.invoker.deliver(NodeId("c"), CallReply(request.call_id, Done("forged")), "")

        a.invoker.deliver(b.name, CallReply(request.call_id, Done("again")), "")
        assert replies == [Done(["quote", 1])]


# --- limits -----------------------------------------------------------------------------------------------------------


async def test_when_every_instance_is_full_the_caller_is_told_at_once(network_of, autojump_clock):
    async def full(method, payload):
        return NotStarted(FULL)

    async with network_of("a", "b", "c") as (network, a, b, c):
        first, second = network.host(b, full), network.host(c, full)
        with pytest.raises(Overloaded, match="shop:pricing"):
            await a.call()

        assert len(first.served) == len(second.served) == 1
        assert trio.current_time() < 1.0


@pytest.mark.parametrize("caller", ["a", "b"])
async def test_a_node_that_steps_aside_leaves_its_calls_to_others(network_of, autojump_clock, caller):
    """Its disk is full, say: whatever a method has to store would wait there for its deadline. Nothing has begun."""
    async with network_of("a", "b", "c") as (network, _, b, c):
        stuck, well = network.host(b, echo), network.host(c, echo)
        b.invoker._server.steps_aside = lambda target, attempt: attempt <= b.registry.elsewhere(PRICING.base)
        for number in range(20):
            assert await network.nodes[caller].call(payload=number) == Done(["quote", number])

        assert (len(stuck.served), len(well.served)) == (0, 20)
        assert trio.current_time() < 1.0


@pytest.mark.parametrize("alone", [True, False])
async def test_when_all_step_aside_somebody_serves(network_of, autojump_clock, alone):
    """What stores nothing works on, also where no disk takes anything."""
    async with network_of("a", "b", "c") as (network, a, b, c):
        base = PRICING.base
        for node in [b] if alone else [b, c]:
            network.host(node, echo)
            node.invoker._server.steps_aside = lambda target, attempt, n=node: attempt <= n.registry.elsewhere(base)
        for number in range(5):
            assert await a.call(payload=number) == Done(["quote", number])


async def test_a_node_serves_at_most_its_limit_of_calls(network_of, autojump_clock):
    async with network_of("a", "b") as (network, a, b):
        callee = network.host(b, forever)
        b.invoker._server._in_flight_max = 3
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(a.call)
            await trio.sleep(1.0)
            with pytest.raises(Overloaded):
                await a.call()
            nursery.cancel_scope.cancel()

        assert len(callee.served) == 3
        await trio.sleep(0.1)
        assert not b.invoker._server._served, "cancelled calls leave the table"


async def test_a_node_makes_at_most_its_limit_of_calls(network_of, autojump_clock):
    async with network_of("a", "b", in_flight_max=2) as (network, a, b):
        network.host(b, forever)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(a.call)
            nursery.start_soon(a.call)
            await trio.lowlevel.checkpoint()
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(Overloaded, match="calls in flight"):
                await a.call()
            nursery.cancel_scope.cancel()


async def test_at_most_the_limit_of_calls_wait_for_an_instance(network_of, autojump_clock):
    """A slice that is not deployed must not collect callers without bound."""
    async with network_of("a", in_flight_max=2) as (_, a):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(a.call)
            nursery.start_soon(a.call)
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(Overloaded, match="wait for an instance"):
                await a.call()
            nursery.cancel_scope.cancel()


async def test_a_request_that_arrives_without_time_left_is_not_started(network_of, autojump_clock):
    async with network_of("a", "b") as (network, a, b):
        callee = network.host(b, echo)
        request = CallRequest(1, "shop:pricing", InstanceId("pricing-b"), "quote", Form.WIRE, 0.0, None)
        b.invoker.deliver(a.name, request, "")

        assert b.sent == [(a.name, CallReply(1, NotStarted("late")), "")]
        assert callee.served == []


async def test_a_request_that_is_delivered_twice_runs_once(network_of, autojump_clock):
    async with network_of("a", "b") as (network, a, b):
        callee = network.host(b, forever)
        request = CallRequest(1, "shop:pricing", InstanceId("pricing-b"), "quote", Form.WIRE, 5.0, None)
        b.invoker.deliver(a.name, request, "")
        b.invoker.deliver(a.name, request, "")
        await trio.sleep(1.0)

        assert len(callee.served) == 1
        b.invoker.deliver(a.name, CallCancel(1, "test over"), "")
        await trio.sleep(0.1)
        assert callee.cancelled == 1
        b.invoker.deliver(a.name, request, "")
        await trio.sleep(0.1)
        assert len(callee.served) == 1, "also when it is over"


async def test_what_is_remembered_of_served_calls_is_bounded(network_of, autojump_clock):
    async with network_of("a", "b") as (network, a, b):
        network.host(b, echo)
        for n in range(2 * CALLS_REMEMBERED + 10):
            await a.call(payload=n)

        assert CALLS_REMEMBERED <= len(b.invoker._server._ended) <= 2 * CALLS_REMEMBERED


async def test_a_result_that_msgpack_cannot_spell_fails_the_call_instead_of_hanging_it(network_of, autojump_clock):
    async def unspellable(method, payload):
        return Done(object())

    async with network_of("a", "b") as (network, a, b):
        network.host(b, unspellable)
        reply = await a.call()

        assert isinstance(reply, Failed)
        assert "cannot be sent" in reply.message


async def test_a_full_mailbox_delays_a_reply_but_does_not_lose_it(network_of, autojump_clock):
    async with network_of("a", "b") as (network, a, b):
        network.host(b, echo)
        async with trio.open_nursery() as nursery:
            replies = []

            async def call():
                replies.append(await a.call(payload=1))

            nursery.start_soon(call)
            await trio.testing.wait_all_tasks_blocked()
            network.full.add(a.name)
            await trio.sleep(0.03)
            network.full.clear()

        assert replies == [Done(["quote", 1])]


# --- where the time went, and who asked -------------------------------------------------------------------------------


def order_of(node):
    async def place(method, payload):
        with trio.move_on_after(0.3):
            await trio.sleep(0.3)
        return await node.call(PRICING, "quote")

    return place


@pytest.mark.parametrize("remote", [True, False])
async def test_the_tree_of_hops_names_the_call_that_was_still_running(network_of, autojump_clock, remote):
    """The first question after a time-out is "who?"; it must be answered without any tracing set-up."""
    async with network_of("a", "b", "c") as (network, a, b, c):
        network.host(b if remote else a, order_of(b if remote else a), artifact=ORDERS)
        network.host(c if remote else a, forever)
        network.idempotent(artifact=ORDERS, deadline_s=1.0)
        reply = await a.call(ORDERS, "place")
        error = a.invoker.too_slow(reply.hops)

        assert str(error) == "PlaceOrder.place 1.00 s / Pricing.quote 0.70 s <- still running"
        assert "Pricing.quote" in error.__notes__[0]


async def test_the_request_id_follows_a_call_through_all_hops(network_of, autojump_clock):
    """One id in the logs of every node is how an operator follows one order."""
    async with network_of("a", "b", "c") as (network, a, b, c):
        network.host(b, order_of(b), artifact=ORDERS)
        network.host(c, echo)
        await a.call(ORDERS, "place", request_id="req-7")

        assert [request_id for _, m, request_id in b.sent if isinstance(m, CallRequest)] == ["req-7"]


async def test_a_failure_tells_which_try_it_was(network_of, autojump_clock):
    async def fails(method, payload):
        return Failed(kind="ValueError", message="no")

    async def cut_off(method, payload):
        return Abandoned("stopped")

    async with network_of("a", "b", "c") as (network, a, b, c):
        network.idempotent("quote")
        network.host(b, cut_off, instance="one")
        while True:  # until the first try meets the instance that is cut off
            network.host(c, fails, instance="two")
            reply = await a.call()
            if reply.attempt == 2:
                break


async def test_calls_of_one_node_never_share_a_correlation_id(network_of, autojump_clock):
    async with network_of("a", "b") as (network, a, b):
        network.host(b, echo)
        async with trio.open_nursery() as nursery:
            for n in range(50):
                nursery.start_soon(lambda n=n: a.call(payload=n))

        ids = [m.call_id for _, m, _ in a.sent]
        assert len(set(ids)) == 50
        assert math.log2(min(ids)) > 8, "ids start at a random number, so that a restart does not meet old replies"


async def test_a_message_of_another_room_is_a_bug_of_the_assembly(network_of, autojump_clock):
    async with network_of("a") as (_, a):
        with pytest.raises(TypeError, match="no message of a call"):
            a.invoker.deliver(NodeId("b"), "hello", "")


async def test_a_stopped_node_refuses_calls_so_that_they_go_elsewhere(network_of, autojump_clock):
    async with network_of("a", "b") as (network, a, b):
        network.host(b, echo)
    request = CallRequest(1, "shop:pricing", InstanceId("pricing-b"), "quote", Form.WIRE, 5.0, None)
    network.post = lambda *args: None
    b.invoker.deliver(a.name, request, "")

    assert isinstance(b.sent[-1][1].reply, NotStarted)
