"""The health of a new version since its share of the calls last changed, judged by the gates of its update.

Knows: from which mark on the calls of a step count; the words of a judgement.
Never: counts calls; decides what follows.
Holds: each step is judged by its own calls; a new leader begins the count anew.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

import attrs

from aether.deployment.gates import Finding, judge
from aether.deployment.health_source import HealthSource
from aether.model.health import Health, HealthMark
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
    """Asks the source and remembers the marks of the updates under way."""

    def __init__(self, source: HealthSource | None) -> None:
        self._source = source
        self._marks: dict[str, tuple[object, HealthMark]] = {}

    async def judge(self, row: RolloutRow) -> Judgement:
        """How the new version of `row` did at its present share. Takes as long as the source: a second at most."""
        gates = row.plan.gates
        if self._source is None or gates == Gates(requests_min=gates.requests_min):
            return NOBODY_ASKED
        if row.state not in _JUDGED or row.weight_new == 0:
            return NOBODY_ASKED
        share = (row.step, row.weight_new, row.weight_old)
        known = self._marks.get(row.id)
        if known is None or known[0] != share:
            self._marks[row.id] = (share, (await self._source.health(row.artifact)).mark)
            return Judgement(too_few="its calls are counted from now on")
        answer = await self._source.health(row.artifact, known[1])
        return judged(gates, answer.of(row.old, row.new))

    def forget_all_but(self, ids: Collection[str]) -> None:
        """Updates that are over are not judged any more."""
        for gone in self._marks.keys() - set(ids):
            del self._marks[gone]


def judged(gates: Gates, health: Health) -> Judgement:
    """The verdict in the words of a row."""
    verdict = judge(gates, health.old, health.new)
    return Judgement(
        bad=verdict.reason if verdict.finding is Finding.BAD else "",
        too_few=verdict.reason if verdict.finding is Finding.TOO_FEW else "",
        words={"finding": str(verdict.finding), "reason": verdict.reason},
    )
