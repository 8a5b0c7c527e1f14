"""Clocks of single nodes that are wrong: what `time` tells a process is shifted by what stands in a file.

Knows: how Python starts (`sitecustomize`), which functions tell the time.
Never: nodes; the kernel's clocks, which need privilege and would be wrong for everybody.
Holds: a node that is started without this reads true clocks; the running clock of a process only ever jumps forward,
       as after a machine was suspended, and the wall clock both ways.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import attrs

SHIFTS: Final = struct.Struct("dd")
"""Seconds of the wall clock, and of the running ones."""

STARTUP: Final = '''"""Read by Python as it starts: the clocks of a node are shifted by what its file says."""
import mmap
import os
import struct
import sys
import time

_words = sys.orig_argv
_name = _words[_words.index("--node-id") + 1] if "--node-id" in _words[:-1] else ""
_path = os.path.join(os.path.dirname(__file__), f"{_name}.shift")
if _name and os.path.exists(_path):
    _file = os.open(_path, os.O_RDONLY)
    _shifts = mmap.mmap(_file, 16, prot=mmap.PROT_READ)
    os.close(_file)

    def _shifted(true, place, unit):
        read = struct.Struct("d").unpack_from
        if unit == 1:
            return lambda: true() + read(_shifts, place)[0]
        return lambda: true() + int(read(_shifts, place)[0] * unit)

    time.time, time.time_ns = _shifted(time.time, 0, 1), _shifted(time.time_ns, 0, 10**9)
    for _clock in ("monotonic", "perf_counter"):
        setattr(time, _clock, _shifted(getattr(time, _clock), 8, 1))
        setattr(time, _clock + "_ns", _shifted(getattr(time, _clock + "_ns"), 8, 10**9))
'''


@attrs.frozen
class Clocks:
    """The shifts of each node, in files below `folder`. Made by `make_clocks`."""

    folder: Path

    def environment(self) -> dict[str, str]:
        """For processes of nodes: without it their clocks are true."""
        rest = os.environ.get("PYTHONPATH", "")
        return {"PYTHONPATH": f"{self.folder}{os.pathsep}{rest}" if rest else str(self.folder)}

    def shifts(self, node: str) -> tuple[float, float]:
        """Of its wall clock and of its running ones, in seconds."""
        wall_s, running_s = SHIFTS.unpack(self._path(node).read_bytes())
        return wall_s, running_s

    def set_wall(self, node: str, wall_s: float) -> None:
        """From now on the wall clock of `node` is wrong by so much."""
        self._write(node, wall_s, self.shifts(node)[1])

    def jump(self, node: str, seconds: float) -> None:
        """The running clocks of `node` jump forward, for good."""
        assert seconds >= 0.0, "a running clock never goes back"
        wall_s, running_s = self.shifts(node)
        self._write(node, wall_s, running_s + seconds)

    def _write(self, node: str, wall_s: float, running_s: float) -> None:
        with self._path(node).open("r+b") as file:  # in place: the node has mapped these bytes
            file.write(SHIFTS.pack(wall_s, running_s))

    def _path(self, node: str) -> Path:
        return self.folder / f"{node}.shift"


def make_clocks(folder: Path, nodes: Iterable[str]) -> Clocks:
    """Clocks that are true so far, for `nodes` that will be started with their environment."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sitecustomize.py").write_text(STARTUP)
    clocks = Clocks(folder)
    for node in nodes:
        (folder / f"{node}.shift").write_bytes(SHIFTS.pack(0.0, 0.0))
    return clocks
