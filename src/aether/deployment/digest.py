"""What an instance was started with beside its code, as a short text.

Knows: which fields of a desired row an instance sees when it starts.
Never: whether it must be started anew (reconcile compares).
Holds: equal wishes give equal texts, in every process.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

from aether.model.rows import DesiredRow

_BYTES: Final = 6  # two wishes of one slice that share a digest are one chance in 2.8e14


def started_with(desired: DesiredRow) -> str:
    """Digest of config, bindings, host and memory limit."""
    seen = (sorted(desired.config.items()), sorted(desired.bind.items()), desired.host, desired.memory_mb)
    return blake2b(repr(seen).encode(), digest_size=_BYTES).hexdigest()
