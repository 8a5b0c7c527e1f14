"""Streams between nodes in virtual time: what the wire, the peers and the clock can do to them."""

import contextlib

import pytest
import trio
import trio.testing

from aether.errors import BadInput, Draining, NoInstance, OutcomeUnknown, Overloaded, StreamBroken
from aether.invocation import streams_service
from aether.invocation.reply import FULL, Abandoned, Done, Failed, Form, NotStarted, TimedOut
from aether.invocation.stream_messages import (
    StreamCredit,
    StreamEnd,
    StreamItem,
    StreamOpened,
    StreamRequest,
    StreamStop,
)
from aether.invocation.streaming import Input, StreamEnded
from aether.model.artifact import Artifact
from aether.model.ids import InstanceId
from aether.model.limits import CLEANUP_S, STREAM_AHEAD_BYTES, STREAM_AHEAD_ITEMS
from aether.model.rows import RouteRow, TrafficRow
from aether.model.version import Version

PRICING = Artifact.parse("shop:pricing:1.0.0")


def opened(node, payload=None, method="ticks", **options):
    return node.invoker.stream(PRICING.base, method, payload, form=Form.WIRE, **options)


async def counting(method, payload, inputs):
    """Numbers for ever, or `payload` of them."""
    number = 0
    while payload is None or number < payload:
        yield number
        number += 1


async def each_second(method, payload, inputs):
    number = 0
    while True:
        await trio.sleep(1.0)
        yield number
        number += 1


async def big(method, payload, inputs):
    while True:
        yield b"x" * payload


async def total(method, payload, inputs):
    found = 0
    async for number in inputs["numbers"]:
        found += number
    return found


async def up_to(count):
    for number in range(count):
        yield number


async def read_all(stream, items):
    """Append every item to `items`."""
    async for item in stream:
        items.append(item)


async def read_open(node, items):
    async with opened(node) as stream:
        await read_all(stream, items)


async def settle(seconds=0.05):
    await trio.sleep(seconds)
    await trio.testing.wait_all_tasks_blocked()


def sent(node, cls):
    return [message for _, message, _ in node.sent if type(message) is cls]


# --- flow -------------------------------------------------------------------------------------------------------------


async def test_items_cross_one_message_each_and_credit_comes_back_by_half_windows(autojump_clock, network_of):
    async with network_of("a", "b") as (network, a, b):
        network.host(b, counting)
        async with opened(a, 5_000) as stream:
            assert [item async for item in stream] == list(range(5_000))
        assert [m.number for m in sent(b, StreamItem)] == list(range(5_000))
        assert len(sent(a, StreamCredit)) <= 5_000 / (STREAM_AHEAD_ITEMS / 2)
        assert [m.outcome for m in sent(b, StreamEnd)] == [Done(None)]
        assert sent(a, StreamStop) == [], "a stream that ended by itself needs no stop"


async def test_a_slow_reader_holds_one_window_at_most_and_the_generator_waits(autojump_clock, network_of):
    made = []

    async def noting(method, payload, inputs):
        while True:
            made.append(None)
            yield 1

    async with network_of("a", "b") as (network, a, b):
        network.host(b, noting)
        async with opened(a) as stream:
            for taken in range(40):
                await settle()
                assert len(made) <= taken + STREAM_AHEAD_ITEMS + 1
                await anext(stream)


async def test_large_items_count_by_their_bytes(autojump_clock, network_of):
    async with network_of("a", "b") as (network, a, b):
        network.host(b, big)
        size = STREAM_AHEAD_BYTES // 10
        async with opened(a, size) as stream:
            await settle()
            assert len(sent(b, StreamItem)) == 10
            for _ in range(50):
                await anext(stream)
            await settle()
            assert len(sent(b, StreamItem)) <= 60


async def test_the_reader_says_how_far_ahead_the_generator_may_be(autojump_clock, network_of):
    async with network_of("a", "b") as (network, a, b):
        network.host(b, counting)
        async with opened(a, ahead=1) as stream:
            for taken in range(1, 5):
                await settle()
                assert len(sent(b, StreamItem)) == taken
                await anext(stream)


async def test_long_items_that_short_ones_overtake_are_read_in_order(autojump_clock, network_of):
    """Frames above 64 KiB are split, and later short ones pass them; so may the end."""
    async with network_of("a", "b") as (network, a, b):
        network.host(b, counting)
        post, held = network.post, []

        def overtaken(source, to, spec, packed):
            if spec.cls is StreamItem and len(held) < 3:
                held.append((source, to, spec, packed))
                return True
            return post(source, to, spec, packed)

        network.post = overtaken
        async with opened(a, 10) as stream:
            await settle()
            with trio.move_on_after(1.0):
                await anext(stream)
                raise AssertionError("the first item has not arrived")
            for one in reversed(held):
                post(*one)
            assert [item async for item in stream] == list(range(10))


async def test_a_full_mailbox_delays_items_and_credit_and_loses_neither(autojump_clock, network_of):
    async with network_of("a", "b") as (network, a, b):
        network.host(b, counting)
        async with opened(a, 4_000) as stream, trio.open_nursery() as nursery:

            async def clog():
                for node in (a, b, a, b, a, b):
                    network.full.add(node.name)
                    await trio.sleep(0.1)
                    network.full.clear()
                    await trio.sleep(0.02)

            nursery.start_soon(clog)
            read = []
            async for item in stream:
                read.append(item)
                if item % 100 == 0:
                    await trio.sleep(0.01)
            assert read == list(range(4_000))


async def test_two_readers_of_one_stream_are_a_mistake_that_is_told(autojump_clock, network_of):
    async with network_of("a", "b") as (network, a, b):
        network.host(b, each_second)
        async with opened(a) as stream, trio.open_nursery() as nursery:
            nursery.start_soon(anext, stream)
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(trio.BusyResourceError, match="two tasks"):
                await anext(stream)
            nursery.cancel_scope.cancel()


# --- ends -------------------------------------------------------------------------------------------------------------


async def test_leaving_the_block_cancels_the_generator_within_a_few_milliseconds(autojump_clock, network_of):
    async with network_of("a", "b") as (network, a, b):
        instance = network.host(b, each_second)
        async with opened(a) as stream:
            await anext(stream)
        await settle(0.01)
        assert instance.cancelled == 1


async def test_a_lost_peer_breaks_the_stream_after_the_items_that_had_arrived(autojump_clock, network_of):
    async with network_of("a", "b") as (network, a, b):
        instance = network.host(b, counting)
        async with opened(a) as stream:
            read = [await anext(stream)]
            await settle()
            network.disconnect(a, b)
            with pytest.raises(StreamBroken, match="connection to b was lost") as broken:
                await read_all(stream, read)
            assert (broken.value.stream, broken.value.received) == ("Pricing.ticks", len(read))
            assert isinstance(broken.value, OutcomeUnknown)
        await settle()
        assert instance.cancelled == 1


async def test_a_stream_that_was_complete_when_the_peer_was_lost_is_read_to_its_end(autojump_clock, network_of):
    async with network_of("a", "b") as (network, a, b):
        network.host(b, counting)
        async with opened(a, 20) as stream:
            await settle()
            network.disconnect(a, b)
            assert [item async for item in stream] == list(range(20))


async def test_a_generator_that_is_cut_off_by_its_instance_breaks_the_stream(autojump_clock, network_of):
    async with network_of("a", "b") as (network, a, b):
        instance = network.host(b, each_second)
        async with opened(a) as stream:
            assert await anext(stream) == 0
            instance.scopes[0].cancel()
            with pytest.raises(StreamBroken, match="1 items: the instance stopped"):
                await anext(stream)


@pytest.mark.parametrize("here", [True, False])
async def test_a_node_that_stops_ends_its_streams_at_both_ends(autojump_clock, network_of, lone_node, here):
    async with network_of("b") as (network, b):
        alone = lone_node(network, "c")
        network.nodes[alone.name] = alone
        instance = network.host(alone if here else b, each_second)
        async with trio.open_nursery() as nursery:
            running = trio.CancelScope()

            async def run(task_status):
                with running:
                    await alone.invoker.run(task_status=task_status)

            await nursery.start(run)
            network.publish()
            async with opened(alone) as stream:
                assert await anext(stream) == 0
                running.cancel()
                with pytest.raises(StreamBroken, match="node c stopped"):
                    await anext(stream)
            await settle()
            assert instance.cancelled == 1
            with pytest.raises(Draining):
                async with opened(alone):
                    pass


async def test_the_callers_deadline_travels_and_ends_the_caller_by_its_own_scope(autojump_clock, network_of):
    async with network_of("a", "b") as (network, a, b):
        instance = network.host(b, each_second)
        with trio.move_on_after(2.5) as scope:
            async with opened(a) as stream:
                async for _ in stream:
                    pass
        assert scope.cancelled_caught
        assert instance.scopes[0].deadline == pytest.approx(trio.current_time(), abs=0.02)
        await settle()
        assert instance.cancelled == 1


async def test_a_deadline_of_the_method_bounds_the_whole_stream(autojump_clock, network_of):
    async with network_of("a", "b") as (network, a, b):
        network.host(b, each_second)
        network.terms[PRICING.base] = RouteRow(artifact=PRICING.base, deadlines_s={"ticks": 3.5})
        network.publish()
        read = []
        with pytest.raises(StreamEnded) as ended:
            await read_open(a, read)
        assert isinstance(ended.value.reply, TimedOut)
        assert read == [0, 1, 2]


async def test_a_stream_lasts_as_long_as_its_own_version_says(autojump_clock, network_of):
    newer = PRICING.base.at(Version.parse("2.0.0"))
    async with network_of("a", "b") as (network, a, b):
        network.host(b, each_second, instance="old")
        network.host(b, each_second, instance="new", artifact=newer)
        network.terms[PRICING.base] = RouteRow(
            artifact=PRICING.base,
            version=str(PRICING.version),
            methods=("ticks",),
            deadlines_s={"ticks": 3.5},
            others=(RouteRow(artifact=newer.base, version="2.0.0", methods=("ticks",), deadlines_s={"ticks": 1.5}),),
        )
        network.traffic[PRICING.base] = TrafficRow(artifact=PRICING.base, weights={str(PRICING.version): 1, "2.0.0": 1})
        network.publish()
        lengths = []
        for _ in range(2):
            read = []
            with pytest.raises(StreamEnded):
                await read_open(a, read)
            lengths.append(len(read))
        assert sorted(lengths) == [1, 3]


async def test_without_a_deadline_a_stream_lasts(autojump_clock, network_of):
    async with network_of("a", "b") as (network, a, b):
        network.host(b, each_second)
        async with opened(a) as stream:
            async for item in stream:
                if item == 200:
                    break
        assert trio.current_time() > 200


async def test_the_generator_learns_why_its_reader_left(autojump_clock, network_of):
    reasons = []

    async def noting(method, payload, inputs):
        try:
            while True:
                yield 1
        except trio.Cancelled as cancelled:
            reasons.append(cancelled.reason)
            raise

    for here in (True, False):
        async with network_of("a", "b") as (network, a, b):
            network.host(a if here else b, noting)
            async with opened(a) as stream:
                await anext(stream)
                await settle()
            with trio.CancelScope() as scope:
                async with opened(a) as stream:
                    await anext(stream)
                    scope.cancel("enough of it")
                    await trio.sleep_forever()
            await settle()
    assert reasons == ["the reader left", "enough of it"] * 2


@pytest.mark.parametrize("here", [True, False])
async def test_a_generator_that_shields_its_clean_up_has_so_much_time_for_it(autojump_clock, network_of, here):
    ended = []

    async def stubborn(method, payload, inputs):
        try:
            while True:
                yield 1
        finally:
            began = trio.current_time()
            try:
                with trio.CancelScope(shield=True):
                    await trio.sleep_forever()
            finally:
                ended.append(trio.current_time() - began)

    async with network_of("a", "b") as (network, a, b):
        network.host(a if here else b, stubborn)
        async with opened(a) as stream:
            await anext(stream)
        await trio.sleep(2 * CLEANUP_S)
        assert ended == [pytest.approx(CLEANUP_S, rel=0.2)]


# --- opening ----------------------------------------------------------------------------------------------------------


async def test_nobody_there_is_no_instance_after_the_default_deadline(autojump_clock, network_of):
    async with network_of("a") as (_, a):
        with pytest.raises(NoInstance):
            async with opened(a):
                pass
        assert trio.current_time() == pytest.approx(30.0, abs=0.1)


async def test_what_did_not_start_is_opened_elsewhere(autojump_clock, network_of):
    async with network_of("a", "b", "c") as (network, a, b, c):

        class Drained:
            name = "Pricing"

            async def serve_stream(self, *_):
                return NotStarted("draining")

        network.host(b, counting)
        b.instances[InstanceId("pricing-b")] = Drained()
        network.host(c, counting)
        for _ in range(10):
            async with opened(a, 3) as stream:
                assert [item async for item in stream] == [0, 1, 2]


@pytest.mark.parametrize("caller", ["a", "b"])
async def test_a_node_that_steps_aside_leaves_its_streams_to_others(autojump_clock, network_of, caller):
    """Its disk stands still, say: what a generator has to store would wait there for its deadline."""
    async with network_of("a", "b", "c") as (network, _, b, c):
        stuck, well = network.host(b, counting), network.host(c, counting)
        for server in (b.invoker._server, b.invoker._streams._server):
            server.steps_aside = lambda target, attempt: attempt <= b.registry.elsewhere(PRICING.base)
        for _ in range(10):
            async with opened(network.nodes[caller], 3) as stream:
                assert [item async for item in stream] == [0, 1, 2]

        assert (len(stuck.served), len(well.served)) == (0, 10)


async def test_everybody_full_is_overloaded(autojump_clock, network_of):
    async with network_of("a", "b") as (network, a, b):

        class Full:
            name = "Pricing"

            async def serve_stream(self, *_):
                return NotStarted(FULL, 3)

        network.host(b, counting)
        b.instances[InstanceId("pricing-b")] = Full()
        with pytest.raises(Overloaded):
            async with opened(a):
                pass


async def test_an_open_stream_counts_as_load_so_that_the_next_goes_elsewhere(autojump_clock, network_of):
    async with network_of("a", "b", "c") as (network, a, b, c):
        instances = [network.host(node, each_second) for node in (b, c)]
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(20):
                await stack.enter_async_context(opened(a))
            assert min(len(instance.served) for instance in instances) >= 8
        loads = a.invoker._attempts._chooser.loads.view()
        assert [load.in_flight for load in loads.values()] == [0, 0]


async def test_at_most_so_many_streams_are_open(autojump_clock, network_of, monkeypatch):
    monkeypatch.setattr(streams_service, "STREAMS_OPEN_MAX", 2)
    async with network_of("a", "b") as (network, a, b):
        network.host(b, each_second)
        async with opened(a), opened(a):
            with pytest.raises(Overloaded):
                async with opened(a):
                    pass
        async with opened(a):
            pass


async def test_a_caller_that_is_cancelled_while_it_opens_leaves_nothing_behind(autojump_clock, network_of):
    async with network_of("a", "b") as (network, a, b):
        instance = network.host(b, each_second)
        with trio.move_on_after(0.0005):
            async with opened(a):
                raise AssertionError("it cannot be open yet")
        await settle()
        assert instance.cancelled == len(instance.served)
        assert len(sent(a, StreamStop)) >= 1


async def test_a_stop_that_overtakes_a_long_request_is_said_again(autojump_clock, network_of):
    async with network_of("a", "b") as (network, a, b):
        instance = network.host(b, each_second)
        post, held = network.post, []

        def overtaken(source, to, spec, packed):
            if spec.cls is StreamRequest:
                held.append((source, to, spec, packed))
                return True
            return post(source, to, spec, packed)

        network.post = overtaken
        with trio.move_on_after(0.01):
            async with opened(a):
                pass
        await settle()
        post(*held[0])
        await settle()
        assert instance.cancelled == 1


async def test_a_peer_lost_while_opening_leaves_the_outcome_unknown(autojump_clock, network_of):
    async with network_of("a", "b") as (network, a, b):
        network.host(b, each_second)
        async with trio.open_nursery() as nursery:

            async def cut():
                await trio.sleep(0.0005)
                network.disconnect(a, b)

            nursery.start_soon(cut)
            with pytest.raises(OutcomeUnknown, match="may have run on b"):
                async with opened(a):
                    pass


async def test_an_idempotent_stream_is_opened_again_elsewhere_but_only_until_it_was_open(autojump_clock, network_of):
    async with network_of("a", "b", "c") as (network, a, b, c):
        network.host(b, each_second)
        network.idempotent("ticks")
        async with trio.open_nursery() as nursery:

            async def cut():
                await trio.sleep(0.0005)
                network.host(c, counting)
                network.disconnect(a, b)

            nursery.start_soon(cut)
            async with opened(a) as stream:
                assert await anext(stream) == 0
                network.disconnect(a, c)
                with pytest.raises(StreamBroken):
                    await read_all(stream, [])


# --- inputs -----------------------------------------------------------------------------------------------------------


async def test_a_caller_sends_a_stream_and_gets_one_answer(autojump_clock, network_of):
    async with network_of("a", "b") as (network, a, b):
        network.host(b, total)
        async with opened(a, method="total", inputs={"numbers": Input(up_to(5_000))}) as stream:
            assert await stream.outcome() == Done(sum(range(5_000)))
        assert [m.channel for m in sent(a, StreamItem)] == [1] * 5_000
        assert len(sent(b, StreamCredit)) <= 10


async def test_a_method_that_does_not_read_makes_its_caller_wait(autojump_clock, network_of):
    async def busy(method, payload, inputs):
        await trio.sleep(1.0)
        return "enough"

    async with network_of("a", "b") as (network, a, b):
        network.host(b, busy)
        async with opened(a, method="busy", inputs={"numbers": Input(up_to(1_000_000))}) as stream:
            assert await stream.outcome() == Done("enough")
        assert len(sent(a, StreamItem)) == STREAM_AHEAD_ITEMS


async def test_a_lost_caller_cancels_the_method_that_reads_it(autojump_clock, network_of):
    async with network_of("a", "b") as (network, a, b):
        instance = network.host(b, total)

        async def slow():
            for number in range(100):
                await trio.sleep(1.0)
                yield number

        async with trio.open_nursery() as nursery:

            async def cut():
                await trio.sleep(3.5)
                network.disconnect(a, b)

            nursery.start_soon(cut)
            with pytest.raises(StreamBroken):
                async with opened(a, method="total", inputs={"numbers": Input(slow())}) as stream:
                    await stream.outcome()
        await settle()
        assert instance.cancelled == 1


# --- peers that break the rules ---------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def hand_served(a, b):
    """A stream of `a` whose other end, on `b`, is played by the test: yields (stream, call id, say)."""

    class Silent:
        name = "Pricing"

        async def serve_stream(self, method, payload, form, scope, sink, inputs):
            with scope:
                sink.opened()
                await trio.sleep_forever()

    b.instances[InstanceId("pricing-b")] = Silent()
    async with opened(a) as stream:
        call_id = sent(a, StreamRequest)[-1].call_id
        yield stream, call_id, lambda message: a.invoker.deliver(b.name, message, "")


async def test_items_beyond_the_credit_break_the_stream_and_stop_the_callee(autojump_clock, network_of):
    async with network_of("a", "b") as (network, a, b):
        network.host(b, counting)
        async with hand_served(a, b) as (stream, call_id, say):
            say(StreamItem(call_id, 0, 0, b"\x01"))
            say(StreamItem(call_id, 0, STREAM_AHEAD_ITEMS, b"\x01"))
            assert await anext(stream) == 1
            with pytest.raises(StreamBroken, match="broke the rules"):
                await anext(stream)
            assert len(sent(a, StreamStop)) == 1


async def test_messages_of_others_and_of_unknown_streams_are_ignored(autojump_clock, network_of):
    async with network_of("a", "b", "c") as (network, a, b, c):
        network.host(b, counting)
        async with hand_served(a, b) as (stream, call_id, say):
            for node in (a, c):
                for message in (
                    StreamItem(call_id, 0, 0, b"\x02"),
                    StreamEnd(call_id, 0, 0, Done(None)),
                    StreamItem(call_id, 1, 0, b"\x02"),
                    StreamCredit(call_id, 1, 5, 5),
                    StreamStop(call_id, 1, ""),
                    StreamEnd(call_id, 7, 0, Done(None)),
                ):
                    node.invoker.deliver(c.name, message, "")
            say(StreamOpened(call_id, 0, 0))
            say(StreamItem(call_id, 0, 0, b"\x01"))
            assert await anext(stream) == 1


async def test_an_item_that_is_no_msgpack_is_bad_input_of_that_read(autojump_clock, network_of):
    async with network_of("a", "b") as (network, a, b):
        network.host(b, counting)
        async with hand_served(a, b) as (stream, call_id, say):
            say(StreamItem(call_id, 0, 0, b"\xc1"))
            with pytest.raises(Exception, match="malformed item"):
                await anext(stream)


async def test_a_failure_before_the_method_began_is_raised_by_the_opening(autojump_clock, network_of):
    async with network_of("a", "b") as (network, a, b):

        class Broken:
            name = "Pricing"

            async def serve_stream(self, *_):
                raise RuntimeError("a bug of the runtime")

        network.host(b, counting)
        b.instances[InstanceId("pricing-b")] = Broken()
        with pytest.raises(StreamEnded) as ended:
            async with opened(a):
                pass
        assert isinstance(ended.value.reply, Failed)
        assert "a bug of the runtime" in ended.value.reply.message


async def test_cut_off_is_abandoned_on_the_wire(autojump_clock, network_of):
    async with network_of("a", "b") as (network, a, b):
        instance = network.host(b, each_second)
        async with opened(a) as stream:
            instance.scopes[0].cancel()
            with pytest.raises(StreamBroken):
                await anext(stream)
        assert isinstance(sent(b, StreamEnd)[0].outcome, Abandoned)


# --- several hops -----------------------------------------------------------------------------------------------------


async def test_leaving_a_stream_cancels_the_streams_behind_it_three_hops_deep(autojump_clock, network_of):
    async with network_of("a", "b", "c", "d") as (network, a, b, c, d):

        def relay(node, target):
            async def relaying(method, payload, inputs):
                async with node.invoker.stream(target.base, "ticks", None, form=Form.WIRE) as stream:
                    async for item in stream:
                        yield item

            return relaying

        artifacts = [Artifact.parse(f"shop:hop-{n}:1.0.0") for n in (1, 2)]
        first = network.host(b, relay(b, artifacts[0]))
        second = network.host(c, relay(c, artifacts[1]), artifact=artifacts[0])
        last = network.host(d, each_second, artifact=artifacts[1])
        async with opened(a) as stream:
            assert [await anext(stream), await anext(stream)] == [0, 1]
            left = trio.current_time()
        while last.cancelled == 0:
            await trio.sleep(0.001)
        assert trio.current_time() - left <= 0.01
        assert (first.cancelled, second.cancelled) == (1, 1)


# --- handed on --------------------------------------------------------------------------------------------------------


class HandingOn:
    """An instance whose every stream comes from `artifact`."""

    name = "Pricing"

    def __init__(self, artifact):
        self.reference = [str(artifact.base), "ticks", 2_000]
        self.done = 0

    async def serve_stream(self, method, payload, form, scope, sink, inputs):
        assert sink.hand_on(self.reference)
        self.done += 1
        return Done(None)


async def test_items_of_a_stream_that_was_handed_on_do_not_pass_through_the_middle(autojump_clock, network_of):
    source = Artifact.parse("shop:source:1.0.0")
    async with network_of("a", "b", "c") as (network, a, b, c):
        network.host(b, counting)
        network.host(c, counting, artifact=source)
        middle = b.instances[InstanceId("pricing-b")] = HandingOn(source)
        async with opened(a) as stream:
            assert middle.done == 1
            assert [item async for item in stream] == list(range(2_000))
        assert len(sent(c, StreamItem)) == 2_000
        assert (sent(b, StreamItem), sent(b, StreamRequest)) == ([], [])


async def test_an_argument_that_was_handed_on_does_not_pass_through_the_caller(autojump_clock, network_of):
    source = Artifact.parse("shop:source:1.0.0")
    reference = [str(source.base), "ticks", 2_000]
    async with network_of("a", "b", "c") as (network, a, b, c):
        network.host(b, total)
        network.host(c, counting, artifact=source)
        numbers = Input(up_to(0), reference=reference)
        async with opened(a, method="total", inputs={"numbers": numbers}) as stream:
            assert await stream.outcome() == Done(sum(range(2_000)))
        await settle()
        assert (len(sent(c, StreamItem)), sent(a, StreamItem), sent(b, StreamItem)) == (2_000, [], [])
        assert len(b.invoker._streams) == 0


async def test_a_circle_of_handing_on_ends(autojump_clock, network_of):
    async with network_of("a", "b") as (network, a, b):
        network.host(b, counting)
        middle = b.instances[InstanceId("pricing-b")] = HandingOn(PRICING)
        with pytest.raises(StreamBroken, match="handed on more than 8 times"):
            await read_open(a, [])
        assert middle.done == 9


async def test_a_reference_that_is_none_is_refused(autojump_clock, network_of):
    async with network_of("a", "b") as (network, a, b):
        network.host(b, counting)
        middle = b.instances[InstanceId("pricing-b")] = HandingOn(PRICING)
        middle.reference = ["only", 2]
        with pytest.raises(BadInput, match="reference to a stream"):
            await read_open(a, [])
