"""The answer to one request, as sessions keep it and snapshots spell it.

Knows: decided batches and refusals.
Never: the errors a caller sees (the service raises them).
"""

from __future__ import annotations

import enum
from typing import TypeAlias, cast

import attrs

from aether.kv.commands import BatchResult
from aether.model.ids import Revision


class RefusedBy(enum.IntEnum):
    """Why the store did nothing. Numbers are part of the snapshot format and never reused."""

    QUOTA = 1
    MALFORMED = 2
    EXPIRED = 3  # the session is unknown; never kept as an answer
    FULL = 4  # too far ahead of what the session acknowledged; never kept
    STALE = 5  # below what the session acknowledged; never kept


@attrs.frozen
class Refused:
    """Nothing was changed. `what`, `limit`, `unit` are the facts of a quota; `what` says what is malformed."""

    by: RefusedBy
    what: str = ""
    limit: int = 0
    unit: str = ""


Outcome: TypeAlias = BatchResult | Refused


def encode_outcome(outcome: Outcome) -> tuple[object, ...]:
    """[0, revision, conflict] or [1, by, what, limit, unit]."""
    if isinstance(outcome, BatchResult):
        return (0, outcome.revision, outcome.conflict)
    return (1, int(outcome.by), outcome.what, outcome.limit, outcome.unit)


def decode_outcome(plain: object) -> Outcome:
    """Raises ValueError."""
    match plain:
        case (0, int(revision), None | str()):
            conflict = cast("tuple[int, int, str | None]", plain)[2]
            return BatchResult(conflict is None, Revision(revision), conflict)
        case (1, int(by), str(what), int(limit), str(unit)):
            return Refused(RefusedBy(by), what, limit, unit)
        case _:
            raise ValueError(f"{plain!r} is no outcome")
