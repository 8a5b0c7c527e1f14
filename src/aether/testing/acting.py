"""Calls as somebody, for tests of slices that look at who asked.

Knows: the variable that carries a principal.
Never: checks anything.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

from aether.model.security import Principal
from aether.slice_api import principal as carried


def acting_as(principal: Principal) -> AbstractContextManager[object]:
    """While the block runs, `aether.current_principal()` is `principal`, here and in what is called from here.

    Raises BadInput when name, roles and claims together are more than calls may carry, 8 KiB.
    """
    return carried.acting_as(principal)
