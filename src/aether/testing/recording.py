"""What was called, with what, and what came of it.

Knows: fakes and clusters in memory, which keep a record of their calls.
Never: assertions; tests compare.
Holds: at most RECORDED_MAX calls are kept, the newest ones.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Final

import attrs

from aether.slice_api.misfit import show

RECORDED_MAX: Final = 10_000
RECORD: Final = "__aether_recorded__"


@attrs.define(eq=False)
class RecordedCall:
    """One call; `str()` of it is `Pricing.quote(sku='tea', qty=2)`.

    owner      name of the called slice or Protocol; method  of it
    arguments  those that the caller gave, by name
    by         the method that made the call, `Orders.place`; "" for the test itself, and for calls to a fake
    result     what was returned; None while it runs, of a stream, and after an error
    error      what was raised; None otherwise
    """

    owner: str
    method: str
    arguments: Mapping[str, object]
    by: str = ""
    result: object = None
    error: BaseException | None = None

    @property
    def name(self) -> str:
        """`Pricing.quote`."""
        return f"{self.owner}.{self.method}"

    def __str__(self) -> str:
        given = ", ".join(f"{name}={_shown(value)}" for name, value in self.arguments.items())
        return f"{self.name}({given})"


class Record:
    """The calls of one fake or cluster, oldest first."""

    def __init__(self) -> None:
        self.calls: deque[RecordedCall] = deque(maxlen=RECORDED_MAX)

    def add(self, call: RecordedCall) -> RecordedCall:
        self.calls.append(call)
        return call


def recorded(source: object) -> tuple[RecordedCall, ...]:
    """The calls made to a fake, or by anybody in a MemoryCluster, oldest first. Raises TypeError for anything else."""
    record = getattr(source, RECORD, None) if RECORD in dir(type(source)) else None
    if not isinstance(record, Record):
        raise TypeError(f"{show(source)} records no calls; give a fake of aether.testing.fake, or a MemoryCluster")
    return tuple(record.calls)


def _shown(value: object) -> str:
    """As `repr`, short."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
