"""One method of a contract: its parameters, its codecs, its generated binding.

Knows: kinds of methods, resolved types, hooks made once per method.
Never: instances, calls, deadlines in progress.
Holds: arguments travel by name; what the caller omits stays absent.
"""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from typing import Annotated, Any, Final

import attrs

from aether.errors import BadInput, ContractError
from aether.model.limits import STREAM_INPUTS_MAX
from aether.model.route import RouteKind
from aether.slice_api.annotations import NoCodec, TypeOf, bare, origin_of, type_name
from aether.slice_api.codec import Codec, Form, codec_of
from aether.slice_api.exchange import Body, Response
from aether.slice_api.generate import binder
from aether.slice_api.http import Cookie, Header, HttpInput, Marker, Query
from aether.slice_api.http_body import JSON, spell
from aether.slice_api.http_plan import STREAMS, HttpPlan, ParameterSpec, http_plan, takes_input
from aether.slice_api.marks import PLAIN_ROUTE, Marks, RouteMark
from aether.slice_api.misfit import misfit

KEY_HEADER: Final = "idempotency-key"
_MARKERS: Final = (Query, Body, Header, Cookie)


@attrs.frozen(eq=False, kw_only=True, slots=False)
class MethodSpec:
    """One method.

    owner       name of the contract's class; name  of the method
    parameters  by name, in order; returns  the result's type, or the items' type of a stream
    inputs      parameters that are streams themselves, and the type of their items
    idempotent  it may be repeated after it was started; blocking  `function` is a plain `def` to run in a thread
    affinity    the parameter whose value decides the instance, None = load does
    deadline_s  its own default deadline, None = the slice's
    routes      (verb, template); facts  what its author said of some of them
    function    what to call with an instance first; doc, signature  as written, without self
    """

    owner: str
    name: str
    parameters: Mapping[str, ParameterSpec]
    returns: TypeOf
    idempotent: bool
    blocking: bool
    stream: bool
    deadline_s: float | None
    affinity: str | None
    routes: tuple[tuple[str, str], ...]
    facts: Mapping[tuple[str, str], RouteMark]
    function: Callable[..., Any]
    doc: str
    signature: inspect.Signature
    form: Form = Form.JSON
    inputs: Mapping[str, TypeOf] = attrs.field(factory=dict[str, TypeOf])

    @property
    def where(self) -> str:
        """`Owner.name`, for messages."""
        return f"{self.owner}.{self.name}"

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments by name, as Python would bind them; omitted ones are absent. Raises TypeError."""
        return self._binder(*args, **kwargs)

    def encode_arguments(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments as plain data for msgpack. Raises BadInput with the path of each value that does not fit."""
        encoders = self._encoders
        try:
            return {name: encoders[name](value) for name, value in arguments.items()}
        except Exception as error:  # noqa: BLE001 - whatever a user's class raises is a problem of its value
            raise self._bad(error, arguments, encoders) from None

    def decode_arguments(self, plain: object) -> dict[str, Any]:
        """Arguments from plain data, strictly. Raises BadInput: a wrong type, or a missing argument.

        Unknown ones are left out: a proxy refuses what its contract has not, so they come from a newer contract.
        """
        return self._decode(plain, self._decoders)

    def decode_json(self, plain: object) -> dict[str, Any]:
        """Arguments by name in JSON's own types, as `decode_arguments` takes plain data. Raises BadInput."""
        return self._decode(plain, self._json_decoders)

    def _decode(self, plain: object, decoders: Mapping[str, Callable[[Any], Any]]) -> dict[str, Any]:
        given: Any = plain  # what is no mapping fails below, and is reported with everything else
        try:
            arguments = {name: decoders[name](value) for name, value in given.items()}
        except Exception as error:  # noqa: BLE001 - whatever a user's class raises is a problem of its value
            known = {name: value for name, value in given.items() if name in decoders} if _is_dict(given) else {}
            if _is_dict(given) and len(known) < len(given):
                try:
                    return self._decode(known, decoders)
                except BadInput:  # wrong beside that: then the unknown ones are told too
                    pass
            raise self._bad(error, plain, decoders) from None
        if not self._required <= arguments.keys():
            raise self._bad(None, plain, decoders)
        return arguments

    def split(self, arguments: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Arguments that travel in the request, and the streams among them that follow it."""
        inputs = {name: arguments[name] for name in self.inputs if name in arguments}
        return {name: value for name, value in arguments.items() if name not in inputs}, inputs

    def input_encoder(self, name: str) -> Callable[[Any], Any]:
        """Makes an item of the input `name` plain. It raises BadInput."""
        return self._input_hook(name, self._input_codecs[name].encode)

    def input_decoder(self, name: str) -> Callable[[Any], Any]:
        """Makes plain data an item of the input `name`, strictly. It raises BadInput."""
        return self._input_hook(name, self._input_codecs[name].decode)

    def given(self, name: str, items: AsyncIterator[Any]) -> Any:
        """The stream `items` as the parameter `name` wants it."""
        return Body(items) if bare(self.parameters[name].type) is Body else items

    def _input_hook(self, name: str, hook: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def checked(item: Any) -> Any:
            try:
                return hook(item)
            except Exception as error:  # noqa: BLE001 - whatever a user's class raises is a problem of its value
                raise BadInput(f"the arguments of {self.where} do not fit", misfit(error).lines(f"{name}[]")) from None

        return checked

    def check_inputs(self, given: Collection[str]) -> None:
        """Every input came, and no other. Raises BadInput."""
        problems = [f"{name}: missing" for name in self.inputs if name not in given]
        problems += (f"{name}: is no stream" for name in given if name not in self.inputs)
        if problems:
            raise BadInput(f"the arguments of {self.where} do not fit", tuple(problems))

    def encode_result(self, value: Any) -> Any:
        """The result (or one item of a stream) as plain data. Raises TypeError when it does not fit."""
        return self._encoded(self._result, value)

    def decode_result(self, plain: Any) -> Any:
        """The result from plain data. Raises BadInput when it does not fit the caller's view of the contract."""
        try:
            return self._result.decode(plain)
        except Exception as error:  # noqa: BLE001 - whatever a user's class raises is a problem of its value
            raise BadInput(f"the result of {self.where} does not fit", misfit(error).lines("result")) from None

    def plan_of(self, request: HttpInput) -> HttpPlan:
        """How the route of `request` is read and answered. Raises BadInput when the method has no such route."""
        plan = self.plans.get((request.verb, request.template))
        if plan is None:
            raise BadInput(f"{self.where} has no route {request.verb} {request.template}")
        return plan

    def decode_http(self, request: HttpInput) -> dict[str, Any]:
        """Arguments from a request to one of the method's routes. Raises BadInput with every problem at once."""
        return self.plan_of(request).decode(request)

    def encode_http(self, value: Any) -> bytes:
        """The result as JSON text, b"" for a method that returns None. Raises TypeError when it does not fit."""
        if self.says_nothing and value is None:
            return b""
        return spell(self.http_plain(value), JSON)

    def http_plain(self, value: Any) -> Any:
        """The result (or one item of a stream) in JSON's own types. Raises TypeError when it does not fit."""
        return self._encoded(self._json_result, value)

    def json_plain(self, value: Any) -> Any:
        """The same with the names as they are written, whatever the routes say of them. Raises TypeError."""
        return self._encoded(self._codec(self.returns, "return", Form.JSON), value)

    def _encoded(self, codec: Codec, value: Any) -> Any:
        try:
            return codec.encode(value)
        except Exception as error:  # noqa: BLE001 - whatever a user's class raises is a problem of its value
            raise TypeError(f"{self.where} must return {type_name(self.returns)}: {misfit(error)}") from None

    def message_codec(self, name: str) -> tuple[TypeOf, Codec]:
        """Type and codec of what the parameter `name` takes, piece by piece, over HTTP."""
        return self._messages[name]

    @property
    def reads_key(self) -> bool:
        """Whether it takes the header of idempotency keys itself, and so recognises repeats by itself."""
        markers = ((name, p.marker) for name, p in self.parameters.items())
        return any(
            isinstance(marker, Header) and (marker.name or name.replace("_", "-")).lower() == KEY_HEADER
            for name, marker in markers
        )

    @property
    def says_nothing(self) -> bool:
        """Whether it returns None."""
        return bare(self.returns) is type(None) and not self.stream

    def kind_of(self, route: tuple[str, str]) -> RouteKind:
        """What passes over one of its routes."""
        if self.facts.get(route, PLAIN_ROUTE).websocket:
            return RouteKind.WEBSOCKET
        if self.stream:
            return RouteKind.STREAM
        return RouteKind.RESPONSE if bare(self.returns) is Response else RouteKind.CALL

    @property
    def input(self) -> str:
        """The parameter that takes what a client sends, piece by piece; "" when there is none."""
        return next((name for name, p in self.parameters.items() if takes_input(p)), "")

    def compile(self) -> None:
        """Make every codec now. Raises ContractError with the path to each type that has none."""
        for name in ("_encoders", "_input_codecs", "_result", "plans", "_messages"):
            getattr(self, name)
        if self.routes and bare(self.returns) is not Response:
            _ = self._json_result

    @functools.cached_property
    def _binder(self) -> Callable[..., dict[str, Any]]:
        return binder(self.where, self.signature)

    @functools.cached_property
    def _codecs(self) -> dict[str, Codec]:
        return {name: self._codec(p.type, name, Form.WIRE) for name, p in self._valued.items()}

    @functools.cached_property
    def _input_codecs(self) -> dict[str, Codec]:
        return {name: self._codec(tp, f"{name}[]", Form.WIRE) for name, tp in self.inputs.items()}

    @functools.cached_property
    def _valued(self) -> dict[str, ParameterSpec]:
        """Parameters that are values, not streams."""
        return {name: p for name, p in self.parameters.items() if name not in self.inputs}

    @functools.cached_property
    def _encoders(self) -> dict[str, Callable[[Any], Any]]:
        return {name: codec.encode for name, codec in self._codecs.items()}

    @functools.cached_property
    def _decoders(self) -> dict[str, Callable[[Any], Any]]:
        return {name: codec.decode for name, codec in self._codecs.items()}

    @functools.cached_property
    def _json_decoders(self) -> dict[str, Callable[[Any], Any]]:
        return {name: self._codec(p.type, name, Form.JSON).decode for name, p in self._valued.items()}

    @functools.cached_property
    def _required(self) -> frozenset[str]:
        return frozenset(name for name, p in self._valued.items() if not p.has_default)

    @functools.cached_property
    def _result(self) -> Codec:
        return self._codec(self.returns, "return", Form.WIRE)

    @functools.cached_property
    def _json_result(self) -> Codec:
        return self._codec(self.returns, "return", self.form)

    @functools.cached_property
    def plans(self) -> Mapping[tuple[str, str], HttpPlan]:
        """How each route is read and answered, by (verb, template): the one source of what requests mean."""
        return {
            route: http_plan(
                f"{self.where} ({' '.join(route)})", *route, self.parameters, self.form, kind=self.kind_of(route),
                status=self.facts.get(route, PLAIN_ROUTE).status or 200, says_nothing=self.says_nothing,
            )
            for route in self.routes
        }  # fmt: skip

    @functools.cached_property
    def _messages(self) -> dict[str, tuple[TypeOf, Codec]]:
        found: dict[str, tuple[TypeOf, Codec]] = {}
        for name, p in self.parameters.items():
            if origin_of(bare(p.type)) in STREAMS:
                item = typing.get_args(bare(p.type))[0]
                found[name] = bare(item), self._codec(item, name, self.form)
        return found

    def _codec(self, tp: TypeOf, path: str, form: Form) -> Codec:
        try:
            return codec_of(tp, form)
        except NoCodec as error:
            raise ContractError(f"{self.where}: {path}{error.path}: {error.reason}") from None

    def _bad(self, error: Exception | None, given: Any, hooks: Mapping[str, Callable[[Any], Any]]) -> BadInput:
        problems: list[str] = []
        named: dict[Any, Any] = dict(given) if given.__class__ is dict else {}
        if given.__class__ is not dict:
            problems.append(f"expected arguments by name, got {type(given).__name__}")
        for name, value in named.items():
            if name not in hooks:
                problems.append(f"{name}: unknown; {self.where} takes {', '.join(hooks) or 'no arguments'}")
                continue
            try:
                hooks[name](value)
            except Exception as inner:  # noqa: BLE001 - every problem is wanted, whatever a user's class raises
                problems += misfit(inner).lines(name)
        if hooks is not self._encoders:
            problems += (f"{name}: missing" for name in sorted(self._required - named.keys()))
        if not problems and error is not None:
            problems += misfit(error).lines("arguments")
        return BadInput(f"the arguments of {self.where} do not fit", tuple(problems))


def method_spec(
    owner: str, name: str, function: Callable[..., Any], marks: Marks, signature: inspect.Signature, form: Form
) -> MethodSpec:
    """A MethodSpec from a signature whose annotations are resolved types. Raises ContractError."""
    where = f"{owner}.{name}"
    returns, stream = _returned(where, function, signature.return_annotation)
    parameters = {p.name: _parameter(where, p) for p in signature.parameters.values()}
    if marks.affinity is not None and marks.affinity not in parameters:
        known = ", ".join(parameters) or "none"
        raise ContractError(f"{where} has no parameter {marks.affinity!r} for affinity=; its parameters are: {known}")
    inputs = {p.name: item for p in parameters.values() if (item := _items(p.type)) is not None}
    _check_inputs(where, parameters, inputs, marks)
    return MethodSpec(
        owner=owner, name=name, parameters=parameters, returns=returns, idempotent=bool(marks.idempotent),
        blocking=marks.blocking is not None, stream=stream, deadline_s=marks.deadline_s,
        affinity=marks.affinity, routes=marks.routes,
        facts=marks.facts, function=marks.blocking or function, doc=inspect.getdoc(function) or "",
        signature=signature, form=form, inputs=inputs,
    )  # fmt: skip


def _is_dict(value: object) -> bool:
    return isinstance(value, dict)


def _returned(where: str, function: Callable[..., Any], annotation: TypeOf) -> tuple[TypeOf, bool]:
    items = origin_of(bare(annotation)) in STREAMS
    arguments = typing.get_args(bare(annotation))
    if inspect.isasyncgenfunction(function):
        if not items:
            raise ContractError(f"{where} is an async generator; annotate it `-> AsyncIterator[<type of its items>]`")
        return arguments[0], True
    if items and inspect.iscoroutinefunction(function):
        raise ContractError(
            f"{where} is an `async def` without `yield` that returns an iterator; a slice writes a stream with "
            f"`yield`, a Protocol as `def {where.rpartition('.')[2]}(...)` without `async`"
        )
    return (arguments[0], True) if items else (annotation, False)


def _items(tp: TypeOf) -> TypeOf | None:
    """The type of the items when `tp` is a stream."""
    if bare(tp) is Body:
        return bytes
    arguments = typing.get_args(bare(tp))
    return arguments[0] if origin_of(bare(tp)) in STREAMS and arguments else None


def _check_inputs(
    where: str, parameters: Mapping[str, ParameterSpec], inputs: Mapping[str, TypeOf], marks: Marks
) -> None:
    """What a parameter that is a stream may not be. Raises ContractError."""
    for name in inputs:
        if parameters[name].has_default:
            raise ContractError(
                f"{where}: the stream {name!r} has a default; remove it, callers can pass an empty generator"
            )
        if parameters[name].marker is not None:
            raise ContractError(f"{where}: the stream {name!r} has a place in HTTP; remove it, a stream is the body")
    if inputs and marks.blocking is not None:
        raise ContractError(f"{where} blocks, so it cannot read the stream {next(iter(inputs))!r}; make it `async def`")
    if len(inputs) > STREAM_INPUTS_MAX:
        raise ContractError(f"{where} takes {len(inputs)} streams; {STREAM_INPUTS_MAX} is the most, send tagged items")


def _parameter(where: str, p: inspect.Parameter) -> ParameterSpec:
    tp, marker = p.annotation, None
    if origin_of(tp) is Annotated:
        found = [_marker(m) for m in tp.__metadata__ if _marker(m) is not None]
        if len(found) > 1:
            raise ContractError(
                f"{where}: parameter {p.name!r} has two places, {found[0]!r} and {found[1]!r}; keep one"
            )
        marker = found[0] if found else None
    has_default = p.default is not p.empty
    return ParameterSpec(
        p.name,
        typing.get_args(tp)[0] if marker else tp,
        has_default,
        p.default if has_default else None,
        p.kind is p.KEYWORD_ONLY,
        marker,
    )


def _marker(metadata: object) -> Marker | None:
    if isinstance(metadata, _MARKERS):
        return metadata
    return metadata() if isinstance(metadata, type) and issubclass(metadata, _MARKERS) else None
