"""Forwarded proposals: one alone at once, many in one message, none counted as sent that did not leave."""

import math
from collections.abc import Iterator

import pytest
import trio

from aether.errors import NoQuorum
from aether.kv.commands import Apply
from aether.kv.forward_service import Forwarder
from aether.kv.messages import ProposeRequest, ProposeRequests
from aether.kv.proposals import Proposal
from aether.model.ids import NodeId
from aether.model.limits import APPEND_BYTES_MAX

A, B = NodeId("a"), NodeId("b")


class Wire:
    """What left; nothing while `is_down`."""

    def __init__(self) -> None:
        self.sent: list[tuple[NodeId, object]] = []
        self.is_down = False

    def send(self, to: NodeId, message: object) -> bool:
        if self.is_down:
            return False
        self.sent.append((to, message))
        return True

    @property
    def sizes(self) -> Iterator[int]:
        for _, message in self.sent:
            yield len(message.requests) if isinstance(message, ProposeRequests) else 1


def proposal(sequence: int, size: int = 10) -> Proposal:
    return Proposal(1, sequence, Apply(1, sequence, 1, (), ()), bytes(size), math.inf, None)


async def test_a_lone_proposal_leaves_at_once(autojump_clock):
    """No task switch before the network."""
    wire = Wire()
    one = proposal(1)
    Forwarder(wire.send).put(A, one)
    assert wire.sent == [(A, ProposeRequest(1, one.command))]
    assert one.sent


async def test_proposals_that_come_together_share_a_message_in_their_order(autojump_clock, nursery):
    """A message for each would cost more than the proposal."""
    wire = Wire()
    forwarder = Forwarder(wire.send)
    nursery.start_soon(forwarder.run)
    proposals = [proposal(sequence) for sequence in range(1, 101)]
    for each in proposals:
        forwarder.put(A, each)
    await trio.sleep(0.001)
    assert list(wire.sizes) == [1, 99]
    assert all(each.sent for each in proposals)
    last = wire.sent[-1][1]
    assert isinstance(last, ProposeRequests)
    assert [request.number for request in last.requests] == list(range(2, 101))


async def test_a_change_of_leader_in_between_sends_each_to_its_own(autojump_clock, nursery):
    """The first may be dead, the second must not wait for it."""
    wire = Wire()
    forwarder = Forwarder(wire.send)
    nursery.start_soon(forwarder.run)
    for to, sequence in ((A, 1), (A, 2), (B, 3)):
        forwarder.put(to, proposal(sequence))
    await trio.sleep(0.001)
    assert [(to, size) for (to, _), size in zip(wire.sent, wire.sizes, strict=True)] == [(A, 1), (A, 1), (B, 1)]


@pytest.mark.parametrize("count", [1, 3])
async def test_what_the_transport_did_not_take_is_not_sent(autojump_clock, nursery, count):
    """Its caller hears NoQuorum, not that the outcome is unknown."""
    wire = Wire()
    wire.is_down = True
    forwarder = Forwarder(wire.send)
    nursery.start_soon(forwarder.run)
    proposals = [proposal(sequence) for sequence in range(1, count + 1)]
    for each in proposals:
        forwarder.put(A, each)
    await trio.sleep(0.001)
    assert not any(each.sent for each in proposals)


async def test_long_proposals_are_spread_over_messages(autojump_clock, nursery):
    """A message has to fit into a frame."""
    wire = Wire()
    forwarder = Forwarder(wire.send)
    nursery.start_soon(forwarder.run)
    for sequence in range(1, 6):
        forwarder.put(A, proposal(sequence, APPEND_BYTES_MAX // 2))
    await trio.sleep(0.001)
    assert list(wire.sizes) == [1, 2, 2]


async def test_what_was_answered_while_it_waited_does_not_leave(autojump_clock, nursery):
    """Its caller was told that it certainly never left; applied all the same, that would be a lie."""
    wire = Wire()
    forwarder = Forwarder(wire.send)
    nursery.start_soon(forwarder.run)
    first, late, last = (proposal(sequence) for sequence in (1, 2, 3))
    for each in (first, late, last):
        forwarder.put(A, each)
    late.answer = NoQuorum(reachable=1, wanted=2)
    await trio.sleep(0.001)
    numbers = [r.number for _, m in wire.sent for r in (m.requests if isinstance(m, ProposeRequests) else (m,))]
    assert numbers == [1, 3]
    assert not late.sent
