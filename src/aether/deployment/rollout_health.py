"""The health of a new version since its share of the calls last changed, judged by the gates of its update.

Knows: which share of the calls is judged; the words of a judgement.
Never: counts calls; decides what follows.
Holds: each step is judged by its own calls; nothing is remembered here, so that any leader finds what the last one
       would have found.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from aether.deployment.gates import Finding, judge
from aether.deployment.health_source import HealthSource
from aether.deployment.rollout import traffic_of
from aether.model.health import Health, share_of
from aether.model.rollout import Gates, RolloutRow, RolloutState

_JUDGED: Final = frozenset({RolloutState.ROUTING, RolloutState.VALIDATING, RolloutState.COMPLETING})


@attrs.frozen
class Judgement:
    """bad, too_few  why, "" = it is not so; words  for the row"""

    bad: str = ""
    too_few: str = ""
    words: Mapping[str, str] = attrs.field(factory=dict[str, str])


NOBODY_ASKED: Final = Judgement()


class RolloutHealth:
    """Asks the source about updates under way."""

    def __init__(self, source: HealthSource | None) -> None:
        self._source = source

    async def judge(self, row: RolloutRow) -> Judgement:
        """How the new version of `row` did at its present share. Takes as long as the source: a second at most."""
        gates = row.plan.gates
        if self._source is None or not gates.are_set:
            return NOBODY_ASKED
        if row.state not in _JUDGED or row.weight_new == 0:
            return NOBODY_ASKED
        answer = await self._source.health(row.artifact, share_of(row.id, traffic_of(row).weights))
        return judged(gates, answer.of(row.old, row.new))


def judged(gates: Gates, health: Health) -> Judgement:
    """The verdict in the words of a row."""
    verdict = judge(gates, health.old, health.new)
    return Judgement(
        bad=verdict.reason if verdict.finding is Finding.BAD else "",
        too_few=verdict.reason if verdict.finding is Finding.TOO_FEW else "",
        words={"finding": str(verdict.finding), "reason": verdict.reason},
    )
