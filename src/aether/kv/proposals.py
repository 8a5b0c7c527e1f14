"""The proposals of one node that are not decided yet.

Knows: sequence numbers, what each proposal has been through, which may be acknowledged, which are due again.
Never: tasks, clocks, sending; time is passed in.
Holds: a sequence is given once; answered_below never passes one that still waits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from aether.errors import AetherError, SessionFull
from aether.kv.commands import Apply, OpenSession
from aether.kv.outcome import Outcome
from aether.model.ids import Revision
from aether.model.limits import SESSION_ANSWERS_MAX

Answer: TypeAlias = Outcome | AetherError


class Proposal:
    """One call of `propose`.

    command   `request`, encoded
    fence     version of the leadership row it depends on; None = any node may propose it
    sent      it may have reached a log: from then on its outcome is unknown until it is decided
    local     the last try went to this node's own log
    sent_at   of the last try; sent_term  what this node believed then
    answer    the outcome, or the error to raise; None while it waits
    wake      to be called once, when `answer` is set
    """

    sent: bool = False
    local: bool = False
    sent_at: float = 0.0
    sent_term: int = 0
    answer: Answer | None = None
    wake: Callable[[], None] | None = None

    def __init__(
        self,
        session: int,
        sequence: int,
        request: Apply | OpenSession,
        command: bytes,
        deadline: float,
        fence: Revision | None,
    ) -> None:
        self.session = session
        self.sequence = sequence
        self.request = request
        self.command = command
        self.deadline = deadline
        self.fence = fence


class Proposals:
    """All waiting proposals, by sequence. Sequences are never reused, not even by another session."""

    def __init__(self) -> None:
        self._waiting: dict[int, Proposal] = {}
        self._next = 1
        self._low = 1

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Proposal]:
        return iter(list(self._waiting.values()))

    @property
    def answered_below(self) -> int:
        return self._low

    def next_sequence(self, session: int) -> int:
        """The sequence of the next proposal. Raises SessionFull when an old one holds up too many younger."""
        if self._next - self._low >= SESSION_ANSWERS_MAX:
            raise SessionFull(session, SESSION_ANSWERS_MAX)
        return self._next

    def add(self, proposal: Proposal) -> None:
        assert proposal.sequence == self._next, "sequences are given in order"
        self._next += 1
        self._waiting[proposal.sequence] = proposal

    def get(self, sequence: int) -> Proposal | None:
        return self._waiting.get(sequence)

    def remove(self, sequence: int) -> None:
        """It waits no more: answered, or its caller is gone."""
        self._waiting.pop(sequence, None)
        if sequence == self._low:
            self._low += 1
            while self._low < self._next and self._low not in self._waiting:
                self._low += 1

    def answer(self, proposal: Proposal, answer: Answer) -> None:
        """Give it its answer and wake its caller; a second answer is ignored."""
        if proposal.answer is None:
            proposal.answer = answer
            self.remove(proposal.sequence)
            wake = proposal.wake
            if wake is not None:
                wake()
