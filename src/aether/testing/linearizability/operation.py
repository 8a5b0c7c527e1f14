"""One operation of one client, as that client saw it.

Knows: what was asked, when, and what came of it.
Never: what an operation means (models).
Holds: an operation that was answered returned no earlier than it was called.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Hashable

import attrs


class Outcome(enum.StrEnum):
    """What a client may believe after its operation.

    FAILED is a promise of the system that nothing happened and nothing will; whoever is not sure says UNKNOWN.
    """

    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"


def _end(returned: float | None) -> float:
    return math.inf if returned is None else returned


@attrs.frozen(kw_only=True)
class Operation:
    """What `process` asked of `key`.

    kind, argument, result  as the model defines them; hashable, plain values; result only matters when ok
    called, returned        on one clock for all processes; None = never returned; an UNKNOWN one may take effect at
                            any time after its call, whenever its client gave up
    """

    process: str
    key: str
    kind: str
    argument: Hashable = None
    result: Hashable = None
    called: float
    returned: float = attrs.field(default=None, converter=_end)
    outcome: Outcome = Outcome.OK

    def __attrs_post_init__(self) -> None:
        assert self.called <= self.returned, f"{self} returned before it was called"
        assert self.outcome is not Outcome.OK or self.returned < math.inf, f"{self} is ok and never returned"

    def __str__(self) -> str:
        asked = self.kind if self.argument is None else f"{self.kind} {self.argument!r}"
        came = f"-> {self.result!r}" if self.outcome is Outcome.OK else self.outcome.value
        end = "..." if self.returned == math.inf else f"{self.returned:.6f}"
        return f"{self.process:<10} {self.called:.6f} .. {end:<12} {asked} {came}"
