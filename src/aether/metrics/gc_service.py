"""Counts the garbage collections of this process and the time they take.

Knows: the interpreter's callbacks.
Never: when to collect.
Holds: attached while the `with` block lasts, and not a moment longer; collections that run in any thread are counted.
"""

from __future__ import annotations

import gc
from time import perf_counter
from types import TracebackType
from typing import Self


class GcWatch:
    """collections  so far;  pause_s  for which they stopped everything, together"""

    def __init__(self) -> None:
        self.collections: int = 0
        self.pause_s: float = 0.0
        self._began_s = 0.0

    def __enter__(self) -> Self:
        gc.callbacks.append(self._told)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        gc.callbacks.remove(self._told)

    def _told(self, phase: str, _: object) -> None:
        if phase == "start":
            self._began_s = perf_counter()
        elif self._began_s:
            self.collections += 1
            self.pause_s += perf_counter() - self._began_s
            self._began_s = 0.0
