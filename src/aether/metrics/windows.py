"""The last two hours of one node's figures, fine where they are young.

Knows: how seconds become tens of seconds and minutes, and when.
Never: clocks: each row comes with its time, in seconds that only go forward.
Holds: a fixed amount of memory; a row that comes late still finds its second, its ten seconds and its minute.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from aether.metrics.figures import FIGURES, Fold
from aether.metrics.minutes import MINUTE_WIDTH, MinuteAggregate, aggregate, to_row
from aether.metrics.rings import Row, RowRing, empty_row, told
from aether.model.limits import MINUTES_KEPT, SECONDS_KEPT, TENS_KEPT

TEN: Final = 10
MINUTE: Final = 60
_FOLDS: Final = tuple(figure.fold for figure in FIGURES.values())


class NodeWindow:
    """Of one node. Times are whole seconds of the reader's own clock."""

    def __init__(self) -> None:
        width = len(FIGURES)
        self._seconds = RowRing(width, SECONDS_KEPT)
        self._tens = RowRing(width, TENS_KEPT)
        self._minutes = RowRing(MINUTE_WIDTH, MINUTES_KEPT)

    @property
    def size_bytes(self) -> int:
        """Memory of all rows."""
        return self._seconds.size_bytes + self._tens.size_bytes + self._minutes.size_bytes

    def put(self, at_s: float, row: Row) -> None:
        """Keep what was measured at `at_s`."""
        slot, newest = int(at_s), self._seconds.newest
        if not self._seconds.put(slot, row) or newest is None:
            return
        for step, fold in ((TEN, self._fold_ten), (MINUTE, self._fold_minute)):
            if slot // step > newest // step:
                fold(newest // step)
            elif slot // step < newest // step:
                fold(slot // step)

    def points(self, place: int, first_s: float, now_s: float) -> Iterator[tuple[float, float]]:
        """(second, value) of one figure since `first_s`, oldest first; ten seconds count as told when they begin."""
        fine = int(now_s) - SECONDS_KEPT + 1
        if first_s < fine:
            boundary = -(-fine // TEN) * TEN  # seconds before it are in tens that are complete
            for slot, value in self._tens.column(place, int(-(-first_s // TEN)), boundary // TEN - 1):
                yield float(slot * TEN), value
            first_s = boundary
        for slot, value in self._seconds.column(place, int(-(-first_s // 1)), int(now_s)):
            yield float(slot), value

    def recent(self, first_s: float, now_s: float) -> Sequence[Row]:
        """The rows since `first_s`, at most those of the last ten minutes."""
        return tuple(self._seconds.rows(int(-(-first_s // 1)), int(now_s)))

    def minutes(self, count: int) -> tuple[tuple[int, MinuteAggregate], ...]:
        """The newest `count` minutes that are over, oldest first, with the second at which each began."""
        newest = self._minutes.newest
        if newest is None:
            return ()
        first = max(newest - count, newest - MINUTES_KEPT) + 1
        rows = zip(range(first, newest + 1), self._minutes.rows(first, newest), strict=True)
        found = ((minute * MINUTE, MinuteAggregate.from_row(row)) for minute, row in rows)
        return tuple((began, minute) for began, minute in found if minute.sample_count)

    def _fold_ten(self, ten: int) -> None:
        rows = tuple(self._seconds.rows(ten * TEN, ten * TEN + TEN - 1))
        self._tens.put(ten, folded(rows))

    def _fold_minute(self, minute: int) -> None:
        rows = tuple(self._seconds.rows(minute * MINUTE, minute * MINUTE + MINUTE - 1))
        self._minutes.put(minute, to_row(aggregate(rows)))


def folded(rows: Sequence[Row]) -> Row:
    """One row for many: of each figure the mean, the worst or the last of what was told."""
    rows = told(rows)
    if len(rows) == 1:
        return rows[0]
    result = empty_row(len(_FOLDS))
    for place, (fold, column) in enumerate(zip(_FOLDS, zip(*rows, strict=True), strict=bool(rows))):
        known = [value for value in column if value == value]
        if known:
            last = known[-1]
            result[place] = last if fold is Fold.LAST else max(known) if fold is Fold.WORST else sum(known) / len(known)
    return result
