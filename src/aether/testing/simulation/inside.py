"""What the checker reads of a core beyond its public surface.

Knows: where the log and the pending reads of a core are.
Never: changes them.
"""

from __future__ import annotations

from aether.consensus.core import RaftCore
from aether.consensus.log import RaftLog


def log_of(core: RaftCore) -> RaftLog:
    """The log inside a core."""
    return core._log  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # only the checker looks inside


def pending_reads_of(core: RaftCore) -> int:
    """Reads that wait on a leader."""
    # Only the checker looks inside, as above.
    leadership = core._leadership  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    return leadership.reads._count if leadership is not None else 0  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
