"""Measures this node every second, and says when it is time to tell the others.

Knows: the probe of the process, what the parts of the node count.
Never: the log: figures are worth nothing after a moment, and a cluster in trouble must not wait for them; who is told.
Holds: every FIGURES_EVERY_S one row; as often the others are told, whoever leads, and when nobody does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NoReturn

import trio

from aether.metrics.exchange import Exchange, Neighbours
from aether.metrics.figures_messages import NodeFigures
from aether.metrics.gc_service import GcWatch
from aether.metrics.method_windows import MethodWindows
from aether.metrics.methods import CallFigures
from aether.metrics.own_figures import Rates, Reading, process_figures, row_of
from aether.metrics.view import FiguresView
from aether.model.ids import NodeId
from aether.model.limits import CALL_SNAPSHOT_EVERY_S, FIGURES_EVERY_S
from aether.work import Work

Source = Callable[[float], Mapping[str, float]]
"""Figures of one part of the node, by name. Asked once a second, with the time in seconds."""
_AFTER_LOOK_S: Final = 0.05  # by then a look is over, and is told while it is new
_RATES_OF_GC: Final = ("gc.collections", "gc.pause_s")


class FiguresService:
    """Of one node. `view` is what it knows; `methods` the last hours of the busiest methods.

    probe    gives what looks at the process; both block, and are called through `work`
    sources  further figures; calls  who counts calls, None when nobody does
    """

    def __init__(
        self,
        node: NodeId,
        view: FiguresView,
        probe: Callable[[], Callable[[], Reading]],
        work: Work,
        sources: Sequence[Source],
        neighbours: Neighbours,
        wall: Callable[[], float],
        calls: CallFigures | None = None,
    ) -> None:
        self.view: FiguresView = view
        self.methods: MethodWindows = MethodWindows()
        self._exchange = Exchange(node, view, neighbours, trio.current_time, calls)
        self._node = node
        self._probe = probe
        self._work = work
        self._sources = sources
        self._wall = wall
        self._calls = calls
        self._rates = Rates()
        self._gc = GcWatch()
        self._snapshot_due = 0.0

    @property
    def handlers(self) -> Mapping[type, Callable[[NodeId, Any, str], None]]:
        """For the transport. None of them blocks."""
        return self._exchange.handlers

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Serve until cancelled; started() when the first row is there."""
        with self._gc:
            measure = await self._work.run(self._probe)
            await self._look(measure)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._look_again, measure)
                nursery.start_soon(self._tell_again)
                task_status.started()
        raise AssertionError("its tasks end only by cancellation")

    # --- this node ----------------------------------------------------------------------------------------------------

    async def _look_again(self, measure: Callable[[], Reading]) -> NoReturn:
        due = trio.current_time()
        while True:
            due = max(due + FIGURES_EVERY_S, trio.current_time())  # a loop that was late skips what it missed
            await trio.sleep_until(due)
            await self._look(measure)
            self._look_at_methods()

    async def _look(self, measure: Callable[[], Reading]) -> None:
        reading = await self._work.run(measure)
        now = trio.current_time()
        row = row_of(
            [process_figures(reading, self._rates, now), self._gc_figures(now), *(s(now) for s in self._sources)]
        )
        stamp = max(int(self._wall() * 1e3), self._exchange.last_stamp + 1)  # also when the wall clock is set back
        self._exchange.measured(NodeFigures(self._node, stamp, 0.0, row))

    def _gc_figures(self, now: float) -> dict[str, float]:
        counts = zip(_RATES_OF_GC, (self._gc.collections, self._gc.pause_s), strict=True)
        rates = ((name, self._rates.per_second(name, count, now)) for name, count in counts)
        return {name: rate for name, rate in rates if rate is not None}

    def _look_at_methods(self) -> None:
        now = trio.current_time()
        if self._calls is None or now < self._snapshot_due:
            return
        self._snapshot_due = now + CALL_SNAPSHOT_EVERY_S
        self._exchange.counted(self._calls.local_snapshot())
        self.methods.put(
            self.view.now_s,
            {
                (str(m.artifact or ""), m.method): (m.rate, m.failure_rate, m.p95_s, float(m.in_flight))
                for m in self._calls.methods()
            },
        )

    # --- the others ---------------------------------------------------------------------------------------------------

    async def _tell_again(self) -> NoReturn:
        due = trio.current_time() + _AFTER_LOOK_S
        while True:
            due = max(due + FIGURES_EVERY_S, trio.current_time())
            await trio.sleep_until(due)
            self._exchange.tell()
