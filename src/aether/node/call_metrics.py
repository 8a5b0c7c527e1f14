"""The calls of one node and of its cluster: counted all the time, and what counts as slow follows one setting.

Knows: the counters of the Invoker, the setting `slow-calls`.
Never: counting; how figures travel to other nodes.
Holds: a setting that is no strategy is left alone, and said once; without one the default holds.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import NoReturn

import trio

from aether.errors import BadInput
from aether.kv import keys
from aether.kv.commands import Batch, Put
from aether.kv.service import KvService
from aether.metrics.cluster_calls import ClusterCalls
from aether.metrics.method_counters import MethodCounters
from aether.metrics.slow_calls import DEFAULT, SLOW_CALLS, Strategy, read_setting, spell_setting
from aether.model.artifact import Artifact
from aether.model.ids import NodeId, Revision
from aether.model.limits import CALL_SNAPSHOT_EVERY_S
from aether.model.setting import SettingRow

_log = logging.getLogger("aether.node")


class CallMetrics:
    """Of one node. figures  what others read: CallFigures"""

    def __init__(self, node: NodeId, counters: MethodCounters, kv: KvService, wall: Callable[[], float]) -> None:
        self.figures: ClusterCalls = ClusterCalls(node, counters, trio.current_time, wall)
        self._counters = counters
        self._kv = kv
        self._wall = wall

    @property
    def strategy(self) -> Strategy:
        """Which calls are slow."""
        return self._counters.strategy

    async def set_strategy(self, strategy: Strategy, by: str) -> Revision:
        """On all nodes; returns once this one has applied it. Raises what KvService.propose raises."""
        row = SettingRow(value=spell_setting(strategy), by=by, at=self._wall())
        result = await self._kv.propose(Batch(changes=(Put(keys.setting(SLOW_CALLS), row),)))
        return result.revision

    def deployed(self) -> Sequence[Artifact]:
        """What is wanted to run, in order."""
        return sorted(row.artifact for row in self._kv.rows(keys.DESIRED))

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Follow the setting, and let what is recent move on, until cancelled."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self._follow)
            task_status.started()
            while True:
                await trio.sleep(CALL_SNAPSHOT_EVERY_S)
                self.figures.mark()
        raise AssertionError("it ends only by cancellation")

    async def _follow(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        key = keys.setting(SLOW_CALLS)
        seen = ""
        async with self._kv.watch(key.text) as watch:
            task_status.started()
            while True:
                row = self._kv.get(key)
                text = "" if row is None else row.value
                if text != seen:
                    self._judge_by(text)
                    seen = text
                await watch.changed()

    def _judge_by(self, text: str) -> None:
        try:
            strategy = read_setting(text) if text else DEFAULT
        except BadInput as error:
            _log.warning("%s; what counts as slow stays as it is", error)
            return
        if strategy != self._counters.strategy:
            self._counters.judge_by(strategy)
            _log.info("slow calls are now judged so: %s", text or "as by default")
