"""Calls are counted for the version that took them: which of them, and as what."""

import contextlib
import functools
import sys
from collections import Counter

import pytest
import trio

from aether.errors import OutcomeUnknown, Overloaded, StreamBroken
from aether.invocation.reply import Abandoned, Done, Failed, Faulted, Form, NotStarted, is_broken
from aether.metrics.slow_calls import LEARNING_CALLS
from aether.model.artifact import Artifact
from aether.model.health import health_of
from aether.model.version import Version
from aether.slice_api.current import current_call
from aether.slice_api.faults import FaultPlain

PRICING = Artifact.parse("shop:pricing:1.0.0")
NEXT = Artifact.parse("shop:pricing:1.1.0")


def fault(status):
    return Faulted(FaultPlain(name="OutOfStock", status=status, title="t", detail="d", fields={}))


def counted(node, artifact=PRICING):
    return node.invoker.statistics().versions[str(artifact)]


@pytest.mark.parametrize(
    ("outcome", "requests", "errors"),
    [
        (Done(1), 1, 0),
        (fault(409), 1, 0),
        (fault(503), 1, 1),
        (Failed(kind="ValueError", message="no"), 1, 1),
        (Abandoned("it crashed"), 1, 1),
    ],
)
async def test_what_the_contract_says_is_no_error_and_all_else_is(
    autojump_clock, network_of, outcome, requests, errors
):
    async with network_of("caller", "callee") as (network, caller, callee):

        async def handle(method, payload):
            await trio.sleep(0.1)
            return outcome

        network.host(callee, handle)
        expected = pytest.raises(OutcomeUnknown) if isinstance(outcome, Abandoned) else contextlib.nullcontext()
        with expected:
            await caller.call()
        counts = counted(caller)

    assert (counts.requests, counts.errors) == (requests, errors)
    assert health_of(counts).p99_ms == pytest.approx(102 if counts.latencies.count else 0.0, rel=0.011)
    assert not callee.invoker.statistics().versions, "only callers count"


@pytest.mark.parametrize(("status", "errors"), [(200, 0), (404, 0), (500, 1), (503, 1)])
async def test_an_answer_over_http_says_by_its_status_whether_it_is_an_error(
    autojump_clock, network_of, status, errors
):
    async with network_of("caller") as (network, caller):

        async def handle(method, payload):
            return [status, "text/plain", b"", "1.0.0"]

        network.host(caller, handle)
        await caller.invoker.call(PRICING.base, "quote", [], form=Form.HTTP)
        counts = counted(caller)

    assert (counts.requests, counts.errors) == (1, errors)
    assert is_broken([status]) is bool(errors)


async def test_a_time_out_of_the_caller_is_an_error_and_its_change_of_mind_is_none(autojump_clock, network_of):
    async with network_of("caller", "callee") as (network, caller, callee):

        async def handle(method, payload):
            await trio.sleep(1_000)

        network.host(callee, handle)
        with trio.move_on_after(0.5):
            await caller.call()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(caller.call)
            await trio.sleep(0.1)
            nursery.cancel_scope.cancel()
        counts = counted(caller)

    assert (counts.requests, counts.errors) == (1, 1)
    assert health_of(counts).p99_ms == pytest.approx(500, rel=0.02)


async def test_a_try_that_went_elsewhere_is_counted_where_it_was_answered(autojump_clock, network_of):
    async with network_of("caller", "a", "b") as (network, caller, a, b):

        async def full(method, payload):
            return NotStarted("draining")

        async def fine(method, payload):
            return 1

        network.host(a, full)
        network.host(b, fine, artifact=NEXT)
        for _ in range(20):
            await caller.call()

    assert counted(caller, NEXT).requests == 20
    assert counted(caller, PRICING).requests == 0


async def test_a_call_that_nobody_had_room_for_is_an_error_of_the_version_asked_last(autojump_clock, network_of):
    async with network_of("caller", "callee") as (network, caller, callee):

        async def full(method, payload):
            return NotStarted("full", 4)

        network.host(callee, full)
        with pytest.raises(Overloaded):
            await caller.call()

    assert (counted(caller).requests, counted(caller).errors) == (1, 1)


async def test_a_call_inside_the_node_is_counted_too(autojump_clock, network_of):
    async with network_of("alone") as (network, node):

        async def handle(method, payload):
            return 1

        network.host(node, handle)
        for _ in range(3):
            await node.call()

    assert counted(node).requests == 3


@pytest.mark.parametrize("place", ["here", "there"])
async def test_a_stream_is_one_call_that_fails_when_it_breaks(autojump_clock, network_of, place):
    async with network_of("here", "there") as (network, here, there):

        async def ticks(method, payload, inputs):
            yield 1
            if payload == "break later":
                await trio.sleep(10)
            if payload:
                raise_ = Failed(kind="ValueError", message="no")
                raise _Raised(raise_)

        class _Raised(Exception):
            def __init__(self, outcome):
                super().__init__()
                self.outcome = outcome

        host = network.host(here if place == "here" else there, ticks)
        serve_stream = host.serve_stream

        async def failing(*args):
            try:
                return await serve_stream(*args)
            except _Raised as raised:
                return raised.outcome

        host.serve_stream = failing
        async with here.invoker.stream(PRICING.base, "ticks", "", form=Form.WIRE) as stream:
            assert [item async for item in stream] == [1]
        assert (counted(here).requests, counted(here).errors) == (1, 0)

        async with here.invoker.stream(PRICING.base, "ticks", "break", form=Form.WIRE) as stream:
            with pytest.raises(Exception):  # noqa: B017 - what it is, is not the question
                _ = [item async for item in stream]
        assert (counted(here).requests, counted(here).errors) == (2, 1)

        async with here.invoker.stream(PRICING.base, "ticks", "break later", form=Form.WIRE):
            pass  # who leaves before the end has no complaint
        await trio.sleep(1)
        assert (counted(here).requests, counted(here).errors) == (3, 1)


@pytest.mark.parametrize("place", ["here", "there"])
async def test_the_first_item_of_a_streamed_answer_over_http_is_its_status(autojump_clock, network_of, place):
    async with network_of("here", "there") as (network, here, there):

        async def answer(method, payload, inputs):
            yield [payload, "text/plain", {}, "1.0.0"]
            yield [500]  # a body that looks like one

        network.host(here if place == "here" else there, answer)
        for status, errors in ((200, 0), (500, 1)):
            async with here.invoker.stream(PRICING.base, "get", status, form=Form.HTTP) as stream:
                assert len([item async for item in stream]) == 2
            assert counted(here).errors == errors


async def test_a_stream_whose_node_is_lost_failed(autojump_clock, network_of):
    async with network_of("here", "there") as (network, here, there):

        async def ticks(method, payload, inputs):
            yield 1
            await trio.sleep(1_000)

        network.host(there, ticks)
        async with here.invoker.stream(PRICING.base, "ticks", "", form=Form.WIRE) as stream:
            assert await stream.__anext__() == 1
            network.disconnect(here, there)
            with pytest.raises(StreamBroken):
                await stream.__anext__()

    assert (counted(here).requests, counted(here).errors) == (1, 1)
    assert set(here.invoker.healths._counters.counts(PRICING.base)) == {Version.parse("1.0.0")}


async def test_counting_costs_a_call_one_function_and_no_more(autojump_clock, network_of):
    """A budget that holds on every machine: `benchmarks.paths counted` says what they take, below a microsecond."""
    async with network_of("alone") as (network, node):

        async def handle(method, payload):
            return 1

        network.host(node, handle)
        for _ in range(LEARNING_CALLS):
            await node.call()
        entered = []

        def profile(frame, event, argument):
            if event == "call" and "/metrics/" in frame.f_code.co_filename:
                entered.append(frame.f_code.co_name)

        sys.setprofile(profile)
        try:
            for _ in range(10):
                await node.call()
        finally:
            sys.setprofile(None)

    assert Counter(entered) == {"answered": 10}


async def test_methods_are_counted_apart_and_no_call_stays_in_flight(autojump_clock, network_of):
    async with network_of("caller", "callee") as (network, caller, callee):

        async def handle(method, payload):
            await trio.sleep(1)
            return 1

        network.host(callee, handle)
        async with trio.open_nursery() as nursery:
            for method in ("quote", "quote", "price"):
                nursery.start_soon(functools.partial(caller.invoker.call, PRICING.base, method, [], form=Form.WIRE))
            await trio.sleep(0.5)
            assert {m: c.in_flight for _, m, c in caller.invoker.counters} == {"quote": 2, "price": 1}
        assert {m: c.in_flight for _, m, c in caller.invoker.counters} == {"quote": 0, "price": 0}
        assert {m: c.counts().requests for _, m, c in caller.invoker.counters} == {"quote": 2, "price": 1}


@pytest.mark.parametrize("place", ["here", "there"])
async def test_a_stream_is_in_flight_while_it_is_open(autojump_clock, network_of, place):
    async with network_of("here", "there") as (network, here, there):

        async def ticks(method, payload, inputs):
            yield 1
            await trio.sleep(100)

        network.host(here if place == "here" else there, ticks)
        async with here.invoker.stream(PRICING.base, "ticks", "", form=Form.WIRE) as stream:
            assert await stream.__anext__() == 1
            assert [c.in_flight for _, _, c in here.invoker.counters] == [1]
        assert [c.in_flight for _, _, c in here.invoker.counters] == [0]


@pytest.mark.parametrize("where", ["caller", "callee"])
async def test_a_slow_call_is_found_by_the_trace_that_its_method_saw(autojump_clock, network_of, where):
    """Also the first call of a request, which has no trace until somebody asks for it."""
    async with network_of("caller", "callee") as (network, *nodes):
        seen = []

        async def handle(method, payload):
            seen.append(current_call().trace_id)
            await trio.sleep(1)

        network.host(next(node for node in nodes if node.name == where), handle)
        await nodes[0].call()
        [(_, _, counter)] = nodes[0].invoker.healths._counters

    assert [call.trace_id for call in counter.slowest] == seen
