"""What one node shows to Prometheus, gathered at the moment of a scrape.

Knows: where each figure stands in the node.
Never: formats: they are imported, and written, in a worker thread.
"""

from __future__ import annotations

import importlib.metadata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import attrs

from aether.invocation.service import Invoker
from aether.invocation.statistics import TargetStatistics
from aether.kv import keys
from aether.kv.service import KvService
from aether.metrics.call_snapshot import MethodKey
from aether.metrics.exposed import Exposed
from aether.metrics.figures import ClusterFigures
from aether.metrics.slow_calls import SlowCall
from aether.model.ids import NodeId
from aether.model.rollout import TERMINAL
from aether.node.call_metrics import CallMetrics
from aether.work import Work

_KINDS: Final = {
    "moved": "moved", "repeated": "repeats", "refused": "refused", "hedged": "hedges", "hedged_won": "hedges_won",
}  # fmt: skip


class NodeExposition:
    """Of one node. reached  nodes that answer, this one included"""

    def __init__(
        self,
        node: NodeId,
        cluster: str,
        kv: KvService,
        invoker: Invoker,
        calls: CallMetrics,
        figures: ClusterFigures,
        reached: Callable[[], Iterable[NodeId]],
        work: Work,
    ) -> None:
        self._node = node
        self._cluster = cluster
        self._kv = kv
        self._invoker = invoker
        self._calls = calls
        self._figures = figures
        self._reached = reached
        self._work = work

    async def render(self, accept: str) -> tuple[bytes, str]:
        """Body and content type, as `accept` wishes."""
        return await self._work.run(_render, self.shown(), accept)

    def shown(self) -> Exposed:
        """What there is to be shown now."""
        node, kv = self._node, self._kv
        return Exposed(
            node=node,
            cluster=self._cluster,
            release=_release(),
            figures=self._figures.nodes().get(node, {}),
            calls=self._calls.figures.local().methods,
            slow=self._slow(),
            tries=dict(_tries(self._invoker)),
            nodes=len(set(self._reached())),
            members=sum(1 for _ in kv.rows(keys.MEMBERS)),
            instances=Counter((row.artifact, str(row.state)) for row in kv.rows(keys.INSTANCES)),
            desired={row.artifact: row.instances for row in kv.rows(keys.DESIRED)},
            rollouts=sum(row.state not in TERMINAL for row in kv.rows(keys.ROLLOUTS)),
            alerts=Counter(row.severity.value for row in kv.rows(keys.ALERTS)),
        )

    def _slow(self) -> dict[MethodKey, list[SlowCall]]:
        found: dict[MethodKey, list[SlowCall]] = {}
        for each in self._calls.figures.slow_calls():
            if each.node == self._node:
                found.setdefault((each.artifact, each.method), []).append(attrs.evolve(each.call, at_s=each.at))
        return found


def _render(shown: Exposed, accept: str) -> tuple[bytes, str]:
    from aether.metrics import exposition  # a tenth of a second, at the first scrape

    return exposition.render(shown, accept)


def _tries(invoker: Invoker) -> Iterator[tuple[tuple[str, str], int]]:
    targets: dict[str, TargetStatistics] = dict(invoker.statistics().targets)
    for target, counted in targets.items():
        for kind, field in _KINDS.items():
            yield (target, kind), getattr(counted, field)


def _release() -> str:
    try:
        return importlib.metadata.version("aether-runtime")
    except importlib.metadata.PackageNotFoundError:
        return ""
