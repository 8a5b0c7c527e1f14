"""How one call should be made, beyond its arguments: `aether.call(fn, key=...)(...)`.

Knows: the options of a call, and how a method of a proxy takes them: the proxy makes a twin that carries them.
Never: what an option does (room invocation); a method of a plain object ignores them, so that unit tests need nothing.
Holds: a call without options pays nothing for them.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Final, Generic, Literal, ParamSpec, TypeAlias, TypeVar, cast

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
    if options.balancer is not None and not callable(getattr(options.balancer, "pick", None)):
        problems.append(f"balancer: {options.balancer!r:.40} has no `pick`; give an object that is an aether.Balancer")
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

    @property
    def wants_no_result(self) -> bool:
        """Whether the caller does not get the result of one instance."""
        return self.one_way or self.every

    def __attrs_post_init__(self) -> None:
        problems = tuple(_problems(self))
        if problems:
            raise BadInput("the options of a call do not fit", problems)


PLAIN: Final = CallOptions()

_OF_CALLS_ALONE: Final = ("key", "hedge_after", "one_way", "every")


def check_stream_options(where: str, options: CallOptions) -> None:
    """Raises BadInput for an option that promises what nobody keeps of a stream, or of a method that takes some."""
    said = [name for name in _OF_CALLS_ALONE if getattr(options, name) != getattr(PLAIN, name)]
    if said:
        raise BadInput(
            f"{where} gives or takes a stream, which is opened once, at one instance",
            tuple(f"{name}: is for calls alone; leave it out" for name in said),
        )


@attrs.frozen
class Answers(Generic[R]):
    """What `aether.each` heard, by instance id: `results` of those that answered, `failures` of the others.

    A failure is the exception that a call to that instance alone would have raised: a Fault, CallFailed, NoInstance
    when it did not take the call, OutcomeUnknown when it was lost while it ran, trio.TooSlowError when it runs still.
    """

    results: Mapping[str, R]
    failures: Mapping[str, Exception]


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


def send(fn: Callable[P, Awaitable[object]], /, *, key: str = "") -> Callable[P, Coroutine[Any, Any, None]]:
    """`fn` as a one-way call: `await aether.send(self.mail.deliver)(letter)` returns once the call runs.

    It is refused, queued and tried elsewhere as any call is, until an instance runs it; then nobody waits for it: not
    its caller, whose going does not cancel it, and not its result. It may run as long as the default deadline of the
    method says, and a drain waits for it. What it raises is logged where it runs. A crash after acceptance loses it.

    On a plain object, as in a unit test, the method runs in place, and what it raises is raised.
    """
    oneway = with_options(fn, CallOptions(key=key, one_way=True))

    async def sent(*args: P.args, **kwargs: P.kwargs) -> None:
        await oneway(*args, **kwargs)

    return sent


def each(fn: Callable[P, Awaitable[R]], /) -> Callable[P, Coroutine[Any, Any, Answers[R]]]:
    """`fn` as a call to every instance that takes calls: `await aether.each(self.cache.drop)(key)`.

    All are asked at once, each once. It returns before the deadline in force, with a time-out in the place of those
    that have not answered. Raises NoInstance when there is none. A plain object is asked alone, as instance "local".
    """
    broadcast: Any = with_options(fn, CallOptions(every=True))

    async def asked(*args: P.args, **kwargs: P.kwargs) -> Answers[R]:
        answer: Any = await _local(fn, args, kwargs) if broadcast is fn else await broadcast(*args, **kwargs)
        return cast("Answers[R]", answer)

    return asked


async def _local(fn: Callable[..., Awaitable[R]], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Answers[R]:
    try:
        return Answers({"local": await fn(*args, **kwargs)}, {})
    except Exception as error:  # noqa: BLE001 - it is listed, as over a cluster
        return Answers({}, {"local": error})


def with_options(fn: Callable[P, R], options: CallOptions) -> Callable[P, R]:
    """`fn` of a proxy's twin that carries `options` over those it has; `fn` itself when it is no method of a proxy."""
    if not callable(fn):
        if isinstance(fn, Coroutine):
            fn.close()  # it is of no use to anybody, and Python need not say so too
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
