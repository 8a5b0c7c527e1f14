"""What the leader alone can say of the controller.

Knows: the topics, the newest evaluations.
Never: decides; who asks, over which way.
Holds: a recording is made in small steps, and has at most CONTROL_RECORDING_BYTES_MAX.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import trio

from aether.control.control_manager import ControlLoop
from aether.control.evaluation import Evaluation, Plain, decision_shown, read_object, shown
from aether.control.recording import lines
from aether.errors import NotFound
from aether.model.artifact import ArtifactBase
from aether.model.limits import CONTROL_RECORDING_BYTES_MAX

_LINES_PER_STEP = 10


class LeaderWord:
    """What the leader alone can say: (topic, body) -> JSON text, or the lines of a recording."""

    def __init__(self, loop: ControlLoop, cluster: Callable[[], str]) -> None:
        self._loop = loop
        self._cluster = cluster

    async def answer(self, topic: str, body: str) -> str:
        """Raises NotLeader, BadInput, NotFound."""
        asked = read_object(body)
        match topic:
            case "evaluate":
                return json.dumps(shown(await self._loop.evaluate(acts=asked.get("acts") is not False)))
            case "status":
                return json.dumps(self._status())
            case "recording":
                return "\n".join(await _told(self._loop.evaluations, self._cluster()))
            case "word":
                return json.dumps(self._word(ArtifactBase.parse(str(asked.get("artifact", "")))))
            case _:
                raise NotFound("topic", topic[:40], "this node is of another version than the one that asked")

    def _status(self) -> Plain:
        evaluations = self._loop.evaluations
        return {
            "since": self._loop.leader_since,
            "evaluations": len(evaluations),
            "lastEvaluation": shown(evaluations[-1]) if evaluations else None,
        }

    def _word(self, base: ArtifactBase) -> Plain | None:
        evaluations = self._loop.evaluations
        if not evaluations:
            return None
        last = evaluations[-1]
        found = next((each for each in last.decisions if each.artifact == base), None)
        if found is None:
            return None
        return decision_shown(found, last.context.slice(base), last.done.get(base, ""))


async def _told(evaluations: Sequence[Evaluation], cluster: str) -> list[str]:
    """As many of the newest as there is room for."""
    while True:
        found: list[str] = []
        size = 0
        for number, line in enumerate(lines(evaluations, cluster)):
            found.append(line)
            size += len(line.encode()) + 1
            if number % _LINES_PER_STEP == 0:
                await trio.lowlevel.checkpoint()
        if size <= CONTROL_RECORDING_BYTES_MAX or not evaluations:
            return found
        evaluations = evaluations[(len(evaluations) + 1) // 2 :]
