"""Which coroutine functions never suspend.

Knows: the instructions by which a coroutine can hand control to the loop.
Never: what a function does.
Holds: whatever is not sure counts as suspending: what is no plain `async def`, and what awaits on any path.
"""

from __future__ import annotations

import dis
import inspect
from collections.abc import Callable, Coroutine
from types import FunctionType
from typing import Any, Final

_SUSPENDING: Final = frozenset(
    dis.opmap[name] for name in ("GET_AWAITABLE", "GET_ANEXT", "SEND", "YIELD_VALUE") if name in dis.opmap
)


async def _await_one(other: Coroutine[Any, Any, None]) -> None:
    await other


_TELLS: Final = not _SUSPENDING.isdisjoint(_await_one.__code__.co_code[::2])
"""Whether this interpreter names its instructions as those that are known."""


def never_suspends(function: Callable[..., Any]) -> bool:
    """Whether it is an `async def` without any `await`, `async for`, `async with`: a call of it ends in one step.

    Such a call cannot be cancelled, and its deadline cannot end it.
    """
    if type(function) is not FunctionType or not function.__code__.co_flags & inspect.CO_COROUTINE:
        return False
    return _TELLS and _SUSPENDING.isdisjoint(function.__code__.co_code[::2])


def returned(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine returns that never suspends. Raises what it raises."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    coroutine.close()
    raise RuntimeError(f"{coroutine!r} suspended, and nobody can resume it")
