"""Layers above a controller: each may veto or modify what the one below decided, and says why.

Knows: the order of layers, what a verdict may say.
Never: what a layer thinks; bounds (they come last, over all).
Holds: without layers, or when each of them fails, the controller below decides alone; a layer cannot invent a word
       about a slice that the controller below has none about.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import attrs

from aether.control.context import ControlContext
from aether.control.decisions import ClusterController, Decision
from aether.model.artifact import ArtifactBase
from aether.model.decision import Reason


@attrs.frozen(kw_only=True)
class Verdict:
    """A word about one decision. after  the count instead; None = the count stays as it is (a veto)"""

    artifact: ArtifactBase
    text: str
    after: int | None = None
    confidence: float = 1.0


class Layer(Protocol):
    """Looks at decisions of the layer below. Fast, deterministic, and without effects, like every controller."""

    @property
    def name(self) -> str:
        """As reasons name it."""
        ...

    def review(self, context: ControlContext, decisions: Sequence[Decision], /) -> Sequence[Verdict]:
        """What it wants otherwise; () agrees with everything. What it raises makes it absent this time."""
        ...


class LayeredController:
    """`below` decides, then each of `layers` looks at what came out, the first one nearest to it."""

    def __init__(self, below: ClusterController, layers: Sequence[Layer] = ()) -> None:
        self._below = below
        self._layers = tuple(layers)
        self.name: str = "+".join((getattr(below, "name", type(below).__name__), *(each.name for each in layers)))

    def decide(self, context: ControlContext, /) -> tuple[Decision, ...]:
        """As ClusterController."""
        decisions = tuple(self._below.decide(context))
        for layer in self._layers:
            decisions = _reviewed(layer, context, decisions)
        return decisions


def _reviewed(layer: Layer, context: ControlContext, decisions: tuple[Decision, ...]) -> tuple[Decision, ...]:
    try:
        verdicts = {verdict.artifact: verdict for verdict in layer.review(context, decisions)}
    except Exception as error:  # noqa: BLE001 - code of a third party may raise anything; the layer below stands
        said = Reason(rule=layer.name, text=f"the layer failed, and is left out: {type(error).__name__}: {error}")
        return tuple(attrs.evolve(each, reasons=(*each.reasons, said)) for each in decisions)
    return tuple(_changed(layer, each, verdicts.get(each.artifact)) for each in decisions)


def _changed(layer: Layer, decision: Decision, verdict: Verdict | None) -> Decision:
    if verdict is None:
        return decision
    after = decision.before if verdict.after is None else verdict.after
    reason = Reason(rule=layer.name, text=verdict.text, count=after)
    return attrs.evolve(
        decision, after=after, reasons=(reason, *decision.reasons), confidence=min(verdict.confidence, 1.0)
    )
