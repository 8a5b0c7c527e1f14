"""One node asks all others how their calls to a slice went."""

import msgpack
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from aether.errors import BadInput, Overloaded
from aether.invocation.health_messages import (
    CountsReply,
    CountsRequest,
    ShareRequest,
    decode_counts_reply,
    decode_counts_request,
    decode_share_request,
    encode_counts_reply,
    encode_counts_request,
    encode_share_request,
)
from aether.model.artifact import Artifact
from aether.model.call_counts import CallCounts
from aether.model.ids import NodeId
from aether.model.limits import ASK_NODES_S, QUESTIONS_MAX, VERSIONS_TOLD_MAX
from aether.model.sketch import BUCKETS, Sketch
from aether.model.version import Version

PRICING = Artifact.parse("shop:pricing:1.0.0")
A, B, C = NodeId("a"), NodeId("b"), NodeId("c")

numbers = st.integers(0, 2**31)
buckets = st.dictionaries(st.integers(0, BUCKETS - 1), st.integers(1, 2**31), max_size=8)
versions = st.builds(Version, *[st.integers(0, 99)] * 3)


@st.composite
def counts(draw):
    requests = draw(numbers)
    return CallCounts(
        requests=requests,
        errors=draw(st.integers(0, requests)),
        seconds=draw(st.floats(0, 1e9)),
        latencies=Sketch(draw(buckets)),
    )


def over_the_wire(plain):
    return msgpack.unpackb(msgpack.packb(plain), strict_map_key=False)


@given(numbers, st.text(max_size=50), st.text(max_size=50), numbers, st.dictionaries(versions, counts(), max_size=5))
def test_questions_and_answers_survive_the_wire(number, target, share, epoch, told):
    question, answer = CountsRequest(number, target), CountsReply(number, epoch, told)
    of_share = ShareRequest(number, target, share)
    assert decode_counts_request(over_the_wire(encode_counts_request(question))) == question
    assert decode_share_request(over_the_wire(encode_share_request(of_share))) == of_share
    assert decode_counts_reply(over_the_wire(encode_counts_reply(answer))) == answer


def test_of_many_versions_the_newest_are_told():
    told = {Version(1, minor, 0): CallCounts(requests=1) for minor in range(VERSIONS_TOLD_MAX + 5)}
    answer = decode_counts_reply(encode_counts_reply(CountsReply(1, 2, told)))
    assert len(answer.versions) == VERSIONS_TOLD_MAX
    assert Version(1, 4, 0) not in answer.versions


@pytest.mark.parametrize(
    "fields",
    [
        [],
        ["1", 2, {}],
        [1, 2, []],
        [1, 2, {"one": [0, 0, 0.0, []]}],
        [1, 2, {"1.0.0": [0, 0, 0.0, [1]]}],
        [1, 2, {"1.0.0": [0, 0, 0.0, [BUCKETS, 1]]}],
        [1, 2, {"1.0.0": [0, 0, 0.0, [0, "1"]]}],
        [1, 2, {"1.0.0": [1, 2, 0.0, []]}],
        [1, 2, {"1.0.0": [0, 0, float("nan"), []]}],
        [1, 2, {"1.0.0": [True, 0, 0.0, []]}],
        [1, 2, {f"1.{n}.0": [0, 0, 0.0, []] for n in range(VERSIONS_TOLD_MAX + 1)}],
    ],
)
def test_an_answer_that_nobody_can_have_given_is_refused(fields):
    with pytest.raises(BadInput):
        decode_counts_reply(fields)


@pytest.mark.parametrize("fields", [[], [1], ["1", "t"], [1, 2]])
def test_a_question_without_its_parts_is_refused(fields):
    with pytest.raises(BadInput):
        decode_counts_request(fields)


@pytest.mark.parametrize("fields", [[], [1, "t"], [1, "t", 2], ["1", "t", "s"], [1, 2, "s"], [1, "t", "s", 4]])
def test_a_question_for_a_share_without_its_parts_is_refused(fields):
    with pytest.raises(BadInput):
        decode_share_request(fields)


async def fine(method, payload):
    return 1


async def test_the_counts_of_all_callers_are_added_up(autojump_clock, network_of):
    async with network_of("a", "b", "c") as (network, a, b, c):
        network.host(c, fine)
        for caller, calls in ((a, 3), (b, 5), (c, 7)):
            for _ in range(calls):
                await caller.call()
        health = await a.invoker.healths.health(PRICING.base, "", [A, B, C])
        nothing = await a.invoker.healths.health(Artifact.parse("shop:other:1.0.0").base, "", [A, B, C])

    assert health.versions[PRICING.version].requests == 15
    assert health.unheard == ()
    assert not nothing.versions


async def test_calls_of_a_share_count_from_when_each_node_goes_by_it_whoever_asks(autojump_clock, network_of):
    """A new leader asks what the last one asked, and is told the same."""
    async with network_of("a", "b", "c") as (network, a, b, c):
        network.host(c, fine)
        for node in (a, b):
            await node.call()
            node.invoker.healths.shares_changed({PRICING.base: "u 1"})
            await node.call()
            node.invoker.healths.shares_changed({PRICING.base: "u 1"})  # the registry changed, and this did not
            await node.call()
        await c.call()
        told = [await node.invoker.healths.health(PRICING.base, "u 1", [A, B, C]) for node in (a, b, c)]
        b.invoker.healths.shares_changed({PRICING.base: "u 2"})
        later = await a.invoker.healths.health(PRICING.base, "u 1", [A, B, C])
        a.invoker.healths.shares_changed({})
        gone = await c.invoker.healths.health(PRICING.base, "u 1", [A, B, C])

    assert [health.versions[PRICING.version].requests for health in told] == [4, 4, 4]
    assert [health.unheard for health in told] == [(), (), ()]
    assert later.versions[PRICING.version].requests == 2
    assert not gone.versions


async def test_who_does_not_answer_is_named_and_costs_one_second(autojump_clock, network_of):
    async with network_of("a", "b", "c") as (network, a, b, c):
        network.host(a, fine)
        for caller in (a, b, c):
            await caller.call()
        b.invoker.healths.asked = lambda *_: None
        network.cut.add(frozenset((A, NodeId("gone"))))
        began = trio.current_time()
        health = await a.invoker.healths.health(PRICING.base, "", [A, B, C, NodeId("gone")])
        lasted = trio.current_time() - began

    assert health.unheard == (B, NodeId("gone"))
    assert health.versions[PRICING.version].requests == 2
    assert lasted == pytest.approx(ASK_NODES_S)


async def test_a_node_that_is_lost_meanwhile_is_not_waited_for(autojump_clock, network_of):
    async with network_of("a", "b") as (network, a, b):
        network.host(a, fine)
        network.delay_s = 0.5
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def ask():
                began = trio.current_time()
                health = await a.invoker.healths.health(PRICING.base, "", [B])
                assert health.unheard == (B,)
                assert trio.current_time() - began == pytest.approx(0.1)

            await trio.sleep(0.1)
            network.disconnect(a, b)


async def test_an_answer_of_somebody_else_is_ignored(autojump_clock, network_of):
    async with network_of("a", "b", "c") as (_, a, b, c):
        b.invoker.healths.asked = lambda *_: None
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def ask():
                health = await a.invoker.healths.health(PRICING.base, "", [B])
                assert health.unheard == (B,)

            await trio.sleep(0.1)
            told = CountsReply(1, 1, {PRICING.version: CallCounts(requests=9)})
            a.invoker.deliver(c.name, told, "")
            a.invoker.deliver(B, told._replace(number=77), "")
        a.invoker.deliver(B, told, "")  # late


async def test_a_question_for_a_name_that_no_slice_can_have_is_answered(autojump_clock, network_of):
    async with network_of("a", "b") as (_, a, b):
        b.invoker.deliver(a.name, CountsRequest(1, "no name"), "")
        await trio.sleep(1)
        assert [type(message) for to, message, _ in b.sent] == [CountsReply]


async def test_questions_at_a_time_are_bounded(autojump_clock, network_of):
    async with network_of("a") as (network, a):
        network.post = lambda *_: True  # nothing arrives
        async with trio.open_nursery() as nursery:
            for _ in range(QUESTIONS_MAX):
                nursery.start_soon(a.invoker.healths.health, PRICING.base, "", [B])
            await trio.sleep(0.1)
            with pytest.raises(Overloaded):
                await a.invoker.healths.health(PRICING.base, "", [B])
        await a.invoker.healths.health(PRICING.base, "", [B])
