"""A co-located call that looks like a remote one.

Knows: msgpack, with the limits of the wire: text keys, no extension types.
Never: what the values mean.
"""

from __future__ import annotations

from typing import Any, Final, cast

import msgpack  # type: ignore[import-untyped]  # it has neither stubs nor a py.typed marker

_msgpack: Final = cast("Any", msgpack)


def over_msgpack(plain: object) -> object:
    """`plain` as it would arrive on another node. Raises TypeError, ValueError or OverflowError when it could not."""
    return cast("object", _msgpack.unpackb(_msgpack.packb(plain), strict_map_key=True))
