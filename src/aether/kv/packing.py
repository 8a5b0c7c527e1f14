"""Plain data <-> msgpack bytes, typed.

Knows: how this room uses msgpack: arrays are tuples, map keys are text or bytes.
Never: what the data means.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final

import msgpack

from aether.model.limits import VALUE_BYTES_MAX

_msgpack: Final[Any] = msgpack  # its functions have no types of their own

UNPACK_ERRORS: Final[tuple[type[Exception], ...]] = (ValueError, TypeError, _msgpack.UnpackException)
"""What `unpack` and a look at its result may raise for malformed bytes."""

pack: Final[Callable[[object], bytes]] = _msgpack.Packer(autoreset=True).pack
"""Its buffer is kept: msgpack's own function makes and drops one for every value, which costs more than packing."""
Packer: Final[Callable[[], Any]] = functools.partial(_msgpack.Packer, autoreset=False)
"""Collects the bytes of many values: `pack`, `pack_array_header`, then `bytes`."""

Unpacker: Final[Callable[[], Any]] = functools.partial(
    _msgpack.Unpacker, use_list=False, strict_map_key=True, max_buffer_size=4 * VALUE_BYTES_MAX
)
"""Takes bytes by `feed`, cut anywhere, and gives the values that are complete one by one."""

unpack: Final[Callable[[bytes], Any]] = functools.partial(_msgpack.unpackb, use_list=False, strict_map_key=True)
