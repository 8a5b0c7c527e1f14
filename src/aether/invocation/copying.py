"""A co-located call that looks like a remote one.

Knows: msgpack, with the limits of the wire: text keys, no extension types.
Never: what the values mean.
"""

from __future__ import annotations

import msgpack


def over_msgpack(plain: object) -> object:
    """`plain` as it would arrive on another node. Raises TypeError, ValueError or OverflowError when it could not."""
    copied: object = msgpack.unpackb(msgpack.packb(plain), strict_map_key=True)
    return copied
