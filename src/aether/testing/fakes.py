"""Objects that stand in for a slice: checked against its contract when made, spoken to through the codec.

Knows: contracts, scripted answers, what a caller sees of an error.
Never: a cluster; a fake needs none.
Holds: a fake that could not be the real thing is refused when it is made: names, parameters, types of answers. Each
       argument and each result goes through the wire codec, so nothing is shared with the caller.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, TypeVar, cast, overload

import attrs
import trio
from typing_extensions import TypeForm

from aether.errors import AetherError, CallFailed, ContractError, NotInContract
from aether.invocation.copying import over_msgpack
from aether.slice_api.annotations import bare, type_name
from aether.slice_api.contract import Contract, contract_of
from aether.slice_api.faults import Fault, encode_fault
from aether.slice_api.methods import MethodSpec
from aether.slice_api.proxy import hint
from aether.testing.recording import RECORD, Record, RecordedCall

T = TypeVar("T")

_AS_THEMSELVES: Final = (AetherError, trio.TooSlowError, AssertionError)
_Answer = Callable[[dict[str, Any]], Any]


@attrs.frozen
class InTurn:
    """Several answers, each given once; made by `in_turn`."""

    answers: tuple[object, ...]


def in_turn(*answers: object) -> InTurn:
    """Answers for `fake` that are given one after another; a call beyond the last is an AssertionError."""
    return InTurn(answers)


@overload
def fake(contract: type[T], instead: object = None, /, **answers: object) -> T: ...
@overload
def fake(contract: TypeForm[T], instead: object = None, /, **answers: object) -> T: ...
def fake(contract: Any, instead: object = None, /, **answers: object) -> Any:
    """A stand-in for a Protocol or slice, for the fields of a slice under test; `recorded(it)` tells its calls.

    instead   an object whose methods answer what `answers` leaves out, such as another slice or a fake of your own
    answers   by method: a function with the method's parameters (`async def`, `def` or lambda; for a stream an async
              generator); or a value, returned each time (for a stream a list of its items); or an exception, raised
              each time; or `in_turn(...)` of these

    A caller meets the same as with the real slice: wrong arguments are TypeError or BadInput, a Fault arrives as a
    copy, a foreign exception as CallFailed; AetherErrors and trio.TooSlowError as themselves. An AssertionError passes,
    and is also what a method without an answer raises.

    Raises ContractError for what could not be the real thing: an unknown method, parameters that do not fit the
    contract's, annotations of other types, an answer of a wrong type.
    """
    known = contract_of(contract)
    for name in answers:
        if name not in known.methods:
            raise ContractError(f"fake({known.name}, {name}=...): {hint(known, name)}")
    record = Record()
    body: dict[str, Any] = {"__doc__": known.doc, "__aether_contract__": known, RECORD: record}
    for name, spec in known.methods.items():
        given = answers[name] if name in answers else getattr(instead, name, _missing(spec))
        body[name] = _stream(spec, known, given, record) if spec.stream else _method(spec, known, given, record)
    return type(f"Fake{known.name}", (_Fake,), body)()


class _Fake:
    __aether_contract__: Contract

    def __getattr__(self, name: str) -> Any:
        contract = self.__aether_contract__
        raise NotInContract(contract.name, name, hint(contract, name))

    def __repr__(self) -> str:
        return f"<fake {self.__aether_contract__.name}>"


def _method(spec: MethodSpec, contract: Contract, given: object, record: Record) -> Callable[..., Any]:
    answer = _answer(spec, given)

    async def method(_: object, /, *args: Any, **kwargs: Any) -> Any:
        call = _called(spec, args, kwargs, record)
        try:
            value = answer(dict(call.arguments))
            if inspect.isawaitable(value):
                value = await cast("Awaitable[object]", value)
            call.result = spec.decode_result(over_msgpack(spec.encode_result(value)))
        except Exception as error:
            call.error = _as_seen(error, contract, spec)
            if call.error is error:
                raise
            raise call.error from error
        return call.result

    return _dressed(method, spec)


def _stream(spec: MethodSpec, contract: Contract, given: object, record: Record) -> Callable[..., Any]:
    answer = _answer(spec, given)

    def method(_: object, /, *args: Any, **kwargs: Any) -> AsyncGenerator[Any]:
        call = _called(spec, args, kwargs, record)

        async def items() -> AsyncGenerator[Any]:
            try:
                async for item in _iterated(answer(dict(call.arguments))):
                    yield spec.decode_result(over_msgpack(spec.encode_result(item)))
            except Exception as error:
                call.error = _as_seen(error, contract, spec)
                if call.error is error:
                    raise
                raise call.error from error

        return items()

    return _dressed(method, spec)


async def _iterated(value: object) -> AsyncIterator[object]:
    if isinstance(value, AsyncIterator):
        async for item in cast("AsyncIterator[object]", value):
            yield item
    else:
        for item in cast("Iterable[object]", value):
            await trio.lowlevel.checkpoint()
            yield item


def _called(spec: MethodSpec, args: tuple[Any, ...], kwargs: Mapping[str, Any], record: Record) -> RecordedCall:
    plain = over_msgpack(spec.encode_arguments(spec.bind(args, kwargs)))
    return record.add(RecordedCall(spec.owner, spec.name, spec.decode_arguments(plain)))


def _as_seen(error: Exception, contract: Contract, spec: MethodSpec) -> Exception:
    """What the caller of a real slice would see of `error`."""
    if isinstance(error, Fault):
        return contract.decode_fault(encode_fault(error)) or error
    if isinstance(error, _AS_THEMSELVES):
        return error
    return CallFailed(type(error).__name__, str(error), contract.name, spec.name)


def _missing(spec: MethodSpec) -> Callable[..., Any]:
    def refuse(**_: object) -> Any:
        raise AssertionError(f"{spec.where} was called, and the fake has no answer; give fake(..., {spec.name}=...)")

    return refuse


# --- answers ----------------------------------------------------------------------------------------------------------


def _answer(spec: MethodSpec, given: Any) -> _Answer:
    """A function from arguments to the answer. Raises ContractError for what does not fit the contract."""
    if isinstance(given, InTurn):
        return _one_by_one(spec, [_answer(spec, each) for each in given.answers])
    if isinstance(given, BaseException) or _is_exception_class(given):
        return _raising(given)
    if callable(given):
        _check_function(spec, given)
        return lambda arguments: given(**arguments)
    _check_value(spec, given)
    return lambda _: given


def _one_by_one(spec: MethodSpec, answers: list[_Answer]) -> _Answer:
    left = iter(answers)

    def answer(arguments: dict[str, Any]) -> Any:
        one = next(left, None)
        if one is None:
            raise AssertionError(f"{spec.where} was called once more than the {len(answers)} times that were scripted")
        return one(arguments)

    return answer


def _is_exception_class(given: Any) -> bool:
    return isinstance(given, type) and issubclass(given, BaseException)


def _raising(error: BaseException | type[BaseException]) -> _Answer:
    def answer(_: dict[str, Any]) -> Any:
        raise error if isinstance(error, type) else error.with_traceback(None)

    return answer


def _check_value(spec: MethodSpec, value: Any) -> None:
    if spec.stream and type(value) not in (list, tuple):
        raise ContractError(f"the fake of {spec.where}: it is a stream; give a list of its items, got {value!r:.60}")
    try:
        for item in value if spec.stream else (value,):
            spec.encode_result(item)
    except TypeError as error:
        raise ContractError(f"the fake's answer does not fit the contract: {error}") from error


def _check_function(spec: MethodSpec, function: Callable[..., object]) -> None:
    """Raises ContractError when a call of the contract could not be made to `function`."""
    reason = _unfit(spec, inspect.signature(function), _hints(function))
    if reason is None and inspect.isasyncgenfunction(function) is not spec.stream and not _is_loose(function):
        reason = "it must be an async generator" if spec.stream else "it is an async generator, the method is no stream"
    if reason is not None:
        raise ContractError(f"the fake of {spec.where} has another signature than {spec.signature}: {reason}")


def _is_loose(function: Callable[..., object]) -> bool:
    """Whether what it returns can only be seen by calling it: a lambda, a method of a proxy or of another fake."""
    return not inspect.iscoroutinefunction(function) and not inspect.isasyncgenfunction(function)


def _unfit(spec: MethodSpec, signature: inspect.Signature, hints: Mapping[str, Any]) -> str | None:
    own = signature.parameters
    takes_all = any(p.kind is p.VAR_KEYWORD for p in own.values())
    for p in spec.parameters.values():
        offered = own.get(p.name)
        if offered is None or offered.kind in (offered.VAR_POSITIONAL, offered.VAR_KEYWORD):
            if takes_all:
                continue
            return f"no parameter {p.name!r}"
        if offered.kind is offered.POSITIONAL_ONLY:
            return f"{p.name!r} is positional only, and arguments travel by name"
        if p.has_default and offered.default is offered.empty:
            return f"{p.name!r} has no default, and a caller may leave it out"
        if p.name in hints and bare(hints[p.name]) != bare(p.type):
            return f"{p.name!r} is {type_name(hints[p.name])}, not {type_name(p.type)}"
    for name, offered in own.items():
        free = offered.default is not offered.empty or offered.kind in (offered.VAR_POSITIONAL, offered.VAR_KEYWORD)
        if name not in spec.parameters and not free:
            return f"it needs a further parameter {name!r}"
    return _other_result(spec, hints)


def _other_result(spec: MethodSpec, hints: Mapping[str, Any]) -> str | None:
    returned = bare(hints.get("return", Any))
    if spec.stream:
        returned = (*typing.get_args(returned), Any)[0]
    if returned is Any or bare(returned) == bare(spec.returns):
        return None
    return f"it returns {type_name(returned)}, not {type_name(spec.returns)}"


def _hints(function: Callable[..., object]) -> Mapping[str, Any]:
    """Annotations as types; none when they cannot be known here, as with names of an enclosing function."""
    try:
        return typing.get_type_hints(function)
    except (NameError, TypeError, AttributeError):
        return {}


def _dressed(method: Callable[..., Any], spec: MethodSpec) -> Callable[..., Any]:
    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    method.__name__, method.__qualname__, method.__doc__ = spec.name, spec.where, spec.doc
    method.__signature__ = spec.signature.replace(parameters=[own, *spec.signature.parameters.values()])  # type: ignore[attr-defined]  # inspect reads it
    return method
