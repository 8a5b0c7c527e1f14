"""Shares of the traffic of two versions, as people write them.

Knows: `new:old`; the bounds of a part.
Never: what a share is for.
"""

from __future__ import annotations

import re

from aether.errors import BadInput
from aether.model.limits import TRAFFIC_PARTS_MAX


def parse_ratio(text: str) -> tuple[int, int]:
    """`new:old` as parts of the traffic. Raises BadInput."""
    match = re.fullmatch(r"\s*(\d{1,9})\s*:\s*(\d{1,9})\s*", text, re.ASCII)
    if match is None:
        raise BadInput(f"{text[:40]!r} is no ratio", ("routing: write new:old as two whole numbers, such as 1:3",))
    return check_parts(int(match[1]), int(match[2]))


def check_parts(new: int, old: int) -> tuple[int, int]:
    """Raises BadInput unless both are parts of some traffic."""
    for name, weight in (("newWeight", new), ("oldWeight", old)):
        if type(weight) is not int or not 0 <= weight <= TRAFFIC_PARTS_MAX:
            problem = f"{name}: {weight!r:.40} is no whole number of parts from 0 to {TRAFFIC_PARTS_MAX}"
            raise BadInput("the shares do not fit", (problem,))
    if new == old == 0:
        raise BadInput("the shares do not fit", ("routing: 0:0 gives nobody any traffic; one must be above 0",))
    return new, old
