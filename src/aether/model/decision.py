"""Why a slice has another count than before: one entry of the controller's journal.

Knows: the row, and one reason of it.
Never: how it is decided; when it is written.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from aether.model.artifact import ArtifactBase
from aether.model.ids import NodeId


@attrs.frozen(kw_only=True)
class Reason:
    """One thing that speaks for a count, or against a change.

    rule       which rule says so, such as `cpu`, `cool-down`, `bounds`
    text       in words
    signal     the figure that it looked at, "" = none
    value, threshold  of that figure, in its unit
    window_s   how long it was looked at; 0 = at one moment
    count      how many instances the rule asks for; -1 = it asks for none
    """

    rule: str
    text: str
    signal: str = ""
    value: float = 0.0
    threshold: float = 0.0
    window_s: float = 0.0
    count: int = -1


@attrs.frozen(kw_only=True)
class DecisionRow:
    """One change that was decided. Key `decisions/{group:artifact}/{number}`, counted from 1; the newest are kept.

    before, after  how many instances were wanted, and are wanted now
    inputs      signal -> value at that moment
    confidence  0 to 1, as the controller says
    controller  who decided; node  which led then
    at          wall-clock seconds
    shadow      it was only said: nothing was changed
    """

    artifact: ArtifactBase
    number: int
    before: int
    after: int
    controller: str
    node: NodeId
    at: float
    confidence: float = 1.0
    reasons: tuple[Reason, ...] = ()
    inputs: Mapping[str, float] = attrs.field(factory=dict[str, float])
    shadow: bool = False
