"""How long a cancelled call may still clean up.

Knows: the calls that run on this node, since when each is cancelled; what a shield is to trio.
Never: why a call was cancelled, what it does.
Holds: CLEANUP_S after its cancellation, or a look later, nothing shields a call any more. A thread cannot be stopped:
       it is told in the log, and goes on.
"""

from __future__ import annotations

import logging
from typing import Any, Final

import trio

from aether.model.limits import CLEANUP_S

LOOK_S: Final = CLEANUP_S / 10

_log = logging.getLogger(__name__)


class RunningCalls(dict[trio.CancelScope, tuple[str, str]]):
    """Calls by the scope in which each runs: `calls[scope] = (slice, method)`, and `over(scope)` at its end."""

    def __init__(self) -> None:
        super().__init__()
        self._cancelled: dict[trio.CancelScope, float] = {}
        self._lifted: set[trio.CancelScope] = set()
        self._empty: trio.Event | None = None

    def look(self) -> None:
        """Lift the shields of every call that was cancelled CLEANUP_S ago. To be called every LOOK_S."""
        now = trio.current_time()
        self._cancelled = {
            scope: self._cancelled.get(scope, now) for scope in self if _status(scope, "effectively_cancelled")
        }
        self._lifted &= self._cancelled.keys()
        for scope, since in self._cancelled.items():
            if now - since >= CLEANUP_S:
                self._lift(scope)

    async def ended(self) -> None:
        """Return when every call, all being cancelled, has ended, or its clean-up has had its time."""
        if not self:
            return
        self._empty = trio.Event()
        with trio.move_on_after(CLEANUP_S):
            await self._empty.wait()
        for scope in self:
            self._lift(scope)

    def over(self, scope: trio.CancelScope) -> None:
        """A call has ended."""
        del self[scope]
        if self._empty is not None and not self:
            self._empty.set()

    def _lift(self, scope: trio.CancelScope) -> None:
        if scope not in self._lifted:
            self._lifted.add(scope)
            _log.warning(
                "%s.%s still cleans up %g s after it was cancelled: its shields are lifted, and a thread of its own is "
                "left to itself",
                *self[scope],
                CLEANUP_S,
            )
        lift_shields(scope)


def lift_shields(scope: trio.CancelScope) -> None:
    """Let a cancellation through to everything that was entered inside `scope`, in its task and in those it started.

    Trio shows no scope but one's own; where its inner names change, shields stay and a test says so.
    """
    waiting: list[Any] = list(_status(scope, "_children") or ())
    while waiting:
        status = waiting.pop()
        status._scope.shield = False  # noqa: SLF001 - see above
        waiting += status._children  # noqa: SLF001


def _status(scope: trio.CancelScope, name: str) -> Any:
    return getattr(getattr(scope, "_cancel_status", None), name, None)
