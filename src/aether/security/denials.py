"""Requests that were refused for want of a role, as far as anybody wants to know.

Knows: the last of them, how many there were since somebody counted.
Never: clocks, logs, the store.
Holds: a flood of refusals costs a bounded number of lines of memory, and nothing else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import attrs

from aether.model.limits import DENIALS_KEPT_MAX, DENIED_PATH_CHARS_MAX


@attrs.frozen(kw_only=True)
class Denial:
    """One request that was refused. at  seconds since the epoch; caller  who it said it was; client  its address"""

    at: float
    caller: str
    client: str
    verb: str
    path: str
    status: int
    request_id: str


class Denials:
    """Of one node, the newest last."""

    def __init__(self) -> None:
        self._kept: deque[Denial] = deque(maxlen=DENIALS_KEPT_MAX)
        self._uncounted = 0

    def add(self, denial: Denial) -> None:
        path = denial.path[:DENIED_PATH_CHARS_MAX]
        self._kept.append(attrs.evolve(denial, path=path, caller=denial.caller[:DENIED_PATH_CHARS_MAX]))
        self._uncounted += 1

    @property
    def kept(self) -> Sequence[Denial]:
        """Those that are still remembered, the oldest first."""
        return tuple(self._kept)

    @property
    def uncounted(self) -> int:
        """How many came since `counted`."""
        return self._uncounted

    def counted(self, count: int) -> None:
        """`count` of them are written down elsewhere."""
        self._uncounted -= count
