"""How many ACTIVE instances of a slice may be taken away now.

Knows: `min_available` as number or percent, of how many it is meant.
Never: who asks (drain, update, scaler, rebalancing, chaos), which instance goes, what replaces it.
Holds: never more is needed than is wanted, so that scaling down always ends; a text that cannot be read protects all.
"""

from __future__ import annotations

from collections.abc import Iterable

from aether.model.lifecycle import SliceState
from aether.model.rows import DesiredRow, InstanceRow

_WHOLE = 100


def needed(min_available: str, wanted: int) -> int:
    """How many of `wanted` instances must stay ACTIVE: of "2" two, of "60%" that share rounded up, of "" none."""
    if not min_available:
        return 0
    text = min_available.strip()
    digits = text.removesuffix("%").strip()
    if not (digits.isascii() and digits.isdigit()):
        return wanted
    number = int(digits)
    return min(wanted, -(-wanted * number // _WHOLE) if text.endswith("%") else number)


def wanted_in_all(desired: DesiredRow) -> int:
    """Instances of both versions; of a singleton one at most."""
    both = desired.instances + (desired.beside_instances if desired.beside is not None else 0)
    return min(both, 1) if desired.singleton else both


def spare(rows: Iterable[InstanceRow], desired: DesiredRow) -> int:
    """How many ACTIVE ones among `rows` may go at once, if nothing takes their place first.

    rows  of the one slice; leave out those on members that do not answer
    """
    active = sum(row.state is SliceState.ACTIVE for row in rows)
    return max(0, active - needed(desired.min_available, wanted_in_all(desired)))
