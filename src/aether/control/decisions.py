"""What a controller answers, and the Protocol that it fulfils.

Knows: a decision with its reasons; how a controller is asked.
Never: how one decides, who acts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import attrs

from aether.control.context import ControlContext
from aether.model.artifact import ArtifactBase
from aether.model.decision import Reason


@attrs.frozen(kw_only=True)
class Decision:
    """How many instances of `artifact` there shall be. before == after: it stays so, for the reasons given.

    before      as the context said
    confidence  0 to 1
    """

    artifact: ArtifactBase
    before: int
    after: int
    reasons: tuple[Reason, ...] = ()
    confidence: float = 1.0

    @property
    def changes_something(self) -> bool:
        return self.after != self.before


class ClusterController(Protocol):
    """Decides how many instances there shall be. Third parties register theirs as `aether.controllers`."""

    def decide(self, context: ControlContext, /) -> Sequence[Decision]:
        """One decision for each slice that it has a word about; others stay as they are.

        Is given DECIDE_S; may block, since it is called outside the event loop unless it is the decision tree. What
        it raises, and what it does not answer in time, makes the decision tree decide instead. It is called again only
        when the call before has ended.
        """
        ...
