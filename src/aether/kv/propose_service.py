"""From a batch to its outcome: sequence, sending, repeating, waking.

Knows: how a proposal reaches the leader, when to try again, the session of this node process.
Never: what a batch means; which transport carries messages; reading rows.
Holds: a proposal is applied at most once however often it is sent; its caller hears what this node itself applied.
Paper: Ongaro's dissertation, section 6.3.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final, NoReturn, cast

import trio

from aether.consensus.durations import Durations
from aether.errors import (
    AetherError,
    BadInput,
    Draining,
    NoQuorum,
    NotLeader,
    OutcomeUnknown,
    Overloaded,
    QuotaExceeded,
    SessionExpired,
)
from aether.kv import keys
from aether.kv.commands import (
    Apply,
    Batch,
    BatchPlain,
    BatchResult,
    Command,
    EndSession,
    Group,
    OpenSession,
    decode_command,
    encode_command,
    new_apply,
    plain_batch,
    stamped,
)
from aether.kv.forward_service import Forwarder
from aether.kv.messages import ProposeReply, ProposeRequest, Refusal
from aether.kv.outcome import Outcome, Refused, RefusedBy
from aether.kv.ports import Consensus
from aether.kv.proposals import Answer, Proposal, Proposals
from aether.kv.store import AppliedEntries, Store
from aether.model.ids import Incarnation, NodeId, Revision
from aether.model.limits import PROPOSE_DEADLINE_S

RETRY_TICK_S: Final = 0.1
RESEND_S: Final = 1.0  # a forwarded proposal that shows no effect may have been lost; sessions make the repeat harmless
_SESSION_OPEN: Final = 0  # ProposeRequest.number of a request to open a session; proposals count from 1


class Proposer:
    """Every undecided proposal of one node process. The service passes in what was applied and who leads."""

    def __init__(
        self,
        node: NodeId,
        incarnation: Incarnation,
        consensus: Consensus,
        store: Store,
        send: Callable[[NodeId, object], bool],
        wall: Callable[[], float],
    ) -> None:
        self._node = node
        self._incarnation = incarnation
        self._consensus = consensus
        self._store = store
        self._send = send
        self._wall = wall
        self._forwarder = Forwarder(send)
        self.durations: Durations = Durations()
        self._proposals = Proposals()
        self._busy = trio.Event()
        self._closed = False
        self._stamp_ms = 0
        self._term = 0
        self._session = 0
        self._session_number = 0
        self._opening: tuple[OpenSession, Proposal] | None = None
        self._openers = 0
        self._opened = trio.Event()
        self._fence_version = Revision(0)

    @property
    def waiting(self) -> int:
        """How many proposals are undecided."""
        return len(self._proposals)

    async def propose(self, batch: Batch, fence: Revision | None) -> BatchResult:
        """See KvService.propose. fence  version of the leadership row that the batch compares first."""
        plain = plain_batch(batch)
        now = trio.current_time()
        deadline = now + PROPOSE_DEADLINE_S
        while True:
            if not self._store.has_session(self._session):
                await self._open_session(deadline)
                now = trio.current_time()
            proposal = self._begin(plain, fence, now, deadline)
            if proposal.answer is None:
                proposal.wake = partial(trio.lowlevel.reschedule, trio.lowlevel.current_task())
                await trio.lowlevel.wait_task_rescheduled(partial(self._give_up, proposal))
            else:
                await trio.lowlevel.checkpoint()
            answer = cast("Answer", proposal.answer)
            if type(answer) is BatchResult:
                self.durations.note(trio.current_time() - now)
                return answer
            if isinstance(answer, AetherError):
                raise answer
            # EXPIRED in our own log: this request was never applied, and that session never returns. Ask in a new one.
            if cast("Refused", answer).by is not RefusedBy.EXPIRED:
                raise _refusal(cast("Refused", answer))

    def propose_own(self, command: bytes) -> None:
        """Put a leader's own idempotent command into the log, once, unanswered. Raises NotLeader, Overloaded."""
        self._consensus.propose(stamped(command, self._stamp()))

    def end_session(self) -> None:
        """Ask once, unanswered, that our session be forgotten; idleness would end it anyway."""
        command = encode_command(EndSession(self._session))
        try:
            self.propose_own(command)
        except NotLeader as error:
            if error.leader is not None and error.leader != self._node:
                self._send(NodeId(error.leader), ProposeRequest(_SESSION_OPEN, command))
        except Overloaded:
            return

    # --- one proposal -----------------------------------------------------------------------------------------------

    def _begin(self, plain: BatchPlain, fence: Revision | None, now: float, deadline: float) -> Proposal:
        """A proposal on its way. Raises Draining, SessionFull, BadInput, Overloaded; NotLeader with a fence."""
        if self._closed:
            raise Draining(self._node)
        proposals, session = self._proposals, self._session
        sequence = proposals.next_sequence(session)
        request = new_apply((session, sequence, proposals.answered_below, *plain))
        proposal = Proposal(session, sequence, request, encode_command(request), deadline, fence)
        proposals.add(proposal)
        try:
            self._dispatch(proposal, now)
        except BaseException:
            proposals.remove(sequence)
            raise
        if len(proposals) == 1:
            self._busy.set()
        return proposal

    def _give_up(self, proposal: Proposal, _: object) -> trio.lowlevel.Abort:
        """Its caller was cancelled."""
        self._proposals.remove(proposal.sequence)
        return trio.lowlevel.Abort.SUCCEEDED

    def _dispatch(self, proposal: Proposal, now: float) -> None:
        """Hand it to the leader, here or elsewhere. Raises Overloaded; NotLeader with a fence."""
        proposal.sent_at = now
        proposal.sent_term = self._term
        proposal.local = False
        try:
            self._put(proposal.command, proposal.request)
            proposal.sent = proposal.local = True
        except NotLeader as error:
            if proposal.fence is not None:
                raise
            if error.leader is not None and error.leader != self._node:
                self._forwarder.put(NodeId(error.leader), proposal)

    def _put(self, encoded: bytes, command: Command, asker: NodeId | None = None) -> None:
        """Into this node's own log. Raises NotLeader, Overloaded, BadInput."""
        stamp_ms = self._stamp()
        payload = stamped(encoded, stamp_ms)
        self._store.expect(payload, stamp_ms, command)
        try:
            self._consensus.propose(payload, asker=asker)
        except AetherError:
            self._store.expect_no_more(payload)
            raise

    def _dispatch_again(self, proposal: Proposal) -> None:
        try:
            self._dispatch(proposal, trio.current_time())
        except Overloaded:
            return  # sent_at is noted: the next tick tries again, until the deadline

    def _stamp(self) -> int:
        now_ms = int(self._wall() * 1000)
        if now_ms > self._stamp_ms or self._store.log_time_ms > self._stamp_ms:
            self._stamp_ms = max(now_ms, self._store.log_time_ms)
        return self._stamp_ms

    # --- trying again -----------------------------------------------------------------------------------------------

    def leader_changed(self, term: int, leader: NodeId | None) -> None:
        """Send again whatever an earlier leader may have lost, once somebody leads."""
        self._term = term
        self._store.forget_expected()  # of what an earlier leader was told, some will never be applied
        if leader is None:
            return
        for proposal in self._undecided():
            if proposal.fence is None and not (proposal.sent and proposal.sent_term == term):
                self._dispatch_again(proposal)

    def _undecided(self) -> Iterator[Proposal]:
        if self._opening is not None and self._openers:
            yield self._opening[1]
        yield from self._proposals

    async def run(self) -> NoReturn:
        """Forward, repeat what is due and end what is late, until cancelled. Sleeps while nothing waits."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._forwarder.run)
            await self._repeat()

    async def _repeat(self) -> NoReturn:
        while True:
            if not self._proposals and not self._openers:
                self._busy = trio.Event()
                await self._busy.wait()
            await trio.sleep(RETRY_TICK_S)
            now = trio.current_time()
            for proposal in self._undecided():
                if now >= proposal.deadline:
                    self._proposals.answer(proposal, OutcomeUnknown() if proposal.sent else self.no_quorum())
                elif self._due(proposal, now):
                    self._dispatch_again(proposal)

    def _due(self, proposal: Proposal, now: float) -> bool:
        if proposal.fence is not None or not proposal.sent:
            return proposal.fence is None
        in_own_log = proposal.local and proposal.sent_term == self._term  # it commits, or the term changes
        return not in_own_log and now - proposal.sent_at >= RESEND_S

    def take_forwarded(self, sender: NodeId, request: ProposeRequest) -> None:
        """A peer believes that this node leads."""
        try:
            command = decode_command(request.command)
            if isinstance(command, Apply) and command.session == 0:
                raise BadInput("session 0 is the leader's own", ("open a session first",))
            if isinstance(command, Group):  # its requests may be of any session, and write one key twice
                raise BadInput("only a leader groups requests", ("send each of them",))
            self._put(request.command, command, sender)
        except NotLeader as error:
            leader = None if error.leader is None else NodeId(error.leader)
            self._send(sender, ProposeReply(request.number, Refusal.NOT_LEADER, leader))
        except Overloaded:
            self._send(sender, ProposeReply(request.number, Refusal.OVERLOADED, self._node))
        except BadInput as error:
            self._send(sender, ProposeReply(request.number, Refusal.MALFORMED, self._node, str(error)))

    def take_refusal(self, reply: ProposeReply) -> None:
        """A peer did not take what was forwarded to it."""
        opening = self._opening[1] if self._opening is not None else None
        proposal = opening if reply.number == _SESSION_OPEN else self._proposals.get(reply.number)
        if proposal is None:
            return  # decided meanwhile, or its caller is gone
        if reply.refusal is Refusal.MALFORMED and proposal is not opening:
            self._proposals.answer(proposal, BadInput(reply.detail))
        else:
            proposal.sent_at = -math.inf  # due at the next tick: two nodes that name each other must not spin

    # --- the session ------------------------------------------------------------------------------------------------

    async def _open_session(self, deadline: float) -> None:
        """Return once this process has a session. Raises NoQuorum, Draining."""
        if self._closed:
            raise Draining(self._node)
        if self._opening is None:
            self._opened = trio.Event()
            self._session_number += 1
            request = OpenSession(self._node, self._incarnation, self._session_number)
            self._opening = (request, Proposal(0, _SESSION_OPEN, request, encode_command(request), math.inf, None))
            self._dispatch_again(self._opening[1])
        opened = self._opened
        self._openers += 1
        self._busy.set()
        try:
            with trio.move_on_at(deadline):
                await opened.wait()
        finally:
            self._openers -= 1
        if self._closed:
            raise Draining(self._node)
        if not opened.is_set():
            raise self.no_quorum()

    def no_quorum(self) -> NoQuorum:
        """The error of whoever waited in vain, with what this node sees of the voters."""
        status = self._consensus.status
        return NoQuorum(reachable=status.reachable, wanted=len(status.voters) // 2 + 1)

    # --- what was applied here --------------------------------------------------------------------------------------

    def applied(self, applied: AppliedEntries) -> None:
        """Answer whoever waits for one of these."""
        if len(self._proposals):
            self._answer_own(applied.outcomes)
        for request, session in applied.opened:
            self._session_opened(request, session)
        if applied.restored:
            self._after_restore()
        self._end_fences()

    def _answer_own(self, outcomes: Sequence[tuple[int, int, Outcome]]) -> None:
        get, answer = self._proposals.get, self._proposals.answer
        for session, sequence, outcome in outcomes:
            proposal = get(sequence)
            if proposal is None or proposal.session != session:
                continue
            if type(outcome) is BatchResult or not _is_passing(outcome):
                answer(proposal, outcome)

    def _session_opened(self, request: OpenSession, session: int) -> None:
        if self._opening is not None and self._opening[0] == request:
            self._session, self._opening = session, None
            self._opened.set()

    def _after_restore(self) -> None:
        """What was decided while this node was behind is in the sessions of the snapshot, or in none."""
        for request, session in self._store.sessions():
            self._session_opened(request, session)
        for proposal in self._proposals:
            outcome = self._store.decided(proposal.session, proposal.sequence)
            if isinstance(outcome, Refused) and outcome.by is RefusedBy.EXPIRED and proposal.sent:
                self._proposals.answer(proposal, SessionExpired(proposal.session))
            elif outcome is not None and not _is_passing(outcome):
                self._proposals.answer(proposal, outcome)

    def _end_fences(self) -> None:
        """A new leadership row stands behind everything that earlier terms could still commit."""
        version = self._store.version(keys.leadership.text)
        if version != self._fence_version:
            self._fence_version = version
            for proposal in self._proposals:
                if proposal.fence is not None and proposal.fence != version:
                    self._proposals.answer(proposal, NotLeader(self._node, self._consensus.status.leader))

    def close(self) -> None:
        """The node stops: give every waiting proposal its error, and take no more."""
        self._closed = True
        for proposal in self._proposals:
            self._proposals.answer(proposal, OutcomeUnknown() if proposal.sent else Draining(self._node))
        self._opened.set()


def _is_passing(outcome: Outcome) -> bool:
    """Whether the request may still be decided by another sending of it."""
    return type(outcome) is Refused and outcome.by in (RefusedBy.FULL, RefusedBy.STALE)


def _refusal(refused: Refused) -> AetherError:
    if refused.by is RefusedBy.QUOTA:
        return QuotaExceeded(refused.what, refused.limit, refused.unit)
    return BadInput(refused.what)
