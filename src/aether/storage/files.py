"""Blocking file primitives, each with the syncs that make it survive a power cut.

Knows: pwrite, fdatasync, rename, directory syncs, zero-filled preallocation.
Never: formats. OSError passes; callers decide what it means.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_ZEROS: Final = bytes(1 << 20)
_PIECE_BYTES: Final = 8 << 20
NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


def write_all(fd: int, chunk: bytes, offset: int) -> None:
    """Write `chunk` at `offset`, however many calls the kernel needs for it."""
    view = memoryview(chunk)
    while view:
        written = os.pwrite(fd, view, offset)
        offset += written
        view = view[written:]


def sync_data(fd: int) -> None:
    """Make the file's bytes durable; its length and blocks were made durable when it was preallocated."""
    os.fdatasync(fd)


def sync_directory(path: Path) -> None:
    """Make creations, renames and deletions in `path` durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def fill_with_zeros(fd: int, start: int, end: int) -> None:
    """Write zeros from `start` to `end` and sync: real blocks, so that a later fdatasync writes nothing but data.

    Synced in pieces, so that a sync of the log beside it never queues behind the whole.
    """
    for piece in range(start, end, _PIECE_BYTES):
        for at in range(piece, min(end, piece + _PIECE_BYTES), len(_ZEROS)):
            write_all(fd, _ZEROS[: end - at], at)
        os.fsync(fd)


def create_zeroed(path: Path, size: int) -> int:
    """A new file of `size` zeros, durable, as a descriptor. Leaves no file behind when it fails."""
    fd = os.open(path, os.O_CREAT | os.O_TRUNC | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fill_with_zeros(fd, 0, size)
    except BaseException:
        os.close(fd)
        path.unlink(missing_ok=True)
        raise
    return fd


def replace_durably(path: Path, chunks: Sequence[bytes]) -> None:
    """Put a whole file in place at once: temporary file, fsync, rename, directory sync."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        fd = os.open(temporary, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            offset = 0
            for chunk in chunks:
                write_all(fd, chunk, offset)
                offset += len(chunk)
            os.fsync(fd)
        finally:
            os.close(fd)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)
