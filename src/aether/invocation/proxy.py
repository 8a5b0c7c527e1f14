"""A typed object whose methods are calls.

Knows: how arguments become a payload, and a reply a result or the exception that the contract promises.
Never: endpoints, retries, deadlines (the Invoker's).
Holds: co-located and remote calls raise the same types; wrong arguments raise TypeError before anything is sent.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeAlias, Unpack, cast

from aether.errors import BadInput, CallFailed, OutcomeUnknown, QuotaExceeded
from aether.invocation.everybody import answers_of
from aether.invocation.handing import Reference
from aether.invocation.hops import Hop
from aether.invocation.reply import UNFINISHED, Done, Failed, Faulted, Form, Outcome, Reply, TimedOut
from aether.invocation.streaming import Input, OpenStream, Wishes
from aether.model.artifact import ArtifactBase
from aether.model.ids import InstanceId
from aether.slice_api.call import PLAIN, CallOptions, check_stream_options
from aether.slice_api.contract import Contract, contract_of
from aether.slice_api.faults import FaultPlain
from aether.slice_api.methods import MethodSpec
from aether.slice_api.proxy import make_proxy
from aether.slice_api.streams import Unopened

_Opened: TypeAlias = AbstractAsyncContextManager[OpenStream]


class Caller(Protocol):
    """The part of the Invoker that a proxy needs."""

    async def call(
        self,
        target: ArtifactBase,
        method: str,
        payload: object,
        *,
        form: Form,
        options: CallOptions = PLAIN,
    ) -> Reply: ...

    async def each(
        self,
        target: ArtifactBase,
        method: str,
        payload: object,
        *,
        form: Form,
        options: CallOptions = PLAIN,
    ) -> Mapping[InstanceId, Outcome | Exception]: ...

    def stream(
        self,
        target: ArtifactBase,
        method: str,
        payload: object,
        *,
        form: Form,
        request_id: str = "",
        options: CallOptions = PLAIN,
        **wishes: Unpack[Wishes],
    ) -> _Opened: ...

    def too_slow(self, hops: Hop) -> BaseException: ...


def bind_proxy(contract: Contract | type, target: ArtifactBase, invoker: Caller) -> object:
    """An object with the methods of `contract` (a Contract, a slice class or a Protocol) that calls `target`.

    Its methods raise the Faults of the contract, CallFailed, trio.TooSlowError, BadInput, NoInstance, Overloaded and
    OutcomeUnknown (also when the method stopped half-way because of what it called); TypeError for arguments that do
    not fit the signature.
    """
    known = contract if isinstance(contract, Contract) else contract_of(contract)

    error = functools.partial(_error, invoker, known)

    async def call(method: MethodSpec, arguments: dict[str, object], options: CallOptions = PLAIN, /) -> object:
        if method.inputs:
            return await feed(method, arguments, options)
        payload = method.encode_arguments(arguments)
        if options.wants_no_result:
            return await _otherwise(invoker, target, method, payload, options, error)
        reply = await invoker.call(target, method.name, payload, form=Form.WIRE, options=options)
        if isinstance(reply, Done):
            return method.decode_result(reply.payload)
        raise error(method, reply)

    async def feed(method: MethodSpec, arguments: dict[str, object], options: CallOptions) -> object:
        async with opening(method, arguments, options)(0) as answer:
            reply = await answer.outcome()
        if isinstance(reply, Done):
            return method.decode_result(reply.payload)
        raise error(method, reply)

    def opening(method: MethodSpec, arguments: dict[str, object], options: CallOptions) -> Callable[[int], _Opened]:
        check_stream_options(method.where, options)
        values, sources = method.split(arguments)
        payload = method.encode_arguments(values)  # now: what the caller changes later does not count
        inputs = {
            name: Input(source, method.input_encoder(name), getattr(source, "reference", None))
            for name, source in sources.items()
        }

        def opened(ahead: int) -> _Opened:
            return invoker.stream(
                target, method.name, payload, form=Form.WIRE, options=options, inputs=inputs, ahead=ahead,
                decode=method.decode_result, error=functools.partial(error, method),
            )  # fmt: skip

        return opened

    def stream(method: MethodSpec, arguments: dict[str, object], options: CallOptions = PLAIN, /) -> Unopened[object]:
        opened = opening(method, arguments, options)
        reference = None if method.inputs else Reference(target, method.name, method.encode_arguments(arguments))
        return Unopened(method.where, opened, reference and reference.to_plain())

    return make_proxy(known, call, stream)


def _error(invoker: Caller, contract: Contract, method: MethodSpec, reply: Reply) -> BaseException:
    """What a call raises for a reply that is no Done."""
    if isinstance(reply, TimedOut):
        return invoker.too_slow(reply.hops)
    if isinstance(reply, Faulted):
        return fault_error(contract, method.name, reply.fault)
    return failed_error(reply)  # NotStarted never leaves the Invoker


async def _otherwise(
    invoker: Caller,
    target: ArtifactBase,
    method: MethodSpec,
    payload: object,
    options: CallOptions,
    error: Callable[[MethodSpec, Reply], BaseException],
) -> object:
    """A broadcast, or a one-way call."""
    if options.every:
        heard = await invoker.each(target, method.name, payload, form=Form.WIRE, options=options)
        return answers_of(target, method, heard, error)
    reply = await invoker.call(target, method.name, payload, form=Form.WIRE, options=options)
    if isinstance(reply, Done):
        return None
    raise error(method, reply)


def fault_error(contract: Contract, method: str, plain: FaultPlain) -> Exception:
    """The exception for a Fault: the contract's own class when it is known here, else CallFailed with its fields."""
    if plain.name == "BadInput":
        problems = plain.fields.get("problems")
        listed = [str(problem) for problem in cast("Sequence[object]", problems)] if isinstance(problems, list) else []
        return BadInput(str(plain.fields.get("what", plain.detail)), listed)
    fault = contract.decode_fault(plain)
    if fault is not None:
        return fault
    match plain:
        case FaultPlain(name="QuotaExceeded", fields={"what": str(what), "limit": int(limit), "unit": str(unit)}):
            return QuotaExceeded(what, limit, unit)  # a map that the method uses is full
        case _:
            pass
    shown = ", ".join(f"{name}={value!r}" for name, value in plain.fields.items())
    said = f"{plain.detail} ({shown})" if shown else plain.detail
    return CallFailed(plain.name, said, contract.name, method, fields=plain.fields)


def failed_error(reply: Reply) -> CallFailed | OutcomeUnknown:
    """CallFailed with every fact of `reply`, chained to the original when it was raised on this node.

    OutcomeUnknown, chained to it, when the method stopped half-way by an UNFINISHED: no defect, and a repeat may do.
    """
    if not isinstance(reply, Failed):
        raise TypeError(f"{reply!r} is no failure of a call")
    if reply.kind == OutcomeUnknown.__name__ and not reply.traceback:
        return OutcomeUnknown(reply.message)  # said by the runtime there, not raised by the method
    failed = _call_failed(reply)
    if reply.kind not in UNFINISHED:
        return failed
    unknown = OutcomeUnknown(f"{reply.slice}.{reply.method} stopped half-way, by {reply.kind}: {reply.message}")
    unknown.__cause__ = failed
    return unknown


def _call_failed(reply: Failed) -> CallFailed:
    error = CallFailed(
        kind=reply.kind,
        message=reply.message,
        slice=reply.slice,
        method=reply.method,
        instance=reply.instance,
        node=reply.node,
        attempt=reply.attempt,
        remote_traceback=reply.traceback,
        request_id=reply.request_id,
    )
    error.__cause__ = reply.original
    if reply.traceback:
        request = f", request {reply.request_id}" if reply.request_id else ""
        error.add_note(f"on {reply.node or 'its node'}{request}:\n{reply.traceback.rstrip()}")
    return error
