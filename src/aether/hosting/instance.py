"""One running slice instance in this process.

Knows: its object, lifespan, background tasks, slots; what a call needs from decoding to encoding.
Never: why it should run; it does not restart itself.
Holds: the lifespan is entered before the first call and left after the last, by the same task; the nursery given to
       it is the instance's own. Order at stop: refuse, drain, background tasks, lifespan, nursery.
"""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Awaitable, Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final, cast

import trio

from aether.errors import BadInput, OutcomeUnknown, TryAgain
from aether.hosting.arguments import decoded, encoder
from aether.hosting.chain import Chain
from aether.hosting.failures import Place, failure_of, refusal_of
from aether.hosting.slots import Slots
from aether.hosting.streams import StreamServing
from aether.invocation.local import Around, Ran, RanAtOnce
from aether.invocation.proxy import failed_error, fault_error
from aether.invocation.reply import DRAINING, FULL, Done, Failed, Faulted, Form, NotStarted, Reply, TimedOut
from aether.invocation.streaming import InputStream, ServedSink
from aether.model.limits import CLEANUP_S, STREAMS_PER_INSTANCE_MAX
from aether.slice_api.codec import Form as CodecForm
from aether.slice_api.contract import Contract
from aether.slice_api.current import NORMAL, RUNNING
from aether.slice_api.decorators import attach_runner
from aether.slice_api.faults import leaving
from aether.slice_api.http import HttpInput
from aether.slice_api.http_exchange import whole_answer
from aether.slice_api.methods import MethodSpec
from aether.slice_api.suspending import never_suspends, returned
from aether.work import LimitedWork, Work

_log = logging.getLogger("aether.hosting")

AT_ONCE_S: Final = 0.001  # a method that computes for longer lets other tasks run before it
IGNORED_MAX: Final = 64  # unknown arguments that are said in the log

NOT_READY: Final = "not started"
STOPPED: Final = "stopped"


class RunningInstance:
    """Implements LocalInstance. `live` is its life; everything else is called from other tasks of the loop."""

    def __init__(
        self,
        instance: object,
        contract: Contract,
        place: Place,
        work: Work,
        drain_s: float,
        chain: Chain | None = None,
    ) -> None:
        self._instance: Any = instance
        self._chain = chain
        self._contract = contract
        self._place = place
        self._version = str(contract.artifact.version) if contract.artifact is not None else ""
        self._drain_s = drain_s
        self._slots = Slots(contract.options.concurrency, contract.options.queue)
        self._calls: set[trio.CancelScope] = set()
        self._streams = 0
        self._prompt = {} if chain is not None else _prompt(contract)
        self._refusal = NOT_READY
        self._ignored: dict[str, None] = {}
        self._stop = trio.Event()
        self._empty: trio.Event | None = None
        attach_runner(instance, LimitedWork(work, contract.options.concurrency).run)

    @property
    def name(self) -> str:
        return self._contract.name

    @property
    def contract(self) -> Contract:
        return self._contract

    @property
    def running(self) -> int:
        """Calls and streams that run now."""
        return len(self._calls)

    @property
    def waiting(self) -> int:
        """Calls that wait for a slot."""
        return self._slots.waiting

    # --- life ---------------------------------------------------------------------------------------------------------

    async def live(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Start, serve until `stop`, drain, stop. `started()` once it serves. Raises what user code raised."""
        async with trio.open_nursery() as nursery:
            async with self._lifespan(nursery), trio.open_nursery() as background:
                for name in self._contract.backgrounds:
                    background.start_soon(getattr(self._instance, name), name=f"{self.name}.{name}")
                try:
                    if not self._stop.is_set():
                        self._refusal = ""
                    task_status.started()
                    await self._stop.wait()
                    await self._drain()
                finally:  # also when a background task or the lifespan's nursery crashed
                    self._refuse(STOPPED)
                    self._cut_off("its instance failed")
                background.cancel_scope.cancel()
            nursery.cancel_scope.cancel()

    def stop(self) -> None:
        """Refuse new calls and begin to drain. Never blocks; `live` returns when all is over."""
        self._refuse(DRAINING)
        self._stop.set()

    def _lifespan(self, nursery: trio.Nursery) -> contextlib.AbstractAsyncContextManager[None]:
        spec = self._contract.lifespan
        if spec is None:
            return contextlib.nullcontext()
        function = contextlib.asynccontextmanager(getattr(self._instance, spec.name))
        return function(nursery) if spec.wants_nursery else function()

    async def _drain(self) -> None:
        self._empty = trio.Event()
        if self._calls:
            with trio.move_on_after(self._drain_s):
                await self._empty.wait()
        self._cut_off("its instance stops")
        if self._calls:  # what they clean up may need what the lifespan holds
            with trio.move_on_after(CLEANUP_S):
                await self._empty.wait()

    def _refuse(self, reason: str) -> None:
        self._refusal = self._refusal or reason
        self._slots.refuse_waiting(self._refusal)

    def _cut_off(self, reason: str) -> None:
        for scope in self._calls:
            scope.cancel(reason)

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stop.is_set()

    # --- calls --------------------------------------------------------------------------------------------------------

    async def serve(
        self, method: str, payload: object, form: Form, scope: trio.CancelScope, around: Around | None = None
    ) -> Ran:
        """One call, as LocalInstance promises."""
        if self._refusal:
            return NotStarted(self._refusal)
        spec = self._contract.methods.get(method)
        if spec is None:
            return self._unknown(method)
        if spec.stream or spec.inputs:
            return self._unknown(method, "as a call; it is a stream, which is opened: `async with aether.stream(...)`")
        return await self._outcome(spec, form, scope, functools.partial(self._run, spec, payload, form, around))

    def awaits_nothing(self, method: str) -> bool:
        """As LocalInstance promises."""
        return method in self._prompt

    def serve_at_once(self, method: str, payload: object, form: Form, began: float) -> RanAtOnce:
        """One call of a method that awaits nothing, as LocalInstance promises."""
        spec = self._prompt.get(method)
        if spec is None or self._refusal:
            return None
        try:
            function: Any = getattr(self._instance, method)
        except Exception:  # noqa: BLE001 - `serve` makes an outcome of it
            return None
        if getattr(function, "__func__", None) is not spec.function or not self._slots.try_brief(method, AT_ONCE_S):
            return None
        try:
            try:
                arguments, encode, _ = self._read(spec, payload, form)
            except BadInput as error:
                return refusal_of(error)
            return Done(encode(returned(function(**arguments))))
        except Exception as error:  # noqa: BLE001 - whatever a method raises is an outcome of the call
            return self._failure(error, spec, form)
        finally:
            now = trio.current_time()
            self._slots.give_back(method, now - began, now)

    async def serve_stream(
        self,
        method: str,
        payload: object,
        form: Form,
        scope: trio.CancelScope,
        sink: ServedSink,
        inputs: Mapping[str, InputStream],
    ) -> Ran:
        """One stream, or one call that takes some, as LocalInstance promises."""
        if self._refusal:
            return NotStarted(self._refusal)
        spec = self._contract.methods.get(method)
        if spec is None:
            return self._unknown(method)
        if spec.stream and self._streams >= STREAMS_PER_INSTANCE_MAX:
            return NotStarted(FULL, STREAMS_PER_INSTANCE_MAX)
        serving = StreamServing(
            self._bound, spec, payload, form, sink, inputs, self._version, functools.partial(self._ended_input, method)
        )
        self._streams += spec.stream
        try:
            return await self._outcome(spec, form, scope, serving.run)
        finally:
            self._streams -= spec.stream

    def _ended_input(self, method: str, reply: Reply) -> BaseException:
        """For a method that reads a stream that its caller handed on."""
        if isinstance(reply, Faulted):
            return fault_error(self._contract, method, reply.fault)
        return trio.TooSlowError() if isinstance(reply, TimedOut) else failed_error(reply)

    async def _outcome(
        self, spec: MethodSpec, form: Form, scope: trio.CancelScope, run: Callable[[], Awaitable[Ran]]
    ) -> Ran:
        """What came of `run` in a slot of this instance; a stream takes none."""
        try:
            with scope:
                if not (spec.stream or self._slots.try_take()):
                    running = RUNNING.get()
                    refusal = await self._slots.take(NORMAL if running is None else running.priority, spec.name)
                    if refusal is not None:
                        return refusal
                    if self._refusal:  # `stop` came between the call's turn and this line, and the drain saw no call
                        self._slots.give_back()
                        return NotStarted(self._refusal)
                self._calls.add(scope)
                began = trio.current_time()
                try:
                    return await run()
                finally:
                    self._ended(scope, spec, began)
        except Exception as error:  # noqa: BLE001 - whatever a method raises is an outcome of the call
            return self._failure(error, spec, form)
        except BaseExceptionGroup as group:
            raise _cancelled_alone(group) from None
        return None

    def _failure(self, error: Exception, spec: MethodSpec, form: Form) -> Faulted | Failed:
        """The outcome for what left a method. Raises trio.TooSlowError, which is none."""
        if isinstance(leaving(error), trio.TooSlowError):
            raise leaving(error) from None
        spelling = spec.form if form is Form.HTTP else CodecForm.JSON
        running = RUNNING.get()
        request_id = "" if running is None else running.request_id
        failure = failure_of(error, self._place, spec.name, spelling, request_id)
        if isinstance(failure, Failed):
            what = f"{self._place.slice}.{spec.name} (instance {self._place.instance}, request {request_id})"
            if isinstance(failure.original, TryAgain | OutcomeUnknown):
                _log.warning("%s stopped half-way: %s", what, error)
            else:
                _log.error("%s raised", what, exc_info=failure.original)
        return failure

    def _say_ignored(self, spec: MethodSpec, unknown: AbstractSet[str]) -> None:
        """Once for each argument that callers of a newer contract give, and this version does not know."""
        for name in unknown - self._ignored.keys():
            if len(self._ignored) < IGNORED_MAX:
                self._ignored[name] = None
                _log.warning("%s.%s ignores %r, which callers of a newer version give", self.name, spec.name, name)

    def _ended(self, scope: trio.CancelScope, spec: MethodSpec, began: float) -> None:
        self._calls.discard(scope)
        if not spec.stream:
            now = trio.current_time()
            self._slots.give_back(spec.name, None if spec.inputs else now - began, now)
        if self._empty is not None and not self._calls:
            self._empty.set()

    async def _run(self, spec: MethodSpec, payload: object, form: Form, around: Around | None) -> Ran:
        try:
            arguments, encode, request = self._read(spec, payload, form)
        except BadInput as error:
            return refusal_of(error)
        method = self._bound(spec, request)
        if around is not None:
            contained = functools.partial(self._contained, spec, functools.partial(method, **arguments), form, encode)
            return await around(spec, contained)
        return Done(encode(await method(**arguments)))

    def _read(
        self, spec: MethodSpec, payload: object, form: Form
    ) -> tuple[dict[str, Any], Callable[[Any], Any], HttpInput | None]:
        """The arguments, what the result is encoded by, and the request that the call came by. Raises BadInput."""
        if form is Form.HTTP:
            request = HttpInput.from_plain(payload)
            plan = spec.plan_of(request)
            return plan.decode(request), functools.partial(whole_answer, spec, plan, request, self._version), request
        arguments = decoded(spec, payload, form)
        given = cast("dict[str, object]", payload)  # or it would not have been decoded
        if len(given) > len(arguments):
            self._say_ignored(spec, given.keys() - arguments.keys())
        return arguments, encoder(spec, form), None

    def _bound(self, spec: MethodSpec, request: HttpInput | None) -> Callable[..., Any]:
        """The method of the instance, inside the node's middleware."""
        method: Callable[..., Any] = getattr(self._instance, spec.name)
        return method if self._chain is None else self._chain.around(spec, method, request)

    async def _contained(
        self, spec: MethodSpec, method: Callable[[], Awaitable[Any]], form: Form, encode: Callable[[Any], Any]
    ) -> Done | Faulted | Failed:
        """The method, with what it raises as an outcome."""
        try:
            return Done(encode(await method()))
        except Exception as error:  # noqa: BLE001 - whatever a method raises is an outcome of the call
            return self._failure(error, spec, form)

    def _unknown(self, method: str, how: str = "") -> Failed:
        return Failed(
            kind="NotInContract",
            message=f"{self._contract.name} {self._contract.artifact} has no method {method!r} {how}".rstrip(),
            slice=self._place.slice,
            method=method,
            instance=self._place.instance,
            node=self._place.node,
        )


def _prompt(contract: Contract) -> dict[str, MethodSpec]:
    """Methods whose calls end in one step, by name."""
    return {
        name: spec
        for name, spec in contract.methods.items()
        if not (spec.stream or spec.inputs or spec.blocking) and never_suspends(spec.function)
    }


def _cancelled_alone(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Of cancellation mixed with errors, the cancellation: the caller that waited for an outcome is gone."""
    cancelled, _ = group.split(trio.Cancelled)
    return group if cancelled is None else cancelled
