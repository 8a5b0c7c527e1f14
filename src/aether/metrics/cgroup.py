"""What a container may use, in the spelling of Linux's control groups, both generations.

Knows: the texts of the files.
Never: files. Callers read them.
Source: the kernel's documentation of cgroup-v1 and cgroup-v2.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

_UNLIMITED_BYTES: Final = 2**60  # the first generation spells "no limit" as the largest multiple of a page


def group_folders(text: str, controller: str) -> Iterator[str]:
    """Folders below the mount of control groups that may hold the files of `controller`, the nearest first.

    text  of /proc/self/cgroup; inside a container its paths are often those of the host, so the mount itself comes last
    """
    for line in text.splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and controller in controllers.split(","):
            yield from (f"{controller}{path}".rstrip("/"), controller)
        elif not controllers and path:
            yield from (path.strip("/"), "")


def read_bytes_limit(text: str) -> int | None:
    """memory.max, or memory.limit_in_bytes; None without a limit."""
    word = text.strip()
    return int(word) if word.isdigit() and 0 < int(word) < _UNLIMITED_BYTES else None


def read_cpu_max(text: str) -> float | None:
    """cpu.max: cores; None without a limit."""
    quota, _, period = text.strip().partition(" ")
    return read_quota(quota, period)


def read_quota(quota: str, period: str) -> float | None:
    """cpu.cfs_quota_us and cpu.cfs_period_us: cores; None without a limit."""
    quota, period = quota.strip(), period.strip()
    if not (quota.isdigit() and period.isdigit()) or int(period) == 0 or int(quota) == 0:
        return None
    return int(quota) / int(period)


def read_usage_s(text: str) -> float | None:
    """cpu.stat, or cpuacct.usage: seconds of processor time used so far."""
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name == "usage_usec" and value.isdigit():
            return int(value) / 1e6
    word = text.strip()
    return int(word) / 1e9 if word.isdigit() else None
