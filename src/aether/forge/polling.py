"""Waiting for what tells nobody: another process, a page of an admin API, a file.

Knows: how often to look, how long.
Never: what is looked at.
Holds: every wait ends, and the error says what was waited for and what was seen last.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar, overload

import trio

POLL_S: Final = 0.05
_SHOWN: Final = 300

T = TypeVar("T")


@overload
async def until(
    condition: Callable[[], Awaitable[T]], within_s: float, what: str = ..., *, every_s: float = ...
) -> T: ...
@overload
async def until(condition: Callable[[], T], within_s: float, what: str = ..., *, every_s: float = ...) -> T: ...
async def until(condition: Callable[[], object], within_s: float, what: str = "", *, every_s: float = POLL_S) -> object:
    """The first true answer of `condition`, which is asked at once and then every `every_s` seconds.

    Raises trio.TooSlowError after `within_s`, also while `condition` waits; and what `condition` raises.
    """
    seen: object = "nothing"
    with trio.move_on_after(within_s):
        while True:
            answer = condition()
            seen = await answer if inspect.isawaitable(answer) else answer
            if seen:
                return seen
            await trio.sleep(every_s)
    name = what or getattr(condition, "__qualname__", repr(condition))
    raise trio.TooSlowError(f"not within {within_s:g} s: {name}; the last answer was {seen!r:.{_SHOWN}}")
