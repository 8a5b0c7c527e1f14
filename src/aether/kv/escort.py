"""What one request sends along with every batch that it comes to: who asked for it, and on which condition.

Knows: that the task which carries a request out proposes in the same context.
Never: what an escort looks for or adds; requests.
Holds: a batch that is proposed for a request passes its escort before anything leaves, whoever proposes it; tasks that
       serve all requests, such as managers, have none.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

from aether.kv.commands import Batch

Escort = Callable[[Batch], Batch]
"""The batch to propose in place of the one given; what it raises reaches whoever asked, and nothing is proposed."""

ESCORT: Final[contextvars.ContextVar[Escort | None]] = contextvars.ContextVar("aether_kv_escort", default=None)


@contextmanager
def escorted(escort: Escort) -> Generator[None]:
    """While the block runs, every batch that this task proposes passes `escort`."""
    token = ESCORT.set(escort)
    try:
        yield
    finally:
        ESCORT.reset(token)
