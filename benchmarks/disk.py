"""What the disk itself does: fdatasync of small appends, as a log makes them. Printed beside every durable figure."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import attrs

RECORD = bytes(range(256))
SYNCS = 400
PREALLOCATED_BYTES = 4 * 2**20


@attrs.frozen
class DiskFigures:
    """Of one fdatasync after 256 bytes into preallocated space. file_system  where it was measured."""

    p50_s: float
    p99_s: float
    per_s: float
    file_system: str

    def __str__(self) -> str:
        rate = f"{self.per_s:,.0f}/s"
        return f"fdatasync p50 {1e6 * self.p50_s:.0f} us, p99 {1e6 * self.p99_s:.0f} us, {rate} on {self.file_system}"


def measure(folder: Path) -> DiskFigures:
    """The figures of the disk below `folder`."""
    with tempfile.TemporaryFile(dir=folder) as file:
        fd = file.fileno()
        os.write(fd, bytes(PREALLOCATED_BYTES))
        os.fsync(fd)
        took_s: list[float] = []
        for number in range(SYNCS):
            began_s = time.perf_counter()
            os.pwrite(fd, RECORD, number * len(RECORD))
            os.fdatasync(fd)
            took_s.append(time.perf_counter() - began_s)
    per_s = len(took_s) / sum(took_s)
    took_s.sort()
    return DiskFigures(took_s[len(took_s) // 2], took_s[len(took_s) * 99 // 100], per_s, file_system_of(folder))


def file_system_of(folder: Path) -> str:
    """Kind of the file system that `folder` lies on; a tmpfs makes every durable figure meaningless."""
    best, kind = "", "an unknown file system"
    with Path("/proc/mounts").open() as mounts:
        for line in mounts:
            _, place, found, *_ = line.split()
            if folder.resolve().is_relative_to(place) and len(place) >= len(best):
                best, kind = place, found
    return kind
