"""Which members are there, which are silent, which came a moment ago; followed from look to look.

Knows: member rows, who answers, how long silence may last.
Never: clocks (the time is passed in); what follows for instances.
Holds: of another incarnation than its row a member is absent until the row follows; a break of duty begins its
       rest anew.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import attrs

from aether.model.duty import Duty
from aether.model.ids import Incarnation, NodeId
from aether.model.limits import MEMBER_GONE_S
from aether.model.rows import MemberRow


@attrs.frozen
class Present:
    """members  that are not lost; suspect  those of them that are silent; resting  on duty only since a moment."""

    members: Mapping[NodeId, MemberRow]
    suspect: frozenset[NodeId]
    resting: frozenset[NodeId]


class Presence:
    """lost_s  of silence until a member counts as lost; rest_s  on duty without a break until it counts as settled.

    gone_s  of silence until one counts as lost that is known to have ended
    """

    def __init__(self, lost_s: float, rest_s: float, gone_s: float = MEMBER_GONE_S) -> None:
        self._lost_s = lost_s
        self._gone_s = min(gone_s, lost_s)
        self._rest_s = rest_s
        self._silent_since: dict[NodeId, float] = {}
        self._here_since: dict[tuple[NodeId, Incarnation], float] = {}

    def look(
        self,
        rows: Iterable[MemberRow],
        live: Mapping[NodeId, Incarnation],
        duties: Mapping[NodeId, Duty],
        now: float,
        gone: Collection[NodeId] = (),
    ) -> Present:
        """live  who answers, in which incarnation; now  seconds of a clock that never goes back.

        gone  of whom it is known that no process is there
        """
        members: dict[NodeId, MemberRow] = {}
        silent: dict[NodeId, float] = {}
        here: dict[tuple[NodeId, Incarnation], float] = {}
        for row in rows:
            incarnation = live.get(row.node)
            if incarnation is None:
                since = silent[row.node] = self._silent_since.get(row.node, now)
                if now < since + (self._gone_s if row.node in gone else self._lost_s):  # as in pause_s, to the last bit
                    members[row.node] = row
            elif incarnation == row.incarnation:
                members[row.node] = row
                if not row.draining and duties.get(row.node, Duty.ON_DUTY) is Duty.ON_DUTY:
                    process = row.node, row.incarnation
                    here[process] = self._here_since.get(process, now)
            # Else it was started anew and its row is still to come: what the old process hosted is lost at once.
        self._silent_since, self._here_since = silent, here
        settled = {node for (node, _), since in here.items() if now - since >= self._rest_s}
        return Present(members, frozenset(silent.keys() & members.keys()), frozenset(members.keys() - settled))

    def pause_s(self, now: float) -> float | None:
        """Until the next silent member may count as lost; None = nobody is silent."""
        ends = (since + s - now for since in self._silent_since.values() for s in (self._gone_s, self._lost_s))
        return min((end for end in ends if end > 0), default=None)
