"""Plain values as msgpack bytes, and back under limits.

Knows: msgpack, which ships without types: this module gives it some.
Never: what the values mean.
Holds: unpacking hostile bytes raises ValueError or TypeError and nothing else, and allocates in
       proportion to them, plus at most 40 MB that 512 nested announcements can reserve.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

import msgpack

from aether.model.limits import FRAME_BYTES_MAX

_msgpack: Final = cast("Any", msgpack)


pack: Final[Callable[[object], bytes]] = _msgpack.Packer().pack
"""A value as msgpack. Raises TypeError, ValueError or OverflowError for what msgpack cannot spell.

One packer for all, used on the loop alone: making one costs as much as packing a small message. Of a value it keeps
nothing but the room that the longest one took.
"""


def unpack(payload: bytes) -> object:
    """The one value that fills `payload`. Sequences come as lists; raises ValueError or TypeError.

    Maps have text or bytes keys, extension types are refused, no length exceeds what could fit.
    """
    limit = len(payload)  # no string or collection can be longer than what carries it
    if limit > FRAME_BYTES_MAX:
        raise ValueError(f"{limit} bytes exceed the limit of {FRAME_BYTES_MAX}")
    return cast(
        "object",
        _msgpack.unpackb(
            payload,
            raw=False,
            strict_map_key=True,
            max_str_len=limit,
            max_bin_len=limit,
            max_array_len=limit,
            max_map_len=limit // 2,
            max_ext_len=0,
        ),
    )
