"""A cancelled call ends everywhere, soon, and says why; what it cleans up is bounded."""

import pytest
import trio
import trio.testing

from aether.invocation.cleanup_service import LOOK_S
from aether.invocation.messages import CallCancel
from aether.model.artifact import Artifact
from aether.model.limits import CANCEL_REASON_CHARS_MAX, CLEANUP_S

PRICING = Artifact.parse("shop:pricing:1.0.0")
ORDERS = Artifact.parse("shop:place-order:1.0.0")
STOCK = Artifact.parse("shop:stock:1.0.0")


def calls(node, artifact, seen=None):
    """A method that calls on, and notes why it was cancelled."""

    async def handler(method, payload):
        try:
            return (await node.call(artifact, "next")).payload
        except trio.Cancelled as cancelled:
            if seen is not None:
                seen.append((node.name, cancelled.reason, trio.current_time()))
            raise

    return handler


def sleeps(node, seen):
    async def handler(method, payload):
        try:
            await trio.sleep_forever()
        except trio.Cancelled as cancelled:
            seen.append((node.name, cancelled.reason, trio.current_time()))
            raise

    return handler


@pytest.fixture
def three_hops(network_of):
    """a -> b -> c -> d, each on its own node; `seen` gets (node, reason, time) of each cancelled method."""

    class Hops:
        def __init__(self):
            self.seen = []
            self.opened = network_of("a", "b", "c", "d")

        async def __aenter__(self):
            network, a, b, c, d = await self.opened.__aenter__()
            network.host(b, calls(b, PRICING, self.seen), artifact=ORDERS)
            network.host(c, calls(c, STOCK, self.seen), artifact=PRICING)
            network.host(d, sleeps(d, self.seen), artifact=STOCK)
            return network, a, self.seen

        async def __aexit__(self, *error):
            return await self.opened.__aexit__(*error)

    return Hops()


async def test_cancelling_the_caller_cancels_three_hops_with_its_reason(three_hops, autojump_clock):
    async with three_hops as (network, a, seen):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(a.call, ORDERS, "place")
            await trio.sleep(1.0)
            nursery.cancel_scope.cancel("the customer left")
            cancelled_at = trio.current_time()
        await trio.sleep(1.0)

        assert [node for node, _, _ in seen] == ["b", "c", "d"]
        assert {reason for _, reason, _ in seen} == {"the customer left"}
        assert seen[-1][2] - cancelled_at == pytest.approx(3 * network.delay_s)


async def test_a_deadline_ends_three_hops_before_their_caller_gives_up(three_hops, autojump_clock):
    """One fail_after at the top; each hop has a little less, so that it can say where the time went."""
    async with three_hops as (_, a, seen):
        with trio.move_on_after(1.0):
            await a.call(ORDERS, "place")
        await trio.sleep(1.0)

        assert [node for node, _, _ in seen] == ["d", "c", "b"]
        assert all(0.95 < at < 1.0 for _, _, at in seen)


async def test_a_caller_that_is_lost_cancels_three_hops(three_hops, autojump_clock):
    async with three_hops as (network, a, seen):
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(a.call, ORDERS, "place")
                await trio.sleep(1.0)
                network.cut.add(frozenset(("a", "b")))
                network.nodes["b"].invoker.peer_lost("a")  # b notices first
                await trio.sleep(0.1)
                assert [node for node, _, _ in seen] == ["b", "c", "d"]
                assert seen[0][1] == "the connection to its caller was lost"
                scope.cancel()


@pytest.mark.parametrize(
    ("cancel", "reason"),
    [
        (lambda scope: scope.cancel(), "the caller was cancelled"),
        (lambda scope: scope.cancel("x" * 1_000), "x" * CANCEL_REASON_CHARS_MAX),
        (lambda scope: setattr(scope, "deadline", trio.current_time()), "the deadline of the caller has passed"),
    ],
)
async def test_a_cancellation_says_why_in_bounded_words(network_of, autojump_clock, cancel, reason):
    async with network_of("a", "b") as (network, a, b):
        network.host(b, sleeps(b, []))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(a.call)
            await trio.sleep(1.0)
            cancel(nursery.cancel_scope)

        assert [m.reason for _, m, _ in a.sent if isinstance(m, CallCancel)] == [reason]


def cleans_up(for_s, ended):
    async def handler(method, payload):
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                try:
                    await trio.sleep(for_s)
                    ended.append("done")
                except trio.Cancelled:
                    ended.append("cut off")
                    raise

    return handler


@pytest.mark.parametrize("remote", [True, False])
@pytest.mark.parametrize(("for_s", "how", "logged"), [(CLEANUP_S - 1, "done", 0), (CLEANUP_S + 2, "cut off", 1)])
async def test_a_cancelled_method_may_clean_up_for_a_while(
    network_of, autojump_clock, caplog, remote, for_s, how, logged
):
    """Giving back a reservation needs a moment; a clean-up that hangs must not keep its slot and its node for ever."""
    async with network_of("a", "b") as (network, a, b):
        ended = []
        network.host(b if remote else a, cleans_up(for_s, ended))
        began = None
        with trio.move_on_after(1.0):
            await a.call()
        began = trio.current_time()
        with trio.fail_after(CLEANUP_S + 2):
            while not ended:
                await trio.sleep(0.1)

        assert ended == [how]
        assert trio.current_time() - began <= CLEANUP_S + 2 * LOOK_S
        assert len([r for r in caplog.records if "still cleans up" in r.getMessage()]) == logged
        assert not b.invoker._server._arrived
        assert not a.invoker._server._here


async def test_a_clean_up_with_tasks_and_scopes_of_its_own_is_cut_off_too(network_of, autojump_clock):
    async def stubborn():
        with trio.CancelScope(shield=True), trio.CancelScope():
            await trio.sleep_forever()

    async def handler(method, payload):
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(stubborn)
                    nursery.start_soon(stubborn)

    async with network_of("a", "b") as (network, a, b):
        network.host(b, handler)
        with trio.move_on_after(1.0):
            await a.call()
        with trio.fail_after(CLEANUP_S + 1):
            while b.invoker._server._arrived:
                await trio.sleep(0.1)


async def test_a_cancelled_call_is_counted_until_its_clean_up_is_over(network_of, autojump_clock):
    """Otherwise cancelling and asking again would run without bound."""
    async with network_of("a", "b") as (network, a, b):
        network.host(b, cleans_up(2.0, []))
        with trio.move_on_after(1.0):
            await a.call()
        await trio.sleep(0.1)

        assert len(b.invoker._server._arrived) == 1
        await trio.sleep(2.0)
        assert not b.invoker._server._arrived


@pytest.mark.parametrize("for_s", [1.0, 1_000.0])
async def test_a_node_that_stops_waits_for_clean_ups_but_not_for_ever(network_of, autojump_clock, for_s):
    ended = []
    async with network_of("a", "b") as (network, a, b):
        network.host(b, cleans_up(for_s, ended))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(a.call)
            await trio.sleep(1.0)
            nursery.cancel_scope.cancel()
        await trio.sleep(0.1)
        began = trio.current_time()

    assert ended == ["done" if for_s < CLEANUP_S else "cut off"]
    assert trio.current_time() - began <= min(for_s, CLEANUP_S) + 0.1


def test_trio_shows_what_bounded_clean_up_needs():
    """Its inner names; where they change, clean-up loses its bound until `lift_shields` is taught the new ones."""

    async def main():
        with trio.CancelScope() as outer, trio.CancelScope(shield=True) as inner:
            (status,) = outer._cancel_status._children
            assert status._scope is inner
            assert status.effectively_cancelled is False
            outer.cancel()
            assert outer._cancel_status.effectively_cancelled is True
            await trio.lowlevel.checkpoint()

    trio.run(main)
