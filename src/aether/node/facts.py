"""What one process knows of itself: addresses, readiness, age, how late its loop runs.

Knows: trio's clock.
Never: other nodes.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Final, NoReturn

import trio

from aether.hosting.directory_store import TreeReport
from aether.management.process_view import NodeSetting
from aether.model.ids import NodeId

_log = logging.getLogger("aether.node")

SAMPLE_S: Final = 0.1
SAMPLES_KEPT: Final = 100
LAG_WARNED_S: Final = 0.25
LATE: Final = "a slice computes without awaiting, or the machine has no time for this process"


class NodeFacts:
    """Read by the management API. `run` keeps the loop-lag gauge.

    User code shares the loop: a slice that computes for long delays heartbeats and calls of everybody, so the gauge
    is the first thing to look at when a node seems slow.
    """

    def __init__(self, node: NodeId) -> None:
        self.node = node
        self.cluster_address = ""
        self.http_address = ""
        self.management_address = ""
        self.ready = False
        self.draining = False
        self._trees: Callable[[], Sequence[TreeReport]] = tuple
        self._disk_is_full: Callable[[], bool] = bool
        self._refused: Callable[[], Mapping[str, int]] = dict[str, int]
        self._settings: tuple[NodeSetting, ...] = ()
        self._began = trio.current_time()
        self._lags: deque[float] = deque(maxlen=SAMPLES_KEPT)

    def count_refusals(self, refused: Callable[[], Mapping[str, int]]) -> None:
        """From now on `refused` says how many handshakes failed, by reason."""
        self._refused = refused

    @property
    def handshakes_refused(self) -> Mapping[str, int]:
        return self._refused()

    def watch_disk(self, is_full: Callable[[], bool]) -> None:
        """From now on `is_full` says whether writes wait for space."""
        self._disk_is_full = is_full

    @property
    def disk_is_full(self) -> bool:
        return self._disk_is_full()

    def show_trees(self, trees: Callable[[], Sequence[TreeReport]]) -> None:
        """From now on `trees` says what the directory of slices holds."""
        self._trees = trees

    @property
    def trees(self) -> Sequence[TreeReport]:
        return self._trees()

    def show_settings(self, settings: Sequence[NodeSetting]) -> None:
        """What the process was started with, as anybody may see it."""
        self._settings = tuple(settings)

    @property
    def settings(self) -> Sequence[NodeSetting]:
        return self._settings

    @property
    def uptime_s(self) -> float:
        return trio.current_time() - self._began

    @property
    def loop_lag_s(self) -> float:
        """The worst delay of the loop in the last 10 s."""
        return max(self._lags, default=0.0)

    def lag_since_s(self, span_s: float) -> float:
        """The worst delay of the loop in the last `span_s`, at most 10 s."""
        return max(self._lags_since(span_s), default=0.0)

    def mean_lag_since_s(self, span_s: float) -> float:
        """The mean delay of the loop in the last `span_s`, at most 10 s."""
        lags = self._lags_since(span_s)
        return sum(lags) / len(lags) if lags else 0.0

    def _lags_since(self, span_s: float) -> Sequence[float]:
        return tuple(islice(reversed(self._lags), max(1, round(span_s / SAMPLE_S))))

    async def run(self) -> NoReturn:
        """Measure until cancelled. One warning per episode of lag."""
        warned = False
        while True:
            due = trio.current_time() + SAMPLE_S
            await trio.sleep_until(due)
            lag = max(0.0, trio.current_time() - due)
            self._lags.append(lag)
            if lag > LAG_WARNED_S and not warned:
                _log.warning("%s: the loop was %.2f s late; %s", self.node, lag, LATE)
            warned = lag > LAG_WARNED_S
