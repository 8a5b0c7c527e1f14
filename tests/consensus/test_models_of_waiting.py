"""What waits for peers and disks (progress, promises, reads) beside models that are too simple to be wrong."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from aether.consensus.messages import AppendReply, VoteReply
from aether.consensus.outbox import Outbox
from aether.consensus.progress import Mode, Progress
from aether.consensus.reads import Read, ReadRounds
from aether.errors import Overloaded


class ProgressBesideItsFollower(RuleBasedStateMachine):
    """The model is the follower itself: how much it holds, and what is under way, which comes in any order or never."""

    WINDOW = 3

    @initialize(last=st.integers(0, 8), held=st.integers(0, 8))
    def begin(self, last, held):
        self.last = last
        self.held = min(held, last)
        self.wire = []
        self.progress = Progress(last + 1)
        self.match = 0

    @rule(count=st.integers(1, 3))
    def propose(self, count):
        self.last += count

    @rule(count=st.integers(1, 2))
    def send(self, count):
        if self.progress.can_append(self.WINDOW) and (
            self.progress.next <= self.last or self.progress.mode is Mode.PROBE
        ):
            prev = self.progress.next - 1
            last = min(prev + count, self.last)
            self.progress.sent(last, last - prev)
            self.wire.append(("append", prev, last))

    @precondition(lambda self: self.wire)
    @rule(data=st.data(), again=st.booleans())
    def deliver(self, data, again):
        position = data.draw(st.integers(0, len(self.wire) - 1))
        self._take(self.wire[position] if again else self.wire.pop(position))

    @precondition(lambda self: self.wire)
    @rule(data=st.data())
    def lose(self, data):
        del self.wire[data.draw(st.integers(0, len(self.wire) - 1))]

    @rule()
    def beat(self):
        if self.progress.heard_heartbeat(self.last):
            prev = self.progress.next - 1
            self.progress.sent(prev, 0)
            self.wire.append(("append", prev, prev))

    def _take(self, message):
        match message:
            case ("append", prev, last) if prev <= self.held:
                self.held = max(self.held, last)
                self.wire.append(("ack", last))
            case ("append", prev, last):
                self.wire.append(("reject", prev, self.held))
            case ("ack", index):
                news = self.progress.accepted(index) or index >= self.progress.match
                if news and self.progress.mode is Mode.PROBE:
                    self.progress.become_replicate()
            case ("reject", prev, hint):
                self.progress.rejected(prev, hint + 1)

    @invariant()
    def the_leader_believes_nothing_that_is_not_so(self):
        if not hasattr(self, "progress"):
            return
        self.progress.check(self.last, self.WINDOW)
        assert self.match <= self.progress.match <= self.held
        self.match = self.progress.match
        waiting = self.progress.in_flight
        assert all(one < other for one, other in zip(waiting, list(waiting)[1:], strict=False))

    def teardown(self):
        """However it stands: once nothing is lost any more, the follower gets everything."""
        if not hasattr(self, "progress"):
            return
        for _ in range(4 * (self.last + 2)):
            self.beat()
            for _ in range(self.WINDOW):
                self.send(2)
            while self.wire:
                self._take(self.wire.pop(0))
                self.send(2)
        assert (self.held, self.progress.match) == (self.last, self.last)


class OutboxBesideTheDisk(RuleBasedStateMachine):
    """The model remembers for each promise which writes had been handed out when it left its node."""

    def __init__(self):
        super().__init__()
        self.outbox = Outbox()
        self.handed = self.durable = self.counter = 0
        self.fresh = []
        self.resting = []  # (write, message)

    @rule(to=st.sampled_from("bc"), ack=st.booleans())
    def promise(self, to, ack):
        self.counter += 1
        if ack:
            message = AppendReply(term=1, match_index=self.counter)
        else:
            message = VoteReply(term=1, granted=True, campaign=self.counter)
        self.outbox.promise(to, message)
        self.fresh.append((to, message))

    @rule(is_written=st.booleans())
    def hand_out(self, is_written):
        """With a new write, or on top of those that are under way."""
        self.handed += is_written
        self.outbox.attach(self.handed)
        self.resting += [(self.handed, envelope) for envelope in self.fresh]
        self.fresh = []

    @rule(step=st.integers(0, 3))
    def become_durable(self, step):
        self.durable = min(self.handed, self.durable + step)
        released = self.outbox.release(self.durable)
        due = [envelope for number, envelope in self.resting if number <= self.durable]
        self.resting = [(number, envelope) for number, envelope in self.resting if number > self.durable]
        assert [e for e in due if isinstance(e[1], VoteReply)] == [e for e in released if isinstance(e[1], VoteReply)]
        assert released == [e for e in due if e in released], "in the order in which they were made"
        for to in "bc":  # of acknowledgements the highest is enough
            told = [m.match_index for at, m in due if at == to and isinstance(m, AppendReply)]
            kept = [m.match_index for at, m in released if at == to and isinstance(m, AppendReply)]
            assert max(told, default=0) == max(kept, default=0)

    @invariant()
    def nothing_leaves_at_once(self):
        assert self.outbox.take() == ()
        assert self.outbox.has_promises is bool(self.fresh)


class ReadsBesideTheirRounds(RuleBasedStateMachine):
    """The model knows of each read when it came; it may be confirmed by a round that began later, and only once."""

    LIMIT = 6

    def __init__(self):
        super().__init__()
        self.rounds = ReadRounds(self.LIMIT)
        self.number = self.context = self.committed = 0
        self.waiting = {}  # read: the newest round when it came
        self.begun = {}  # round: the commit index of then
        self.done = set()

    @rule()
    def ask(self):
        read = Read("a", self.context)
        self.context += 1
        if len(self.waiting) >= self.LIMIT:
            with pytest.raises(Overloaded):
                self.rounds.gather(read)
            return
        self.rounds.gather(read)
        self.waiting[read] = self.number

    @rule(commits=st.integers(0, 3))
    def begin(self, commits):
        self.number += 1
        self.committed += commits
        self.begun[self.number] = self.committed
        self.rounds.begun(self.number, self.committed)

    @rule(back=st.integers(0, 4))
    def answer(self, back):
        """A majority has answered all rounds but the newest few."""
        answered = self.number - back
        for read, index in self.rounds.confirm(lambda number: number <= answered):
            came = self.waiting.pop(read)
            assert read not in self.done
            assert came < answered, "a round that began before the read came"
            assert index in {self.begun[number] for number in range(came + 1, answered + 1)}
            self.done.add(read)

    @rule()
    def lose_leadership(self):
        assert set(self.rounds.give_up()) == set(self.waiting)
        self.waiting.clear()

    def teardown(self):
        """Nobody is forgotten: two more rounds confirm all."""
        for _ in range(2):
            self.begin(0)
            self.answer(0)
        assert self.waiting == {}


_bounds = settings(max_examples=50, stateful_step_count=40, deadline=None)
TestProgress = ProgressBesideItsFollower.TestCase
TestProgress.settings = _bounds
TestOutbox = OutboxBesideTheDisk.TestCase
TestOutbox.settings = _bounds
TestReads = ReadsBesideTheirRounds.TestCase
TestReads.settings = _bounds
