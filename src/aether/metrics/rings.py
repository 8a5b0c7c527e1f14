"""Rows of small numbers kept for a while: one row for each step of time, the oldest overwritten.

Knows: slots (whole steps since some zero), float32 values, NaN for what nobody told.
Never: clocks, names of figures.
Holds: memory is taken once, and never grows; a slot that was skipped reads as nothing told, not as what stood there one
       turn of the ring before.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from math import nan
from typing import TypeAlias

Row: TypeAlias = "array[float]"


def empty_row(width: int) -> Row:
    """A row of which nothing is known."""
    return array("f", [nan]) * width


def told(rows: Sequence[Row]) -> list[Row]:
    """Those of which something is known. In a large cluster a node is heard of in a few seconds of a minute."""
    empty = empty_row(len(rows[0])).tobytes() if rows else b""
    return [row for row in rows if row.tobytes() != empty and any(value == value for value in row)]


class RowRing:
    """The newest `slots` rows of `width` values."""

    def __init__(self, width: int, slots: int) -> None:
        self.width: int = width
        self.slots: int = slots
        self._values: Row = empty_row(width) * slots
        self._newest: int | None = None

    @property
    def newest(self) -> int | None:
        """The latest slot that was put; None before the first."""
        return self._newest

    @property
    def size_bytes(self) -> int:
        """Memory of the rows."""
        return len(self._values) * self._values.itemsize

    def put(self, slot: int, row: Row) -> bool:
        """Keep `row`. False when its slot is too old to be kept. What a slot held before is overwritten."""
        assert len(row) == self.width, f"a row of {len(row)} values in a ring of {self.width}"
        newest = self._newest
        if newest is None:
            self._newest = slot
        elif slot > newest:
            self._blank(max(newest + 1, slot - self.slots + 1), slot)
            self._newest = slot
        elif slot <= newest - self.slots:
            return False
        self._write(slot, row)
        return True

    def column(self, place: int, first: int, last: int) -> Iterator[tuple[int, float]]:
        """(slot, value) of one column from slot `first` to `last`, both included; what nobody told is left out."""
        if self._newest is None:
            return
        column = self._values[place :: self.width]
        for slot in range(max(first, self._newest - self.slots + 1), min(last, self._newest) + 1):
            value = column[slot % self.slots]
            if value == value:
                yield slot, value

    def rows(self, first: int, last: int) -> Iterator[Row]:
        """The rows from slot `first` to `last`, both included, those of which nothing is known among them."""
        if self._newest is None:
            return
        for slot in range(max(first, self._newest - self.slots + 1), min(last, self._newest) + 1):
            start = slot % self.slots * self.width
            yield self._values[start : start + self.width]

    def _blank(self, first: int, end: int) -> None:
        blank = empty_row(self.width)
        for slot in range(first, end):
            self._write(slot, blank)

    def _write(self, slot: int, row: Row) -> None:
        start = slot % self.slots * self.width
        self._values[start : start + self.width] = row
