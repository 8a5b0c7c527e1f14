"""A recording decided about again, by the same rules or by others.

Knows: what changes when settings or the controller change.
Never: files, clocks, clusters; it acts on nothing.
Holds: the same recording, settings and controller give the same lines, always.

Counts and figures stay those that were recorded: a replay says what would have been decided at each moment, not what
would have become of the cluster afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import attrs

from aether.control.bounds import clamped
from aether.control.context import ControlContext
from aether.control.decisions import ClusterController, Decision
from aether.control.recording import Recorded
from aether.control.spelling import changed
from aether.model.artifact import ArtifactBase


@attrs.frozen(kw_only=True)
class Replayed:
    """One decision of one moment. recorded  what was decided then; None = nothing"""

    at: float
    decision: Decision
    recorded: Decision | None

    @property
    def is_same(self) -> bool:
        """Whether the same count came out."""
        return self.recorded is not None and self.recorded.after == self.decision.after


def replayed(
    recording: Iterable[Recorded], controller: ClusterController, given: Mapping[str, object] | None = None
) -> Iterator[Replayed]:
    """Every decision again. given  settings by name instead of the recorded ones. Raises BadInput for those."""
    for each in recording:
        context = _with(each.context, given or {})
        then: dict[ArtifactBase, Decision] = {decision.artifact: decision for decision in each.decisions}
        for decision in clamped(context, controller.decide(context)):
            yield Replayed(at=context.now, decision=decision, recorded=then.get(decision.artifact))


def _with(context: ControlContext, given: Mapping[str, object]) -> ControlContext:
    if not given:
        return context
    slices = tuple(attrs.evolve(view, settings=changed(view.settings, given)) for view in context.slices)
    return attrs.evolve(context, slices=slices)
