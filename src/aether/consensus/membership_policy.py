"""Which change of the membership is due, if any: one decision over one look at the group.

Knows: who belongs to the group, who answers and holds how much, what operators asked for, how often somebody moved.
Never: clocks, addresses, carrying a change out; whether it was right to ask for what operators asked for.
Holds: a change is proposed only when those who answer now are a quorum of both of its halves; nobody votes who lags, is
       silent, leaves, or was told to work only; of its own accord the group grows to an odd number of voters, and moves
       one node only so many times an hour.
Paper: dissertation 4.2.1 (catching up), 4.2.2 and 4.4 (availability of changes).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import attrs

from aether.consensus.membership import MEMBERS_MAX, MembershipChange, next_configuration
from aether.consensus.progress import FollowerState, Mode
from aether.consensus.quorum import Configuration
from aether.model import limits
from aether.model.ids import LogIndex, NodeId

LAG_ENTRIES_MAX: Final = 1_000
"""A learner that lacks more is not thought of; the leader measures in bytes before it lets one vote."""


@attrs.frozen(kw_only=True)
class MembershipSettings:
    """What operators set for the whole group.

    core_max            voters that it grows to by itself; further members work without a vote
    auto_replace        whether a voter that is silent for replace_ticks gives its vote to a worker
    moves_per_hour_max  changes between voting and working of one node that happen without an operator
    """

    core_max: int = limits.CORE_MAX
    auto_replace: bool = True
    replace_ticks: int = round(limits.VOTER_REPLACED_S / limits.TICK_S)
    moves_per_hour_max: int = limits.MEMBER_MOVES_PER_HOUR_MAX


_NOBODY: Final[frozenset[NodeId]] = frozenset()


@attrs.frozen(kw_only=True)
class GroupView:
    """One look of the leader at its group.

    followers  every other member; last_index  of the leader's log
    newcomers  shall be added, in this order; leaving  shall be removed
    workers    shall not vote; core  shall vote although the group would not have chosen them
    moves      how often each node began or ceased to vote within the last hour
    """

    leader: NodeId
    configuration: Configuration
    followers: Mapping[NodeId, FollowerState]
    last_index: LogIndex
    newcomers: tuple[NodeId, ...] = ()
    leaving: frozenset[NodeId] = _NOBODY
    workers: frozenset[NodeId] = _NOBODY
    core: frozenset[NodeId] = _NOBODY
    moves: Mapping[NodeId, int] = attrs.field(factory=dict[NodeId, int])

    def answering(self) -> frozenset[NodeId]:
        """Members heard within the shortest election time-out, the leader included."""
        heard = {node for node, state in self.followers.items() if state.silent_ticks < limits.ELECTION_TICKS_MIN}
        return frozenset({self.leader, *heard})


def decide_change(view: GroupView, settings: MembershipSettings) -> MembershipChange | None:
    """The most urgent change that can be carried out now; None when all is as it should be, or nothing is safe."""
    if view.configuration.is_joint:
        return None
    for wished in (_removals, _additions, _obedience, _growth, _replacements):
        for change in wished(view, settings):
            if is_safe(view, change):
                return change
    return None


def is_safe(view: GroupView, change: MembershipChange) -> bool:
    """Whether those who answer now suffice to carry `change` through, and to go on afterwards."""
    return next_configuration(view.configuration, change).has_quorum(view.answering())


def _removals(view: GroupView, settings: MembershipSettings) -> Iterator[MembershipChange]:
    """One at a time: together with a dead one, a living one could be one too many."""
    if not view.leaving:
        return
    voters, heirs = view.configuration.voters, _caught_up(view)
    for node in view.configuration.members():
        if node not in view.leaving:
            continue
        if node not in voters:
            yield MembershipChange(remove=(node,))
            continue
        if heirs:
            yield MembershipChange(remove=(node,), promote=heirs[:1])
        if len(voters) > 1:
            yield MembershipChange(remove=(node,))


def _additions(view: GroupView, settings: MembershipSettings) -> Iterator[MembershipChange]:
    group = view.configuration
    room = max(0, MEMBERS_MAX - len(group.members()))
    fresh = [node for node in view.newcomers if not group.has_member(node) and node not in view.leaving]
    if fresh[:room]:
        yield MembershipChange(add=tuple(fresh[:room]))


def _obedience(view: GroupView, settings: MembershipSettings) -> Iterator[MembershipChange]:
    """What an operator said about one node. A demoted voter is replaced when somebody can do it."""
    voters = view.configuration.voters
    if not view.core and view.workers.isdisjoint(voters):
        return
    heirs = _caught_up(view)
    for node in voters:
        if node in view.workers:
            if heirs:
                yield MembershipChange(demote=(node,), promote=heirs[:1])
            if len(voters) > 1:
                yield MembershipChange(demote=(node,))
    for node in heirs:
        if node in view.core and len(voters) < settings.core_max:
            yield MembershipChange(promote=(node,))


def _growth(view: GroupView, settings: MembershipSettings) -> Iterator[MembershipChange]:
    """As many learners as the core takes, the oldest first. An even number of voters would survive no more losses."""
    voters = len(view.configuration.voters)
    if voters >= settings.core_max:
        return
    heirs = set(_willing(view, settings))
    oldest = [node for node in view.configuration.learners if node in heirs]
    count = min(len(oldest), settings.core_max - voters)
    count -= (voters + count) % 2 == 0
    if count > 0:
        yield MembershipChange(promote=tuple(oldest[:count]))


def _replacements(view: GroupView, settings: MembershipSettings) -> Iterator[MembershipChange]:
    if not settings.auto_replace:
        return
    for node in view.configuration.voters:
        state = view.followers.get(node)
        silent = state is not None and state.silent_ticks >= settings.replace_ticks
        if silent and _may_move(view, settings, node) and (heirs := _willing(view, settings)):
            yield MembershipChange(demote=(node,), promote=heirs[:1])


def _caught_up(view: GroupView) -> tuple[NodeId, ...]:
    """Learners that could vote at once, the one with the longest log first."""
    learners = frozenset(view.configuration.learners) - view.leaving - view.workers
    ready = [
        (-state.match, node)
        for node, state in view.followers.items()
        if node in learners
        and state.mode is Mode.REPLICATE
        and state.silent_ticks < limits.ELECTION_TICKS_MIN
        and view.last_index - state.match <= LAG_ENTRIES_MAX
    ]
    return tuple(node for _, node in sorted(ready))


def _willing(view: GroupView, settings: MembershipSettings) -> tuple[NodeId, ...]:
    return tuple(node for node in _caught_up(view) if _may_move(view, settings, node))


def _may_move(view: GroupView, settings: MembershipSettings, node: NodeId) -> bool:
    return view.moves.get(node, 0) < settings.moves_per_hour_max
