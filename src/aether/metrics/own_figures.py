"""The figures of this process as one row, out of two looks at it and of what the parts of the node count.

Knows: differences of counters per second, names of figures.
Never: where a reading comes from.
Holds: a counter that began anew, or that was not seen before, has no rate yet: it is not known, not 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Protocol

from aether.metrics.figures import FIGURES, PLACES
from aether.metrics.rings import Row, empty_row


class Reading(Protocol):
    """What is known of a process (process_service.ProcessReading)."""

    @property
    def cpu_s(self) -> float | None: ...
    @property
    def machine_s(self) -> float | None: ...
    @property
    def cores(self) -> float: ...
    @property
    def rss_bytes(self) -> int | None: ...
    @property
    def limit_bytes(self) -> int | None: ...
    @property
    def threads(self) -> int | None: ...
    @property
    def fds(self) -> int | None: ...
    @property
    def fds_max(self) -> int | None: ...


class Rates:
    """How fast counters grow. Counters by any name; at most as many as there are names."""

    def __init__(self) -> None:
        self._before: dict[str, tuple[float, float]] = {}

    def per_second(self, name: str, count: float | None, now_s: float) -> float | None:
        """Since the last look at `name`; None at the first, and for a counter that fell."""
        if count is None:
            return None
        before = self._before.get(name)
        self._before[name] = (count, now_s)
        if before is None or count < before[0] or now_s <= before[1]:
            return None
        return (count - before[0]) / (now_s - before[1])


_PLAIN: Final = (
    ("heap.used", "rss_bytes"),
    ("heap.max", "limit_bytes"),
    ("process.threads", "threads"),
    ("process.fds", "fds"),
    ("process.fds_max", "fds_max"),
)


def process_figures(reading: Reading, rates: Rates, now_s: float) -> dict[str, float]:
    """What one look says, in the light of the one before."""
    found = {name: float(value) for name, field in _PLAIN if (value := getattr(reading, field)) is not None}
    if reading.rss_bytes is not None and reading.limit_bytes:
        found["heap.usage"] = reading.rss_bytes / reading.limit_bytes
    cores = rates.per_second("process.cpu", reading.cpu_s, now_s)
    machine = rates.per_second("machine.cpu", reading.machine_s, now_s)
    shares: list[float] = []
    if cores is not None:
        found["process.cpu"] = cores
        shares.append(min(1.0, cores))  # the loop is one thread, and Python runs one at a time
    if machine is not None:
        found["machine.cpu"] = min(1.0, machine / reading.cores)
        shares.append(found["machine.cpu"])
    if shares:
        found["cpu.usage"] = max(shares)
    return found


def row_of(parts: Iterable[Mapping[str, float]]) -> Row:
    """One row of all of them; a name that is no figure is a bug of the part that says it."""
    row = empty_row(len(FIGURES))
    for part in parts:
        for name, value in part.items():
            row[PLACES[name]] = value
    return row
