"""What people ask of the controller: configuration, status, an evaluation, history, why.

Knows: which of it any node can say from its rows, and which only the leader.
Never: HTTP; decides.
Holds: what does not fit is refused with every problem before anything is written; a leader that does not answer takes
       away its own part of an answer, and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Final, cast

from aether.control import spelling
from aether.control.control_manager import ControlLoop
from aether.control.desk_service import ControlDesk
from aether.control.evaluation import Plain, entry_shown, read_object
from aether.control.explanation import explained
from aether.control.row_sight import RowSight
from aether.control.settings import ControllerSettings
from aether.control.sight import has_range
from aether.errors import Conflict, TryAgain
from aether.kv import keys
from aether.kv.commands import Batch, Compare, Delete, Put
from aether.kv.service import KvService
from aether.model.artifact import Artifact, ArtifactBase
from aether.model.ids import NodeId, Revision
from aether.model.setting import SettingRow

TRIES_MAX: Final = 8
_KEY: Final = keys.setting(spelling.SETTING)


class ControllerOperator:
    """Of one node. wall  wall-clock seconds; leader  who leads, as far as this node knows"""

    def __init__(
        self,
        kv: KvService,
        loop: ControlLoop,
        desk: ControlDesk,
        sight: RowSight,
        leader: Callable[[], NodeId | None],
        wall: Callable[[], float],
    ) -> None:
        self._kv = kv
        self._loop = loop
        self._desk = desk
        self._sight = sight
        self._leader = leader
        self._wall = wall

    def revision(self) -> Revision:
        """What is applied here."""
        return self._kv.revision

    def config(self) -> Plain:
        """The settings in force, in the names of the admin API."""
        return spelling.shown(self._loop.settings)

    async def configure(
        self, given: Mapping[str, object], *, by: str = "", artifact: str = "", reset: bool = False
    ) -> Revision:
        """Set what `given` says, in the names of the admin API; of one slice with `artifact`.

        reset  forget first what was set at run time, of that slice or of all
        Raises BadInput with every problem; Conflict when others keep changing it; what a proposal raises.
        """
        wanted = spelling.by_name(given)
        base = _base(artifact) if artifact else None
        await self._kv.barrier()
        for _ in range(TRIES_MAX):
            row, version = self._kv.get(_KEY), self._kv.version(_KEY)
            table = {} if row is None else spelling.read_text(row.value)
            merged = _merged(table, wanted, base, reset=reset)
            spelling.changed(self._loop.base, merged)
            if row is not None and merged == table:
                return self._kv.revision
            batch = Batch((Compare(_KEY, version),), (self._change(merged, by),)) if merged or version else None
            if batch is None:
                return self._kv.revision
            result = await self._kv.propose(batch)
            if result.applied:
                return result.revision
        raise Conflict("the settings of the controller", f"others changed them {TRIES_MAX} times meanwhile; repeat")

    def _change(self, merged: Mapping[str, object], by: str) -> Put[SettingRow] | Delete[SettingRow]:
        if not merged:
            return Delete(_KEY)
        return Put(_KEY, SettingRow(value=json.dumps(merged, sort_keys=True), by=by, at=self._wall()))

    async def status(self) -> Plain:
        """What the loop does, with the leader's newest evaluation where it answers."""
        settings = self._loop.settings
        ranged = [row for row in self._sight.rows().desired if has_range(row)]
        answer: Plain = {
            "enabled": settings.enabled,
            "running": settings.enabled and bool(ranged) and self._leader() is not None,
            "status": _state(settings, bool(ranged), self._leader()),
            "leader": self._leader() or "",
            "shadow": settings.shadow,
            "controller": settings.controller,
            "evaluationIntervalMs": round(settings.interval_s * 1000),
            "slices": [str(row.artifact) for row in ranged],
            "config": self.config(),
        }
        try:
            return answer | read_object(await self._desk.ask("status"))
        except TryAgain as said:
            return answer | {"lastEvaluation": None, "note": str(said)}

    async def evaluate(self, *, acts: bool = True) -> Plain:
        """The leader looks now. acts  False: it says what it would do. Raises TryAgain."""
        return read_object(await self._desk.ask("evaluate", json.dumps({"acts": acts})))

    def history(self, artifact: str = "", limit: int = 50) -> list[Plain]:
        """The newest entries of the journal, the newest first. Raises BadInput."""
        rows = self._sight.rows().decisions
        if artifact:
            base = _base(artifact)
            rows = tuple(row for row in rows if row.artifact == base)
        return [entry_shown(row) for row in sorted(rows, key=lambda row: (-row.at, str(row.artifact)))[:limit]]

    async def explain(self, artifact: str) -> Plain:
        """Why it has so many instances. Raises NotFound, BadInput."""
        base = _base(artifact)
        evaluated: Mapping[str, object] | None
        try:
            evaluated = cast(
                "Plain | None", json.loads(await self._desk.ask("word", json.dumps({"artifact": str(base)})))
            )
        except TryAgain:
            evaluated = None  # the leader's part is left out, and the answer says so
        return explained(self._sight.rows(), base, self._wall(), evaluated)

    async def recording(self) -> str:
        """What the leader saw and decided lately, for a replay: JSON lines. Raises TryAgain."""
        return await self._desk.ask("recording")


def _state(settings: ControllerSettings, ranged: bool, leader: NodeId | None) -> str:
    if not settings.enabled:
        return "disabled"
    if leader is None:
        return "no leader"
    if not ranged:
        return "idle: no slice has a range {min, max}"
    return "shadow" if settings.shadow else "running"


def _merged(
    table: Mapping[str, object], wanted: Mapping[str, object], base: ArtifactBase | None, *, reset: bool
) -> dict[str, object]:
    """The run-time setting with `wanted` in it, of one slice or of all."""
    slices = dict(cast("Mapping[str, Mapping[str, object]]", table.get(spelling.SLICES, {})))
    if base is None:
        return {**({} if reset else table), **wanted}
    own = {} if reset else dict(slices.get(str(base), {}))
    own |= wanted
    slices.pop(str(base), None)
    if own:
        slices[str(base)] = own
    merged = {name: value for name, value in table.items() if name != spelling.SLICES}
    if slices:
        merged[spelling.SLICES] = slices
    return merged


def _base(text: str) -> ArtifactBase:
    return Artifact.parse(text).base if text.count(":") > 1 else ArtifactBase.parse(text)
