"""Plain data as bytes, and a co-located call that looks like a remote one.

Knows: msgpack, with the limits of the wire: text keys, no extension types.
Never: what the values mean.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

import msgpack

from aether.errors import BadInput

_msgpack: Final = cast("Any", msgpack)
_MALFORMED: Final = (ValueError, TypeError)


def over_msgpack(plain: object) -> object:
    """`plain` as it would arrive on another node. Raises TypeError, ValueError or OverflowError when it could not."""
    copied: object = _msgpack.unpackb(_msgpack.packb(plain), strict_map_key=True)
    return copied


pack: Final[Callable[[object], bytes]] = _msgpack.Packer().pack
"""Plain data as msgpack. Raises TypeError, ValueError or OverflowError for what it cannot spell.

One packer for all: making one costs as much as packing a small item. It keeps nothing from one item to the next.
"""


def unpack(body: bytes) -> object:
    """The one value in `body`, which came from another node. Raises BadInput.

    msgpack bounds every length by that of `body`, which a frame bounds.
    """
    try:
        return cast("object", _msgpack.unpackb(body, strict_map_key=True, max_ext_len=0))
    except _MALFORMED as error:
        raise BadInput("malformed item of a stream", (str(error),)) from error
