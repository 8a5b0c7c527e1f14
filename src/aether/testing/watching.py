"""Calls in a cluster of a test: each is recorded, and one of them may be lost on purpose.

Knows: the Invoker's ways to call, contracts of the slices under test.
Never: which call should be lost (module `failures` decides).
Holds: a failure is what the caller sees after all repeats of the runtime: OutcomeUnknown, whatever happened.
"""

from __future__ import annotations

import enum
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

import attrs
import trio

from aether.errors import AetherError, OutcomeUnknown
from aether.hosting.arguments import decoded
from aether.invocation.reply import Done, Failed, Faulted, Form, Outcome, Reply, TimedOut
from aether.invocation.service import Invoker
from aether.invocation.streaming import OpenStream
from aether.model.artifact import ArtifactBase
from aether.model.ids import InstanceId
from aether.slice_api.call import PLAIN
from aether.slice_api.contract import Contract
from aether.slice_api.current import RUNNING
from aether.slice_api.http import HttpInput
from aether.testing.recording import Record, RecordedCall


class Loss(enum.Enum):
    """How a call fails. The caller cannot tell the first two apart."""

    NEVER_ARRIVED = "never arrived"
    REPLY_LOST = "was done but its reply was lost"
    DONE_TWICE = "was done, its reply was lost, and it was done again"  # idempotent methods: what the runtime repeats


@attrs.frozen
class Spot:
    """One call of a run: the `number`-th, from 0, of those with the same caller, name and `arguments` (None: any)."""

    by: str
    name: str
    arguments: str | None
    number: int

    def loosely(self, number: int) -> Spot:
        """The same caller and name, with whatever arguments: the `number`-th of those."""
        return Spot(self.by, self.name, None, number)


class CallWatch:
    """What happens to the calls of one cluster, all its nodes together.

    record     every call since `begin`
    loss       how the call at `spot` fails; injected  the error that was raised for it, None so far
    """

    def __init__(self, contracts: Iterable[Contract]) -> None:
        self.record: Record = Record()
        self.spot: Spot | None = None
        self.loss: Loss | None = None
        self.hit: RecordedCall | None = None
        self.injected: OutcomeUnknown | None = None
        self._contracts: Mapping[ArtifactBase, Contract] = {
            contract.artifact.base: contract for contract in contracts if contract.artifact is not None
        }
        self._seen = 0

    def begin(self, spot: Spot | None = None, loss: Loss | None = None) -> None:
        """Forget what was recorded; from now on, the call at `spot` suffers `loss`."""
        self.record.calls.clear()
        self.spot, self.loss, self.hit, self.injected, self._seen = spot, loss, None, None, 0

    def arrived(self, target: ArtifactBase, method: str, payload: object, form: Form) -> RecordedCall:
        """Record a call that is about to be made."""
        running = RUNNING.get()
        contract = self._contracts.get(target)
        owner = str(target) if contract is None else contract.name
        arguments = _arguments(contract, method, payload, form)
        return self.record.add(
            RecordedCall(owner, method, arguments, "" if running is None or running.span is None else running.span.name)
        )

    def loses(self, call: RecordedCall) -> Loss | None:
        """How `call` fails, when it is the one."""
        spot = self.spot
        if spot is None or self.hit is not None or (call.by, call.name) != (spot.by, spot.name):
            return None
        if spot.arguments is not None and spot.arguments != str(call):
            return None
        self._seen += 1
        if self._seen <= spot.number:
            return None
        self.hit = call
        return self.loss

    def error(self, call: RecordedCall) -> OutcomeUnknown:
        """What the caller of a lost call sees."""
        self.injected = call.error = OutcomeUnknown(f"{call}: the connection was lost before an answer came")
        return self.injected

    def ended(self, target: ArtifactBase, call: RecordedCall, reply: Reply, form: Form) -> None:
        """Keep what came of `call`; of one that came over HTTP, what its answer is made of."""
        contract = self._contracts.get(target)
        match reply:
            case Done(payload):
                call.result = payload
                if contract is not None and call.method in contract.methods and form is Form.WIRE:
                    call.result = contract.methods[call.method].decode_result(payload)
            case Faulted(fault):
                call.error = None if contract is None else contract.decode_fault(fault)
                call.error = call.error or AetherError(f"{fault.name}: {fault.detail}")
            case Failed():
                call.error = reply.original or AetherError(f"{reply.kind}: {reply.message}")
            case TimedOut():
                call.error = trio.TooSlowError(call.name)
            case _:
                call.error = AetherError(str(reply))


class WatchedInvoker(Invoker):
    """An Invoker whose calls a CallWatch sees, and may lose."""

    watch: CallWatch

    async def call(
        self, target: ArtifactBase, method: str, payload: object, *, form: Form, request_id: str = "", **options: Any
    ) -> Reply:
        call = self.watch.arrived(target, method, payload, form)
        loss = self.watch.loses(call)
        if loss is Loss.NEVER_ARRIVED:
            await trio.lowlevel.checkpoint()
            raise self.watch.error(call)
        try:
            reply = await super().call(target, method, payload, form=form, request_id=request_id, **options)
            if loss is Loss.DONE_TWICE:
                reply = await super().call(target, method, payload, form=form, request_id=request_id, **options)
        except BaseException as error:
            call.error = error
            raise
        if loss is Loss.REPLY_LOST:
            raise self.watch.error(call)
        if not options.get("options", PLAIN).one_way:  # of a one-way call nothing comes back
            self.watch.ended(target, call, reply, form)
        return reply

    async def each(
        self, target: ArtifactBase, method: str, payload: object, *, form: Form, request_id: str = "", **options: Any
    ) -> dict[InstanceId, Outcome | Exception]:
        call = self.watch.arrived(target, method, payload, form)
        loss = self.watch.loses(call)
        if loss is Loss.NEVER_ARRIVED:
            raise self.watch.error(call)
        answers = await super().each(target, method, payload, form=form, request_id=request_id, **options)
        if loss is Loss.DONE_TWICE:
            answers = await super().each(target, method, payload, form=form, request_id=request_id, **options)
        if loss is Loss.REPLY_LOST:
            raise self.watch.error(call)
        call.result = answers
        return answers

    @asynccontextmanager
    async def stream(
        self, target: ArtifactBase, method: str, payload: object, *, form: Form, request_id: str = "", **options: Any
    ) -> AsyncGenerator[OpenStream]:
        call = self.watch.arrived(target, method, payload, form)
        loss = self.watch.loses(call)
        if loss is Loss.NEVER_ARRIVED:
            raise self.watch.error(call)
        async with super().stream(target, method, payload, form=form, request_id=request_id, **options) as items:
            yield items if loss is not Loss.REPLY_LOST else cast("OpenStream", _CutOff(items, self.watch, call))


class _CutOff:
    """A stream that has begun at its callee, and whose first item, or whose answer, is lost."""

    def __init__(self, items: OpenStream, watch: CallWatch, call: RecordedCall) -> None:
        self._items = items
        self._watch = watch
        self._call = call

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        await anext(self._items, None)
        raise self._watch.error(self._call)

    async def outcome(self) -> Reply:
        await self._items.outcome()
        raise self._watch.error(self._call)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._items, name)


def _arguments(contract: Contract | None, method: str, payload: object, form: Form) -> Mapping[str, object]:
    """The arguments as values where the contract is known; of a call over HTTP too."""
    spec = None if contract is None else contract.methods.get(method)
    if spec is not None:
        try:
            if form is Form.HTTP:
                return spec.decode_http(HttpInput.from_plain(payload))
            return decoded(spec, payload, form)
        except AetherError:
            pass  # the callee will say what is wrong
    return dict(cast("Mapping[str, object]", payload)) if isinstance(payload, dict) else {}
