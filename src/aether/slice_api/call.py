"""How one call should be made, beyond its arguments: `aether.call(fn, key=...)(...)`.

Knows: the options of a call, and how a method of a proxy takes them: the proxy makes a twin that carries them.
Never: what an option does (room invocation); a method of a plain object ignores them, so that unit tests need nothing.
Holds: a call without options pays nothing for them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final, Literal, ParamSpec, TypeAlias, TypeVar

import attrs

from aether.errors import BadInput
from aether.model.limits import IDEMPOTENCY_KEY_CHARS_MAX

P = ParamSpec("P")
R = TypeVar("R")

Percentile: TypeAlias = Literal["p50", "p90", "p95", "p99"]
Priority: TypeAlias = Literal["low", "normal", "high"]

PERCENTILES: Final = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
PRIORITIES: Final = ("low", "normal", "high")


def _problems(options: CallOptions) -> list[str]:
    problems: list[str] = []
    for name in ("key", "affinity_key"):
        text: object = getattr(options, name)
        if not isinstance(text, str):
            problems.append(f"{name}: expected text, got {text!r:.40}")
        elif len(text) > IDEMPOTENCY_KEY_CHARS_MAX:
            problems.append(f"{name}: {len(text)} characters; at most {IDEMPOTENCY_KEY_CHARS_MAX} are kept")
    if options.priority is not None and options.priority not in PRIORITIES:
        problems.append(f"priority: {options.priority!r:.40} is none of {', '.join(PRIORITIES)}")
    if not _fits(options.hedge_after):
        problems.append(
            f"hedge_after: {options.hedge_after!r:.40} is neither seconds nor one of {', '.join(PERCENTILES)}"
        )
    return problems


def _fits(after: object) -> bool:
    if isinstance(after, int | float) and not isinstance(after, bool):
        return 0 < after < math.inf
    return after is None or (isinstance(after, str) and after in PERCENTILES)


@attrs.frozen(kw_only=True)
class CallOptions:
    """The caller's wishes for one call.

    key           idempotency key: one answer for all calls of the method with this key, whichever instance they reach
    hedge_after   ask a second instance when the first has not answered after so many seconds, or after that share of
                  recent calls would have been answered; only idempotent methods
    priority      which calls go first, and are refused last, when an instance is full
    affinity_key  calls with the same key prefer the same instance
    balancer      chooses the instance instead of the node's own (a Balancer)
    one_way       wait for acceptance only; every  call each instance
    """

    key: str = ""
    hedge_after: float | Percentile | None = None
    priority: Priority | None = None
    affinity_key: str = ""
    balancer: object | None = None
    one_way: bool = False
    every: bool = False

    def __attrs_post_init__(self) -> None:
        problems = tuple(_problems(self))
        if problems:
            raise BadInput("the options of a call do not fit", problems)


PLAIN: Final = CallOptions()


def call(
    fn: Callable[P, R],
    /,
    *,
    key: str = "",
    hedge_after: float | Percentile | None = None,
    priority: Priority | None = None,
    affinity_key: str = "",
    balancer: object | None = None,
) -> Callable[P, R]:
    """`fn`, a method of a slice or a Protocol, with options for the calls made through what is returned.

    `await aether.call(self.payment.charge, key=order_id)(customer, total)`; what each option does is said at
    CallOptions. On a plain object, as in a unit test, they have no effect. Raises BadInput when one does not fit.
    """
    options = CallOptions(
        key=key, hedge_after=hedge_after, priority=priority, affinity_key=affinity_key, balancer=balancer
    )
    return with_options(fn, options)


def with_options(fn: Callable[P, R], options: CallOptions) -> Callable[P, R]:
    """`fn` of a proxy's twin that carries `options` over those it has; `fn` itself when it is no method of a proxy."""
    if not callable(fn):
        raise TypeError(f"{fn!r:.80} cannot be called; pass the method itself, and its arguments to what is returned")
    carries: Callable[[CallOptions], Any] | None = getattr(getattr(fn, "__self__", None), "__aether_with__", None)
    if carries is None:
        return fn
    bound: Callable[P, R] = getattr(carries(options), fn.__name__)
    return bound


def merged(below: CallOptions, above: CallOptions) -> CallOptions:
    """`below` with everything that `above` says."""
    said = {f.name: getattr(above, f.name) for f in attrs.fields(CallOptions) if getattr(above, f.name) != f.default}
    return attrs.evolve(below, **said)
