"""The leader's loop over the group: look at rows and followers, decide, change the configuration; again.

Knows: member rows, what operators asked for, how long a removal waits for its node to be relieved.
Never: decides who votes (consensus.membership_policy does); asks a node to leave (its own rows do).
Holds: level-triggered, one change at a time, each against the configuration that it was decided on; a lost wake-up
       costs LOOK_S. Every node watches who moves, so a new leader knows who flaps.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Final, NoReturn, Protocol

import attrs
import trio

from aether.consensus.membership import MembershipChange
from aether.consensus.membership_policy import GroupView, MembershipSettings, decide_change
from aether.consensus.progress import FollowerState
from aether.consensus.quorum import Configuration
from aether.consensus.status import ConsensusStatus
from aether.errors import BadInput, Conflict, OutcomeUnknown, TryAgain
from aether.kv import keys
from aether.kv.cached_rows import CachedRows
from aether.kv.commands import Batch, Compare, Delete, Put
from aether.kv.history import Compacted
from aether.kv.service import KvService
from aether.model.ids import LogIndex, NodeId, Revision
from aether.model.rows import LeadershipRow, MemberRow, RemovedRow

_log = logging.getLogger("aether.node")

LOOK_S: Final = 0.5
CHANGE_S: Final = 10.0
"""A change that is not through by then goes on by itself; the loop looks at other things meanwhile."""
TOLD_S: Final = 5.0
"""A member that left is dialled for so long, so that it hears that it is out."""
RELIEVED_AFTER_S: Final = 5.0
"""Beyond its own drain time, a leaving node's instances are waited for no longer."""
HOUR_S: Final = 3_600.0
MOVES_KEPT_MAX: Final = 1_024

PASSING: Final = (TryAgain, OutcomeUnknown, Conflict, BadInput)
"""The group has changed under a decision: look again."""


class Desk(Protocol):
    """The part of ConsensusService.membership that is needed here."""

    async def change(self, change: MembershipChange, expected_index: LogIndex) -> LogIndex: ...
    async def transfer(self, to: NodeId | None = None) -> NodeId: ...
    async def followers(self) -> Mapping[NodeId, FollowerState]: ...


@attrs.define
class _Moves:
    """Who began or ceased to vote within the last hour, and stayed."""

    before: Configuration | None = None
    seen: deque[tuple[float, NodeId]] = attrs.field(factory=lambda: deque[tuple[float, NodeId]](maxlen=MOVES_KEPT_MAX))

    def look(self, now: Configuration) -> None:
        if now.is_joint or now is self.before:
            return
        if self.before is not None:
            stayed = set(now.members()) & set(self.before.members())
            for node in (set(now.voters) ^ set(self.before.voters)) & stayed:
                self.seen.append((trio.current_time(), node))
        self.before = now

    def counts(self) -> Mapping[NodeId, int]:
        while self.seen and self.seen[0][0] <= trio.current_time() - HOUR_S:
            self.seen.popleft()
        return Counter(node for _, node in self.seen)


class _Removed:
    """Which nodes of a group are to leave it, or have left. Keys are read when something changed, not in each turn."""

    def __init__(self, kv: KvService) -> None:
        self._kv = kv
        self._of: tuple[Configuration, Sequence[MemberRow]] | None = None
        self._at = Revision(0)
        self._removed: frozenset[NodeId] = frozenset()

    def among(self, group: Configuration, rows: Sequence[MemberRow]) -> frozenset[NodeId]:
        """Of the members of `group` and those that have one of `rows`.

        Not by CachedRows: rows of removed nodes stay for ever, and it would hold those of all that are long gone.
        """
        if not self._is_current(group, rows):
            known = {*group.members(), *(row.node for row in rows)}
            self._removed = frozenset(node for node in known if self._kv.version(keys.removed(node)) > 0)
        self._of, self._at = (group, rows), self._kv.revision
        return self._removed

    def _is_current(self, group: Configuration, rows: Sequence[MemberRow]) -> bool:
        if self._of is None or self._of[0] is not group or self._of[1] is not rows:
            return False
        try:
            return not self._kv.changed_after(self._at, keys.REMOVED)
        except Compacted:
            return False


class MembershipManager:
    """Runs on every node, acts only while `kv.leadership` is this node's.

    status    this node's newest ConsensusStatus; desk  changes the group that it leads
    reached   the members that answer now, this node included
    drain_s   how long a leaving node may take to hand its work over
    """

    def __init__(
        self,
        node: NodeId,
        kv: KvService,
        status: Callable[[], ConsensusStatus],
        desk: Desk,
        reached: Callable[[], Collection[NodeId]],
        *,
        settings: MembershipSettings,
        wall: Callable[[], float],
        drain_s: float,
    ) -> None:
        self._node = node
        self._kv = kv
        self._status = status
        self._desk = desk
        self._reached = reached
        self._settings = settings
        self._wall = wall
        self._drain_s = drain_s
        self._rows = CachedRows(kv, keys.MEMBERS)
        self._roles = CachedRows(kv, keys.ROLES)
        self._removed = _Removed(kv)
        self._moves = _Moves()
        self._leaving_since: dict[NodeId, float] = {}
        self._outside_since: dict[NodeId, float] = {}
        self._handed_over: Revision = Revision(0)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Serve until cancelled. Raises only what is a bug."""
        watched = (keys.MEMBERS, keys.REMOVED, keys.ROLES, keys.handover.text, keys.leadership.text)
        async with self._kv.watch(*watched) as watch:
            task_status.started()
            while True:
                try:
                    await self._turn()
                except PASSING as error:
                    _log.info("%s leaves the membership as it is for now: %s", self._node, error)
                    await trio.sleep(LOOK_S)
                with trio.move_on_after(LOOK_S):
                    await watch.changed()

    # --- one turn -----------------------------------------------------------------------------------------------------

    async def _turn(self) -> None:
        status, now = self._status(), trio.current_time()
        self._moves.look(status.configuration)
        group, rows = status.configuration, self._rows.look()
        removed = self._removed.among(group, rows)
        self._leaving_since = {n: self._leaving_since.get(n, now) for n in removed if group.has_member(n)}
        self._outside_since = {n: self._outside_since.get(n, now) for n in removed if not group.has_member(n)}
        fence = self._kv.leadership
        if fence is None or status.is_changing:
            return
        await self._forget_the_gone(fence)
        await self._hand_over(status)
        followers = await self._desk.followers()
        await self._remove_the_dead(fence, rows, followers)
        change = decide_change(self._view(status, rows, followers, removed), self._settings)
        if change is not None:
            await self._carry_out(change, status.configuration_index)

    def _view(
        self,
        status: ConsensusStatus,
        rows: Sequence[MemberRow],
        followers: Mapping[NodeId, FollowerState],
        removed: frozenset[NodeId],
    ) -> GroupView:
        roles = {row.node: row.votes for row in self._roles.look()}
        workers = {row.node for row in rows if row.ephemeral} | {node for node, votes in roles.items() if not votes}
        return GroupView(
            leader=self._node,
            configuration=status.configuration,
            followers=followers,
            last_index=status.commit_index,
            newcomers=tuple(row.node for row in rows if row.node not in removed),
            leaving=frozenset(node for node in self._leaving_since if self._is_relieved(node)),
            workers=frozenset(workers),
            core=frozenset(node for node, votes in roles.items() if votes),
            moves=self._moves.counts(),
        )

    def _is_relieved(self, node: NodeId) -> bool:
        """Whether a node that leaves has handed its work over, or is not there to do so."""
        waited_s = trio.current_time() - self._leaving_since[node]
        if node not in self._reached() or waited_s > self._drain_s + RELIEVED_AFTER_S:
            return True
        return all(row.node != node for row in self._kv.rows(keys.INSTANCES))

    async def _carry_out(self, change: MembershipChange, expected: LogIndex) -> None:
        _log.info("%s changes the membership: %s", self._node, described(change))
        with trio.move_on_after(CHANGE_S) as scope:
            index = await self._desk.change(change, expected)
            _log.info("the membership is that of entry %d", index)
        self._moves.look(self._status().configuration)
        if scope.cancelled_caught:
            _log.warning("the change is not through after %.0f s; it goes on by itself", CHANGE_S)

    # --- rows ---------------------------------------------------------------------------------------------------------

    async def _forget_the_gone(self, fence: LeadershipRow) -> None:
        """Rows of members that left a while ago; of one that nothing survived, also that it was removed."""
        for node, since in self._outside_since.items():
            row = self._kv.get(keys.member(node))
            if row is None or trio.current_time() - since < TOLD_S:
                continue
            changes: list[Delete[Any]] = [Delete(keys.member(node)), Delete(keys.role(node)), Delete(keys.duty(node))]
            if row.ephemeral:
                changes.append(Delete(keys.removed(node)))
            await self._kv.propose(Batch((), tuple(changes)), fence=fence)

    async def _remove_the_dead(
        self, fence: LeadershipRow, rows: Sequence[MemberRow], followers: Mapping[NodeId, FollowerState]
    ) -> None:
        """Of whom nothing survives: no process will ever come back under that id."""
        for row in rows:
            state = followers.get(row.node) if row.ephemeral else None
            gone = state is not None and state.silent_ticks >= self._settings.replace_ticks
            if gone and self._kv.get(key := keys.removed(row.node)) is None:
                left = RemovedRow(node=row.node, by="the leader: silent, and nothing of it survives", at=self._wall())
                await self._kv.propose(Batch((Compare(key, Revision(0)),), (Put(key, left),)), fence=fence)

    async def _hand_over(self, status: ConsensusStatus) -> None:
        """A wish that was made for this leadership; each once."""
        row, version = self._kv.get(keys.handover), self._kv.version(keys.handover)
        if row is None or row.term != status.term or version == self._handed_over:
            return
        self._handed_over = version
        _log.info("%s hands leadership over to %s", self._node, row.to or "the voter with the longest log")
        await self._desk.transfer(row.to)


def described(change: MembershipChange) -> str:
    """`change` as operators say it."""
    return "; ".join(_verbs(change))


def _verbs(change: MembershipChange) -> Iterator[str]:
    for verb, nodes in (
        ("add", change.add),
        ("promote", change.promote),
        ("demote", change.demote),
        ("remove", change.remove),
    ):
        if nodes:
            yield f"{verb} {', '.join(nodes)}"
