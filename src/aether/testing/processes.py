"""The process under a node of a cluster in virtual time, as a test wants it to be.

Knows: processor time, memory.
Never: the real process: what it used in a second of virtual time means nothing.
"""

from __future__ import annotations

from typing import Final

import attrs
import trio

_MIB: Final = 2**20


@attrs.define
class ScriptedProcess:
    """What the figures of one node are made of: change it, and the next second shows it.

    busy  cores that the process uses: 1.0 keeps its one thread of Python busy;  rss_bytes  of limit_bytes
    """

    busy: float = 0.0
    rss_bytes: int | None = 64 * _MIB
    limit_bytes: int | None = 1024 * _MIB
    threads: int | None = 1
    fds: int | None = 16
    fds_max: int | None = 1024
    machine_s: float | None = None
    cores: float = 1.0
    cpu_s: float | None = 0.0
    _at_s: float = 0.0

    def read(self) -> ScriptedProcess:
        """A look at it, now."""
        now = trio.current_time()
        self.cpu_s = (self.cpu_s or 0.0) + self.busy * (now - self._at_s)
        self._at_s = now
        return self
