"""How far a worker has come, in memory that outlives it.

Knows: one number in a page that a node and its worker share: the last call that the worker has begun.
Never: what a call is.
Holds: the worker writes it before it does anything for a call, so that after its death, even by SIGKILL, the node knows
       of each call whether a line of it may have run.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
from typing import Final

_NUMBER: Final = struct.Struct("=Q")


class Mark:
    """The number. Reading and writing it is a copy of eight bytes."""

    def __init__(self, descriptor: int) -> None:
        self._page = mmap.mmap(descriptor, mmap.PAGESIZE)

    @property
    def number(self) -> int:
        return int(_NUMBER.unpack_from(self._page)[0])

    @number.setter
    def number(self, number: int) -> None:
        _NUMBER.pack_into(self._page, 0, number)

    def close(self) -> None:
        self._page.close()


def new_mark_file() -> int:
    """A descriptor of one empty page without a name; whoever asked closes it."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("aether-worker")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, mmap.PAGESIZE)
    return descriptor
