"""What happens at the worst moment: full queues, lost peers, messages that overtake each other, hostile numbers."""

import math
from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing

import aether
from aether.errors import BadInput, StreamBroken
from aether.invocation.acceptance import Accepting
from aether.invocation.balance import Loads
from aether.invocation.ejection import CONSECUTIVE_FAILURES, EJECTION_S, Ejections
from aether.invocation.endpoints import Endpoint
from aether.invocation.handing import Reference
from aether.invocation.messages import CallCancel, CallRequest, decode_request, encode_request
from aether.invocation.proxy import bind_proxy
from aether.invocation.reply import Done, Form, NotStarted
from aether.invocation.stream_ends_service import Insistence
from aether.invocation.stream_messages import StreamEnd, StreamOpened
from aether.invocation.streaming import Input
from aether.model.artifact import Artifact
from aether.model.ids import InstanceId, NodeId
from aether.slice_api.streams import stream as opened_stream
from aether.wire.frames import FrameTooLarge

PRICING = Artifact.parse("shop:pricing:1.0.0")


def opened(node, payload=None, method="ticks", **options):
    return node.invoker.stream(PRICING.base, method, payload, form=Form.WIRE, **options)


def request(call_id, remaining_s=5.0):
    return CallRequest(call_id, str(PRICING.base), InstanceId("pricing-b"), "quote", Form.WIRE, remaining_s, None)


async def ticking(method, payload, inputs):
    number = 0
    while True:
        await trio.sleep(1.0)
        yield number
        number += 1


async def send_until_broken(node, inputs, over):
    with pytest.raises(StreamBroken):
        async with opened(node, inputs=inputs) as stream:
            await stream.outcome()
    over.set()


# --- streams ----------------------------------------------------------------------------------------------------------


async def test_an_item_that_found_no_room_is_not_counted_at_the_end(network_of, autojump_clock):
    """Else the reader waits for it for ever: the end says how many items come before it."""
    async with network_of("a", "b") as (network, a, b):
        instance = network.host(b, ticking)
        with trio.fail_after(60):
            async with opened(a) as stream:
                assert await anext(stream) == 0
                network.full.add(a.name)
                await trio.sleep(1.5)  # item 1 waits for room
                instance.scopes[0].cancel("its instance stops")
                await trio.sleep(1.0)
                network.full.discard(a.name)
                with pytest.raises(StreamBroken):
                    await anext(stream)


async def test_nothing_is_said_to_a_peer_that_is_gone(network_of, autojump_clock):
    """It would be said a hundred times a second, until the peer is back."""

    async def reading(method, payload, inputs):
        async with opened_stream(inputs["numbers"]) as numbers:
            async for _ in numbers:
                pass

    async def slowly():
        while True:
            yield 1
            await trio.sleep(0.5)

    async with network_of("a", "b") as (network, a, b):
        network.host(b, reading)
        read = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_until_broken, a, {"numbers": Input(slowly())}, read)
            await trio.sleep(2.0)
            network.disconnect(a, b)
            await read.wait()
        await trio.sleep(1.0)
        assert not b.invoker._streams._insistence._unsaid
        assert not a.invoker._streams._insistence._unsaid


async def test_a_stream_that_is_open_cannot_be_handed_on_any_more(network_of, autojump_clock):
    async with network_of("a", "b") as (network, a, b):
        network.host(b, ticking)
        with trio.fail_after(10):
            async with opened(a) as stream:
                assert await anext(stream) == 0
                (call_id,) = a.invoker._streams._calls._called
                onward = Reference(PRICING.base, "ticks", None).to_plain()
                a.invoker.deliver(b.name, StreamOpened(call_id, 0, 0, onward), "")
                assert await anext(stream) == 1


async def test_an_end_that_no_frame_can_carry_is_told_when_the_connection_is_back(autojump_clock):
    """Without a connection nothing is spelt, so only the second try fails; it must not end the node."""
    said, is_connected = [], False

    def send(to, message, request_id):
        if is_connected and isinstance(message.outcome, Done):
            raise FrameTooLarge.of(2, 1)
        if is_connected:
            said.append(message)
        return is_connected

    insistence = Insistence(send)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(insistence.run)
        insistence.say(NodeId("a"), StreamEnd(7, 0, 3, Done("x")))
        await trio.sleep(1.0)
        is_connected = True
        await trio.sleep(1.0)
        nursery.cancel_scope.cancel()
    (end,) = said
    assert (end.call_id, end.items, end.outcome.kind) == (7, 3, "FrameTooLarge")


# --- calls ------------------------------------------------------------------------------------------------------------


async def test_a_cancellation_that_overtook_a_long_request_keeps_it_from_beginning(network_of, autojump_clock):
    async def quote(method, payload):
        return 1

    async with network_of("a", "b") as (network, a, b):
        instance = network.host(b, quote)
        b.invoker.deliver(a.name, CallCancel(7, "the caller was cancelled"), "")
        b.invoker.deliver(a.name, request(7), "")
        await trio.sleep(1.0)
        assert instance.served == []


async def test_a_request_that_comes_again_while_its_call_cleans_up_is_not_served_twice(network_of, autojump_clock):
    async def quote(method, payload):
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(0.5)

    async with network_of("a", "b") as (network, a, b):
        instance = network.host(b, quote)
        b.invoker.deliver(a.name, request(7), "")
        await trio.sleep(0.1)
        b.invoker.deliver(a.name, CallCancel(7, "the caller was cancelled"), "")
        await trio.sleep(0.1)
        b.invoker.deliver(a.name, request(7), "")
        await trio.sleep(5.0)
        assert len(instance.served) == 1


def test_a_peer_whose_time_is_no_number_is_refused_before_anything_is_made_of_it():
    with pytest.raises(BadInput):
        decode_request(encode_request(request(7, math.nan)))


async def test_a_one_way_call_whose_key_cannot_be_kept_was_not_accepted():
    """Its caller would be told that it runs, and nothing would."""
    accepted = []

    async def no_room(method, run):
        return NotStarted("its key could not be kept")

    async def run():
        return Done(None)

    around = Accepting(lambda: accepted.append(1), no_room, "Mail.deliver")
    assert await around(None, run) == NotStarted("its key could not be kept")
    assert accepted == []


async def test_a_one_way_call_is_accepted_before_it_runs_and_when_it_ran_before():
    order = []

    async def keeping(method, run):
        return await run()

    async def known(method, run):
        return Done(7)

    async def run():
        order.append("run")
        return Done(None)

    for inner in (None, keeping):
        order.clear()
        await Accepting(lambda: order.append("accepted"), inner, "Mail.deliver")(None, run)
        assert order[:2] == ["accepted", "run"]
    order.clear()
    await Accepting(lambda: order.append("accepted"), known, "Mail.deliver")(None, run)
    assert order == ["accepted"]


# --- ejection ---------------------------------------------------------------------------------------------------------


def test_an_open_stream_does_not_keep_an_instance_from_its_trial():
    """A stream may be open for days; its instance would be left out as long."""
    peers = [Endpoint(InstanceId(name), NodeId(name), PRICING) for name in ("a", "b", "c")]
    ejections, loads = Ejections(), Loads()
    loads.of(peers[0].instance).opened()
    for _ in range(CONSECUTIVE_FAILURES):
        ejections.record(peers[0].instance, 0.0, peers, failed=True)
    assert peers[0] not in ejections.usable(peers, 1.0, loads)

    assert peers[0] in ejections.usable(peers, EJECTION_S + 1.0, loads)
    loads.of(peers[0].instance).in_flight += 1
    assert peers[0] not in ejections.usable(peers, EJECTION_S + 1.0, loads), "one call at a time"
    loads.of(peers[0].instance).in_flight -= 1
    loads.of(peers[0].instance).left()
    assert loads.of(peers[0].instance).in_flight == 0


# --- options ----------------------------------------------------------------------------------------------------------


@aether.slice(artifact="shop:pricing:1.0.0")
class Pricing:
    async def ticks(self) -> AsyncIterator[int]:
        yield 1

    async def total(self, numbers: AsyncIterator[int]) -> int:
        return sum([number async for number in numbers])


async def test_no_option_that_promises_something_is_ignored_by_a_stream(network_of, autojump_clock):
    """A key that nobody keeps would let an upload happen twice."""

    async def numbers():
        yield 1

    async with network_of("a", "b") as (network, a, b):
        network.host(b, ticking)
        pricing = bind_proxy(Pricing, PRICING.base, a.invoker)
        for wrapped in (aether.call(pricing.total, key="k"), aether.send(pricing.total), aether.each(pricing.total)):
            with pytest.raises(BadInput, match="gives or takes a stream"):
                await wrapped(numbers())
        with pytest.raises(BadInput, match="gives or takes a stream"):
            aether.call(pricing.ticks, key="k")()
        async with aether.stream(aether.call(pricing.ticks, affinity_key="x", priority="high")()) as ticks:
            assert await anext(ticks) == 0
