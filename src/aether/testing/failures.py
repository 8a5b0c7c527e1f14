"""A test run once for each call that it makes and each way in which that call can fail.

Knows: clusters in memory, virtual time, the watch over their calls.
Never: seeds, chance: every call is lost once in every way, and the one that breaks the test is named.
Holds: at most `runs_max` runs, each of at most `run_s` virtual seconds.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final

import attrs
import trio
import trio.testing

from aether.errors import AetherError, BadInput
from aether.slice_api.binding import Binding
from aether.slice_api.contract import contract_of
from aether.slice_api.faults import leaves
from aether.testing.clusters import MemoryCluster, memory_cluster
from aether.testing.recording import RecordedCall
from aether.testing.watching import CallWatch, Loss, Spot

Body = Callable[[MemoryCluster], Awaitable[object]]

RUNS_MAX: Final = 1_000
RUN_S: Final = 60.0
SHOWN_MAX: Final = 10


@attrs.frozen
class Failures:
    """What `each_failure` did: the calls of the first run, in order, and how often the test ran."""

    calls: tuple[RecordedCall, ...]
    runs: int


@attrs.frozen(eq=False)
class Broken:
    """One failure that the test did not survive: the `number`-th call of the first run, from 1."""

    call: RecordedCall
    number: int
    loss: Loss
    error: BaseException

    def __str__(self) -> str:
        by = f", called by {self.call.by}" if self.call.by else ""
        lines = str(self.error).strip().splitlines()
        said = f"{type(self.error).__name__}: {lines[0]}" if lines else type(self.error).__name__
        return f"call {self.number}, {self.call}{by}: it {self.loss.value}\n    then {said}"


class BrokenByFailure(AssertionError):
    """Failures that broke the test, in the order of the calls; chained to the error of the first."""

    def __init__(self, broken: Sequence[Broken], of: int) -> None:
        self.broken: tuple[Broken, ...] = tuple(broken)
        shown = "\n".join(f"- {each}" for each in broken[:SHOWN_MAX])
        more = f"\n- and {len(broken) - SHOWN_MAX} more" if len(broken) > SHOWN_MAX else ""
        super().__init__(f"{len(broken)} of {of} failures break the test:\n{shown}{more}")


@attrs.frozen
class _Test:
    body: Body
    invariant: Body | None
    open_cluster: Callable[[], AbstractAsyncContextManager[MemoryCluster]]
    run_s: float


@attrs.define
class _Run:
    """What one run came to. error  what broke it; hit  whether the call that should fail was made"""

    calls: tuple[RecordedCall, ...] = ()
    error: BaseException | None = None
    hit: bool = False


def each_failure(
    slices: Sequence[type],
    body: Body,
    *,
    invariant: Body | None = None,
    nodes: int = 1,
    config: Mapping[str, object] | None = None,
    secrets: Mapping[str, object] | None = None,
    bind: Sequence[Binding] = (),
    runs_max: int = RUNS_MAX,
    run_s: float = RUN_S,
) -> Failures:
    """Run `await body(cluster)` once to learn which calls it leads to, then once for each call and way to lose it.

    slices     what each run's new cluster in memory runs, as for `memory_cluster`
    body       uses the slices, and asserts what must be true whatever was lost
    invariant  asserted when the body is over, with every call working; then the body need not catch what a lost call
               makes slices raise (an AetherError, Faults included, or trio.TooSlowError)
    runs_max   more are refused, before the second; run_s  virtual seconds for one run

    A call is lost in two ways that its caller cannot tell apart: it never arrived, or it was done and its reply was
    lost; the caller sees OutcomeUnknown, as after all repeats of the runtime. A call to an idempotent method is also
    done twice, which is what the runtime's repeat may come to. The calls of slices to each other are lost like those
    of the body itself; where the body lets the loss of its own call out, that run counts as passed.

    Call it from an ordinary `def` test: each run has its own event loop and virtual clock.
    Raises BrokenByFailure, an AssertionError that names each call which broke the test and how it was lost;
    what the body raises when nothing is lost; BadInput: too many runs, or a loop runs already.
    """
    if trio.lowlevel.in_trio_run():
        raise BadInput("each_failure inside a running loop", ("call it from an ordinary `def` test",))
    opened = functools.partial(memory_cluster, *slices, nodes=nodes, config=config, secrets=secrets, bind=bind)
    test = _Test(body, invariant, opened, run_s)
    first = _run(test, None, None)
    if first.error is not None:
        raise first.error
    plan = list(_plan(first.calls, _idempotent(slices)))
    if len(plan) >= runs_max:
        problem = f"{len(first.calls)} calls need {len(plan) + 1} runs; test less at once, or raise runs_max={runs_max}"
        raise BadInput("too many failures to try", (problem,))
    broken: list[Broken] = []
    for number, spot, loose, loss in plan:
        run = _run(test, spot, loss)
        if not run.hit:  # other arguments in each run, as random ids are: then by caller and name alone
            run = _run(test, loose, loss)
        error = run.error
        if not run.hit and error is None:
            error = AssertionError("the call was not made again: let the test do the same in every run")
        if error is not None:
            broken.append(Broken(first.calls[number], number + 1, loss, error))
    if broken:
        raise BrokenByFailure(broken, len(plan)) from broken[0].error
    return Failures(first.calls, len(plan) + 1)


def _idempotent(slices: Sequence[type]) -> frozenset[str]:
    specs = (spec for cls in slices for spec in contract_of(cls).methods.values())
    return frozenset(spec.where for spec in specs if spec.idempotent)


def _plan(calls: Sequence[RecordedCall], idempotent: frozenset[str]) -> Iterator[tuple[int, Spot, Spot, Loss]]:
    """(position, the call with its arguments, the call without, how it fails), for every run to make."""
    exact: Counter[tuple[str, str]] = Counter()
    alike: Counter[tuple[str, str]] = Counter()
    for number, call in enumerate(calls):
        spot = Spot(call.by, call.name, str(call), exact[call.by, str(call)])
        loose = spot.loosely(alike[call.by, call.name])
        exact[call.by, str(call)] += 1
        alike[call.by, call.name] += 1
        for loss in Loss:
            if loss is not Loss.DONE_TWICE or call.name in idempotent:
                yield number, spot, loose, loss


def _run(test: _Test, spot: Spot | None, loss: Loss | None) -> _Run:
    return trio.run(_body, test, spot, loss, clock=trio.testing.MockClock(autojump_threshold=0))


async def _body(test: _Test, spot: Spot | None, loss: Loss | None) -> _Run:
    run = _Run()
    async with test.open_cluster() as cluster:
        watch = cluster.watch
        watch.begin(spot, loss)
        error = await _error_of(test.body, cluster, test.run_s)
        run.calls, run.hit = tuple(watch.record.calls), watch.hit is not None
        accepted = error is None or (run.hit and _is_accepted(error, test, watch))
        watch.begin()
        if not accepted:
            run.error = error
        elif test.invariant is not None:
            run.error = await _error_of(test.invariant, cluster, test.run_s)
    return run


async def _error_of(part: Body, cluster: MemoryCluster, run_s: float) -> BaseException | None:
    """What `part` raised, a hang included; None when it passed."""
    with trio.move_on_after(run_s) as scope:
        try:
            await part(cluster)
        except BaseException as error:
            if not all(map(_is_failure, leaves(error))):
                raise
            return error
    return AssertionError(f"it did not end within {run_s:g} s") if scope.cancelled_caught else None


def _is_failure(error: BaseException) -> bool:
    """Of a test: neither Ctrl-C nor cancellation nor pytest.skip. What pytest.fail raises is no Exception."""
    return isinstance(error, Exception) or type(error).__name__ == "Failed"


def _is_accepted(error: BaseException, test: _Test, watch: CallWatch) -> bool:
    """Whether the body may let `error` out: with an invariant any error of a call, else the loss of its own call."""
    if test.invariant is not None:
        return all(isinstance(leaf, AetherError | trio.TooSlowError) for leaf in leaves(error))
    own = watch.hit is not None and watch.hit.by == ""
    return own and all(leaf is watch.injected for leaf in leaves(error))
