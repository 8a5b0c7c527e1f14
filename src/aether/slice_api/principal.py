"""Who asked, for slices to read.

Knows: the context variable that carries it over all hops of a call.
Never: how anybody proved who it is.
Holds: outside of a request to a protected route it is None.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Final

from aether.model.security import Principal
from aether.slice_api.context_variable import ContextVar
from aether.slice_api.current import NOTHING_CARRIED, RUNNING

_PRINCIPAL: Final = ContextVar("aether.principal", Principal)


def current_principal() -> Principal | None:
    """Who made the request that the current call serves, on whatever node; None on a public route, and in a unit test.

    A route is public unless `[security]` of its blueprint says otherwise. To try a slice as somebody, set it:
    `with aether.testing.acting_as(aether.Principal(name="ann", roles=("clerk",))):`.
    """
    try:
        return _PRINCIPAL.get()
    except LookupError:
        return None


def carried_principal() -> Mapping[str, bytes]:
    """What of this task's variables says who asked, packed: all that an edge takes over from what it runs in."""
    running = RUNNING.get()
    raw = None if running is None else running.carried.get(_PRINCIPAL.name)
    return NOTHING_CARRIED if raw is None else {_PRINCIPAL.name: raw}


def acting_as(principal: Principal) -> AbstractContextManager[object]:
    """While the block runs, calls of this task are made for `principal`. Raises BadInput when it is too large."""
    return _PRINCIPAL.set(principal)
