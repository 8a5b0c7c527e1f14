"""Changes of the membership and of the leadership, for callers who wait until they have happened.

Knows: the task that owns the core takes errands, one turn at a time; the status tells what came of them.
Never: which change is wise; addresses.
Holds: an errand is carried out once or never, and its caller hears which.
Paper: dissertation 3.10 (leadership transfer), 4.3 (joint consensus).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic, TypeVar

import outcome
import trio

from aether.consensus.core import RaftCore
from aether.consensus.membership import MembershipChange
from aether.consensus.progress import FollowerState, heir_of
from aether.consensus.status import ConsensusStatus
from aether.consensus.values import Role
from aether.errors import AetherError, Conflict, Draining, NotLeader, OutcomeUnknown, Overloaded
from aether.model import limits
from aether.model.ids import LogIndex, NodeId

T = TypeVar("T")


class _Errand(Generic[T]):
    def __init__(self, do: Callable[[RaftCore], T]) -> None:
        self._do = do
        self._answered = trio.Event()
        self._answer: outcome.Outcome[T] | None = None

    def carry_out(self, core: RaftCore) -> None:
        """Raises what is a defect of the core, and no answer."""
        try:
            self._answer = outcome.Value(self._do(core))
        except AetherError as error:
            self._answer = outcome.Error(error)
        self._answered.set()

    def drop(self) -> None:
        self._answered.set()

    async def answer(self, node: NodeId) -> T:
        await self._answered.wait()
        if self._answer is None:
            raise Draining(node)
        return self._answer.unwrap()


class MembershipDesk:
    """The methods are for callers on any task; `carry_out` and `close` are for the task that owns the core.

    wake  has that task take a turn; status and status_changed  as of ConsensusService
    """

    def __init__(
        self,
        node: NodeId,
        wake: Callable[[], None],
        status: Callable[[], ConsensusStatus],
        status_changed: Callable[[ConsensusStatus], Awaitable[ConsensusStatus]],
    ) -> None:
        self._node = node
        self._wake = wake
        self._status = status
        self._status_changed = status_changed
        self._errands: list[_Errand[Any]] = []
        self._closed = False

    async def change(self, change: MembershipChange, expected_index: LogIndex) -> LogIndex:
        """Change the membership of the group that this node leads; the index of the configuration that came of it.

        Returns once that is committed. Raises as RaftCore.propose_change; Draining; OutcomeUnknown when leadership was
        lost before the end: the next leader ends what it finds in its log. Cancelling leaves the change to itself.
        """
        term = await self._run(lambda core: _propose_change(core, change, expected_index))
        status = self._status()
        while True:
            is_done = status.configuration_index > expected_index and not status.is_changing
            if status.role is not Role.LEADER or status.term != term:
                if is_done and self._node in {*change.remove, *change.demote} - {*status.voters}:
                    return status.configuration_index  # it leads no more because of the change
                raise OutcomeUnknown
            if is_done:
                return status.configuration_index
            status = await self._status_changed(status)

    async def transfer(self, to: NodeId | None = None) -> NodeId:
        """Hand leadership over, to the voter with the longest log unless `to` names one; who leads now.

        Raises NotLeader, BadInput (no other voter), Conflict when nobody took over within an election time-out.
        Cancelling does not call it back.
        """
        heir = await self._run(lambda core: _transfer(core, to))
        status = self._status()
        with trio.move_on_after(limits.ELECTION_TICKS_MAX * limits.TICK_S):
            while status.leader in (None, self._node):
                status = await self._status_changed(status)
        if status.leader is None or status.leader == self._node:
            raise Conflict("the leadership", f"{heir} did not take it over in time; is it healthy?")
        return status.leader

    async def followers(self) -> Mapping[NodeId, FollowerState]:
        """What this leader knows of the other members; empty when it does not lead."""
        return await self._run(lambda core: core.followers)

    async def _run(self, do: Callable[[RaftCore], T]) -> T:
        if self._closed:
            await trio.lowlevel.checkpoint()
            raise Draining(self._node)
        if len(self._errands) >= limits.ERRANDS_WAITING_MAX:
            await trio.lowlevel.checkpoint()
            raise Overloaded("changes of the membership", len(self._errands))
        errand = _Errand(do)
        self._errands.append(errand)
        self._wake()
        return await errand.answer(self._node)

    # --- the loop's side ----------------------------------------------------------------------------------------------

    def carry_out(self, core: RaftCore) -> None:
        """Everything that waits; once in each turn of the loop."""
        if not self._errands:
            return
        errands, self._errands = self._errands, []
        try:
            for errand in errands:
                errand.carry_out(core)
        finally:  # after a defect the node stops, and nobody waits for it
            for errand in errands:
                errand.drop()

    def close(self) -> None:
        """The node stops."""
        self._closed = True
        errands, self._errands = self._errands, []
        for errand in errands:
            errand.drop()


def _propose_change(core: RaftCore, change: MembershipChange, expected_index: LogIndex) -> int:
    core.propose_change(change, expected_index)
    return core.term


def _transfer(core: RaftCore, to: NodeId | None) -> NodeId:
    """To whom. Without an heir it is this node itself, which the core refuses."""
    if core.role is not Role.LEADER:
        raise NotLeader(core.node, core.leader)
    heir = to if to is not None else heir_of(core.followers, core.configuration.voters) or core.node
    core.transfer(heir)
    return heir
