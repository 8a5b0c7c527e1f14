"""The two ends of one stream, without tasks: items are read once each, in order and within credit, on any wire."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from aether.errors import BadInput
from aether.invocation.stream_flow import Incoming, Outgoing


class Conversation(RuleBasedStateMachine):
    """A sender and a reader over a wire that may deliver in any order, and grants that may be lost, doubled or late."""

    window = (4, 100)

    def __init__(self):
        super().__init__()
        self.incoming = Incoming(*self.window)
        self.outgoing = Outgoing(*self.incoming.granted)
        self.wire = []
        self.grants = [self.incoming.granted]
        self.sent = []
        self.read = []
        self.is_ended = False

    @precondition(lambda self: self.outgoing.has_room and not self.is_ended)
    @rule(size=st.integers(0, 250))
    def send(self, size):
        body = len(self.sent).to_bytes(4, "big") + b"x" * size
        number = self.outgoing.sent_items
        may_follow = self.outgoing.sent(len(body))
        assert may_follow == self.outgoing.has_room
        self.sent.append(body)
        self.wire.append((number, body))

    @precondition(lambda self: self.wire)
    @rule(which=st.integers(0, 1_000))
    def arrive(self, which):
        self.incoming.arrived(*self.wire.pop(which % len(self.wire)))

    @precondition(lambda self: self.incoming.ready)
    @rule()
    def take(self):
        self.read.append(self.incoming.take())
        granted = self.incoming.grant()
        if granted is not None:
            self.grants.append(granted)

    @rule(which=st.integers(0, 1_000))
    def hear_a_grant_new_or_old(self, which):
        self.outgoing.credit(*self.grants[which % len(self.grants)])

    @precondition(lambda self: not self.is_ended)
    @rule()
    def end(self):
        self.is_ended = True
        self.incoming.ended(len(self.sent), "over")

    @invariant()
    def what_was_read_is_what_was_sent(self):
        assert self.read == self.sent[: len(self.read)]

    @invariant()
    def what_waits_stays_within_the_window(self):
        waiting = len(self.sent) - len(self.read)
        assert waiting <= self.window[0]
        largest = max(map(len, self.sent), default=0)
        assert sum(map(len, self.sent[len(self.read) :])) <= self.window[1] + largest

    @invariant()
    def the_end_comes_last(self):
        is_over = self.is_ended and self.read == self.sent
        assert self.incoming.end == ("over" if is_over else None)

    def teardown(self):
        """Whatever happened: once the wire delivers and grants arrive, everything is read."""
        for _ in range(10 * len(self.sent) + 10):
            while self.wire:
                self.arrive(0)
            while self.incoming.ready:
                self.take()
            self.outgoing.credit(*self.grants[-1])
        assert self.read == self.sent
        assert self.is_ended or self.outgoing.has_room, "both ends wait for each other"


TestConversation = Conversation.TestCase
TestConversation.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)


@given(st.permutations(range(6)), st.integers(0, 6))
def test_a_cut_keeps_what_had_arrived_in_order_and_the_rest_is_gone(order, cut_after):
    incoming = Incoming(10, 1_000)
    arrived = order[:cut_after]
    for number in arrived:
        incoming.arrived(number, bytes([number]))
    incoming.cut("lost")
    kept = next(n for n in range(7) if n not in arrived)
    assert [incoming.take() for _ in range(len(incoming.ready))] == [bytes([n]) for n in range(kept)]
    assert incoming.end == "lost"


def test_a_cut_after_the_end_changes_nothing_when_all_items_are_here():
    incoming = Incoming(10, 1_000)
    incoming.arrived(0, b"a")
    incoming.ended(1, "done")
    incoming.cut("lost")
    incoming.take()
    assert incoming.end == "done"


@pytest.mark.parametrize(
    "steps",
    [
        [("arrived", 4, b"")],  # beyond the credit
        [("arrived", 0, b""), ("arrived", 0, b"")],
        [("arrived", 1, b""), ("arrived", 1, b"")],
        [("ended", 1, "x"), ("arrived", 1, b"")],
        [("arrived", 2, b""), ("ended", 2, "x")],
        [("arrived", 0, b""), ("arrived", 1, b""), ("ended", 1, "x")],
    ],
)
def test_a_sender_that_breaks_the_rules_is_refused(steps):
    incoming = Incoming(4, 100)
    *before, (name, *arguments) = steps
    for step, *facts in before:
        getattr(incoming, step)(*facts)
    with pytest.raises(BadInput, match="stream"):
        getattr(incoming, name)(*arguments)


def test_no_more_is_granted_once_the_end_is_known():
    incoming = Incoming(2, 100)
    incoming.arrived(0, b"")
    incoming.ended(1, "done")
    incoming.take()
    assert incoming.grant() is None


def test_an_item_larger_than_the_window_passes_alone():
    outgoing = Outgoing(10, 100)
    outgoing.sent(5_000)
    assert not outgoing.has_room
    outgoing.credit(20, 5_100)
    assert outgoing.has_room
