"""Looks at this process and at the machine or container around it.

Knows: psutil, control groups.
Never: when to look, what the figures are called.
Holds: what cannot be read is not known (None), and costs nobody anything else. `read` blocks: call it through Work.
"""

from __future__ import annotations

import contextlib
import logging
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import attrs
import psutil

from aether.metrics.cgroup import group_folders, read_bytes_limit, read_cpu_max, read_quota, read_usage_s

_log = logging.getLogger("aether.metrics")
_MOUNT: Final = Path("/sys/fs/cgroup")
T = TypeVar("T")


@attrs.frozen(kw_only=True)
class ProcessReading:
    """One look. Seconds of processor time only grow; None = not known here.

    cpu_s       of this process, all its threads
    machine_s   of the container when it has a limit, else of the machine;  cores  that it, or they, may use
    rss_bytes   resident memory;  limit_bytes  that the container, else the machine, has
    fds         open descriptors;  fds_max  how many may be
    """

    cpu_s: float | None = None
    machine_s: float | None = None
    cores: float = 1.0
    rss_bytes: int | None = None
    limit_bytes: int | None = None
    threads: int | None = None
    fds: int | None = None
    fds_max: int | None = None


class ProcessProbe:
    """Of this process. Limits are those at construction."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._complained = False
        self._usage: Path | None = None
        self._cores = float(psutil.cpu_count() or 1)
        quota = _quota()
        if quota is not None:
            self._cores, self._usage = quota
        self._limit_bytes = _memory_limit() or psutil.virtual_memory().total
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._fds_max = None if soft == resource.RLIM_INFINITY else soft

    def read(self) -> ProcessReading:
        """Now. Blocks for a fraction of a millisecond; longer with very many open files."""
        process = self._process
        with process.oneshot():
            times = self._try(process.cpu_times)
            memory = self._try(process.memory_info)
            return ProcessReading(
                cpu_s=None if times is None else times.user + times.system,
                machine_s=self._machine_s(),
                cores=self._cores,
                rss_bytes=None if memory is None else memory.rss,
                limit_bytes=self._limit_bytes,
                threads=self._try(process.num_threads),
                fds=self._try(process.num_fds),
                fds_max=self._fds_max,
            )

    def _machine_s(self) -> float | None:
        if self._usage is not None:
            return read_usage_s(_text_of(self._usage) or "")
        times = self._try(psutil.cpu_times)
        return None if times is None else sum(times) - times.idle - getattr(times, "iowait", 0.0) - _guests_s(times)

    def _try(self, look: Callable[[], T]) -> T | None:
        try:
            return look()
        except (psutil.Error, OSError) as error:  # such as too many open files, just when one looks how many there are
            if not self._complained:
                _log.warning("some figures of this process cannot be read: %s", error)
                self._complained = True
            return None


def _guests_s(times: object) -> float:
    """Time of virtual machines, which the kernel counts as time of their users too."""
    return float(getattr(times, "guest", 0.0)) + float(getattr(times, "guest_nice", 0.0))


def _quota() -> tuple[float, Path] | None:
    """Cores that a control group may use, and the file that says how much it used."""
    groups = _text_of(Path("/proc/self/cgroup")) or ""
    for folder in group_folders(groups, "cpu"):
        at = _MOUNT / folder
        cores = read_cpu_max(_text_of(at / "cpu.max") or "")
        if cores is not None:
            return cores, at / "cpu.stat"
        cores = read_quota(_text_of(at / "cpu.cfs_quota_us") or "", _text_of(at / "cpu.cfs_period_us") or "")
        if cores is not None:
            return cores, _MOUNT / folder.replace("cpu", "cpuacct", 1) / "cpuacct.usage"
    return None


def _memory_limit() -> int | None:
    groups = _text_of(Path("/proc/self/cgroup")) or ""
    for folder in group_folders(groups, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            limit = read_bytes_limit(_text_of(_MOUNT / folder / name) or "")
            if limit is not None:
                return limit
    return None


def _text_of(path: Path) -> str | None:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return path.read_text()
    return None
