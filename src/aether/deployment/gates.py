"""Whether a new version of a slice is well enough for its update to go on, as a decision over values.

Knows: thresholds for errors and latency, absolute and against the old version; the sample that a judgement needs.
Never: clocks, who counted the calls, what follows from the verdict.
Holds: GOOD is said of a sufficient sample only, BAD also when no further call could change it; more errors, or a
       longer p99, never make a version better. Errors and p99 must both be kept, by every threshold that is set.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import Final

import attrs

from aether.model.health import VersionHealth
from aether.model.rollout import Gates

NO_ACCOUNT_MS: Final = 1.0
"""Against the old version, a p99 that is longer by less than this says nothing: a cold cache takes as much."""


class Finding(enum.StrEnum):
    GOOD = "GOOD"
    BAD = "BAD"
    TOO_FEW = "TOO_FEW"


@attrs.frozen
class Verdict:
    """What was found, and why: in words, with the numbers."""

    finding: Finding
    reason: str


def judge(gates: Gates, old: VersionHealth, new: VersionHealth) -> Verdict:
    """How `new` did by `gates`, beside `old`, over the same time."""
    if not gates.are_set:
        return Verdict(Finding.GOOD, "no gate is set")
    sufficient = new.requests >= gates.requests_min
    problems = [*_errors(gates, old, new), *(_slowness(gates, old, new) if sufficient else ())]
    if problems:
        return Verdict(Finding.BAD, f"{'; '.join(problems)} ({_sample(old, new)})")
    if not sufficient:
        return Verdict(Finding.TOO_FEW, f"{new.requests} calls to the new version; {gates.requests_min} say enough")
    kept = f"errors {_percent(new.error_rate)}, p99 {new.p99_ms:.1f} ms"
    unequal = gates.against_old is not None and not _comparable(gates, old, new)
    beside = "; the old version had too few calls to compare with" if unequal else ""
    return Verdict(Finding.GOOD, f"{kept}{beside} ({_sample(old, new)})")


def _errors(gates: Gates, old: VersionHealth, new: VersionHealth) -> Iterator[str]:
    # As many good calls as the sample still lacks may follow; what is too much even then is too much now.
    rate = new.errors / max(new.requests, gates.requests_min)
    shown = f"{new.errors} of {new.requests} calls to the new version failed"
    if gates.error_rate is not None and rate > gates.error_rate:
        yield f"{shown}, {_percent(new.error_rate)}, and {_percent(gates.error_rate)} are allowed"
    # Of n calls without an error it cannot be told whether one in n fails.
    if _comparable(gates, old, new) and rate > _times(gates) * max(old.error_rate, 1 / old.requests):
        yield (
            f"{shown}, {_percent(new.error_rate)}, more than {_times(gates):g} times the old version's "
            f"{_percent(old.error_rate)}"
        )


def _slowness(gates: Gates, old: VersionHealth, new: VersionHealth) -> Iterator[str]:
    if gates.p99_ms is not None and new.p99_ms > gates.p99_ms:
        yield f"the new version's p99 is {new.p99_ms:.1f} ms, and {gates.p99_ms:g} ms are allowed"
    allowed_ms = max(_times(gates) * old.p99_ms, old.p99_ms + NO_ACCOUNT_MS)
    if _comparable(gates, old, new) and new.p99_ms > allowed_ms:
        yield (
            f"the new version's p99 is {new.p99_ms:.1f} ms, more than {_times(gates):g} times the old version's "
            f"{old.p99_ms:.1f} ms"
        )


def _times(gates: Gates) -> float:
    return 1.0 if gates.against_old is None else gates.against_old


def _comparable(gates: Gates, old: VersionHealth, new: VersionHealth) -> bool:
    return gates.against_old is not None and min(old.requests, new.requests) >= gates.requests_min


def _sample(old: VersionHealth, new: VersionHealth) -> str:
    return f"{new.requests} calls to the new version, {old.requests} to the old one"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
