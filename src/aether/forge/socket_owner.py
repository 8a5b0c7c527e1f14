"""Which process owns the other end of a loopback connection: Linux only.

Knows: the kernel's table of connections, the open files of a process.
Never: other machines or network namespaces.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

PROC = Path("/proc")


def is_supported() -> bool:
    return sys.platform == "linux" and (PROC / "net" / "tcp").exists()


def owner(processes: Iterable[int], local_port: int, remote_port: int) -> int | None:
    """Which of `processes` owns the TCP socket from `local_port` to `remote_port`; None when none of them does."""
    socket_name = _socket_name(local_port, remote_port)
    if socket_name is None:
        return None
    return next((each for each in processes if socket_name in _open_files(each)), None)


def _socket_name(local_port: int, remote_port: int) -> str | None:
    with (PROC / "net" / "tcp").open() as table:
        next(table)
        for line in table:
            columns = line.split()
            ports = [int(place.rpartition(":")[2], 16) for place in columns[1:3]]
            if ports == [local_port, remote_port]:
                return f"socket:[{columns[9]}]"
    return None


def _open_files(process: int) -> set[str]:
    folder = PROC / str(process) / "fd"
    names: set[str] = set()
    try:
        for file in folder.iterdir():
            try:
                names.add(str(file.readlink()))
            except OSError:  # closed meanwhile
                continue
    except (FileNotFoundError, PermissionError):  # ended meanwhile
        return set()
    return names
