"""Whether a call that came to nothing is sent again, as a decision over values.

Knows: what did not start may be sent elsewhere, always; what may have started is repeated only when its method is
       idempotent, inside the deadline and the budget.
Never: clocks, sleeping, endpoints' loads; the jitter is passed in.
Paper: Dean, Barroso, "The Tail at Scale" (2013), for the budget; full jitter as in Brooker (2015).
"""

from __future__ import annotations

import enum
from collections.abc import Set as AbstractSet

import attrs

from aether.invocation.reply import NO_ROOM, Abandoned, NotStarted
from aether.model.ids import InstanceId
from aether.model.limits import RETRY_BACKOFF_MAX_S, RETRY_BACKOFF_MIN_S


class Verdict(enum.StrEnum):
    """Why a call is given up."""

    OUTCOME_UNKNOWN = "outcome unknown"
    NO_INSTANCE = "no instance"
    OVERLOADED = "overloaded"


@attrs.frozen
class Repeat:
    """Send it again after `after_s` seconds, not to any of `exclude`."""

    after_s: float
    exclude: frozenset[InstanceId]


@attrs.frozen
class GiveUp:
    verdict: Verdict


@attrs.frozen(kw_only=True)
class Try:
    """One try that came to nothing, and what is left.

    failure      NotStarted, or Abandoned when it may have run in part
    tried        the instance it was sent to; excluded  those that are out already
    others       endpoints that are neither `tried` nor excluded
    attempt      1 for the first; time_left_s  until the deadline
    budget_left  whether the retry budget allows a repeat; jitter  uniform in [0, 1)
    all_full     every try so far was refused for want of room or time
    """

    failure: NotStarted | Abandoned
    tried: InstanceId
    excluded: AbstractSet[InstanceId] = frozenset()
    others: int = 0
    attempt: int = 1
    time_left_s: float
    idempotent: bool = False
    budget_left: bool = True
    jitter: float = 0.5
    all_full: bool = False


def backoff_s(attempt: int, jitter: float) -> float:
    """Seconds before try `attempt + 1`: exponential from RETRY_BACKOFF_MIN_S, capped; jitter over its upper half."""
    ceiling = min(RETRY_BACKOFF_MAX_S, RETRY_BACKOFF_MIN_S * float(1 << min(attempt - 1, 16)))
    return ceiling * (0.5 + jitter / 2)


def decide_retry(now: Try) -> Repeat | GiveUp:
    """What to do after `now`. A NotStarted never costs budget; an Abandoned that is repeated costs one."""
    if isinstance(now.failure, NotStarted):
        return _after_not_started(now)
    return _after_abandoned(now)


def _after_not_started(now: Try) -> Repeat | GiveUp:
    no_room = now.all_full and now.failure.reason in NO_ROOM
    if now.time_left_s <= 0:
        return GiveUp(Verdict.OVERLOADED if no_room else Verdict.NO_INSTANCE)
    if now.others:
        return Repeat(0.0, frozenset(now.excluded) | {now.tried})
    if no_room:
        return GiveUp(Verdict.OVERLOADED)  # everybody said so: waiting here would only move the queue
    # Everybody was asked once. Ask all again later: a drained instance's successor may be there by then.
    return Repeat(min(backoff_s(now.attempt, now.jitter), now.time_left_s), frozenset())


def _after_abandoned(now: Try) -> Repeat | GiveUp:
    after_s = backoff_s(now.attempt, now.jitter)
    if not now.idempotent or not now.budget_left or after_s >= now.time_left_s:
        return GiveUp(Verdict.OUTCOME_UNKNOWN)
    exclude = frozenset(now.excluded) | {now.tried} if now.others else frozenset[InstanceId]()
    return Repeat(after_s, exclude)
