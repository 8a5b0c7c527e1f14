"""Strict codecs: values to plain data and back, one per type and form.

Knows: the forms (wire, JSON, JSON in camelCase), every type of the table in the reference, cattrs.
Never: bytes, requests, contracts.
Holds: decode(encode(value)) == value; a value of another type is a Misfit with its path; plain data shares nothing
       mutable with the value. Types without a codec are found when the codec is made, with the path to them.
Paper: cattrs builds attrs classes and dataclasses.
"""

from __future__ import annotations

import enum
import functools
import re
import typing
from collections.abc import Callable
from typing import Any, Final

import attrs
import cattrs
from cattrs.gen import make_dict_structure_fn

from aether.slice_api.annotations import (
    NoCodec,
    TypeOf,
    bare,
    is_enum,
    is_literal,
    is_named_tuple,
    is_record,
    is_typed_dict,
    is_union,
    origin_of,
    parts_of,
    type_name,
)
from aether.slice_api.containers import any_hooks, listing, mapping, named_tuple, typed_dict
from aether.slice_api.exchange import Body, Response, ResponsePlain
from aether.slice_api.generate import taker
from aether.slice_api.marks import is_protocol, is_slice
from aether.slice_api.misfit import Misfit, collect, expected, misfit
from aether.slice_api.scalars import SCALARS
from aether.slice_api.textual import SEQUENCES, enum_plain, flag_member, plain_literal
from aether.slice_api.unions import Members, union_hooks

Hook = Callable[[Any], Any]


class Form(enum.Enum):
    """How plain data is spelt. WIRE has bytes; JSON and CAMEL are JSON's own types, CAMEL with camelCase names."""

    WIRE = "wire"
    JSON = "json"
    CAMEL = "camel"


@attrs.frozen
class Codec:
    """encode(value) gives plain data, decode(plain) a value; both raise Misfit."""

    encode: Hook
    decode: Hook


def codec_of(tp: TypeOf, form: Form) -> Codec:
    """The codec of `tp`. Raises NoCodec, whose path leads to the part that has none."""
    maker = _maker(form)
    return Codec(maker.get_unstructure_hook(tp), maker.get_structure_hook(tp))


def camel(name: str) -> str:
    """`order_id` -> `orderId`; leading underscores stay."""
    return re.sub(r"(?<=[A-Za-z0-9])_+([A-Za-z0-9])", lambda m: m.group(1).upper(), name)


@functools.lru_cache(maxsize=len(Form))
def _maker(form: Form) -> _CodecMaker:
    return _CodecMaker(form)


class _CodecMaker(cattrs.Converter):
    """A converter of one form. All hooks are ours; cattrs writes the functions that build classes."""

    def __init__(self, form: Form) -> None:
        super().__init__(detailed_validation=True)
        self.form = form
        self.rename: Callable[[str], str] = camel if form is Form.CAMEL else str
        self._made: dict[TypeOf, tuple[Hook, Hook]] = {}
        self._making: dict[TypeOf, None] = {}

    def get_structure_hook(self, type: TypeOf, cache_result: bool = True) -> Any:  # noqa: A002 - cattrs's own name
        return self._hooks(type)[1]

    def get_unstructure_hook(self, type: TypeOf, cache_result: bool = True) -> Any:  # noqa: A002 - cattrs's own name
        return self._hooks(type)[0]

    def at(self, tp: TypeOf, path: str) -> tuple[Hook, Hook]:
        """Hooks of a part; a NoCodec from there names `path`."""
        try:
            return self._hooks(tp)
        except NoCodec as error:
            raise error.below(path) from None

    def _hooks(self, tp: TypeOf) -> tuple[Hook, Hook]:
        try:
            found = self._made.get(tp)
        except TypeError:
            raise NoCodec(
                f"{type_name(tp)} has a note in Annotated that cannot be hashed; use a frozen object"
            ) from None
        if found is not None:
            return found
        if tp in self._making:  # a class inside itself: look the hook up when the first value comes
            return lambda v: self._made[tp][0](v), lambda v, _=None: self._made[tp][1](v)
        self._making[tp] = None
        try:
            self._made[tp] = made = self._make(bare(tp))
        finally:
            del self._making[tp]
        return made

    def _make(self, tp: TypeOf) -> tuple[Hook, Hook]:
        origin, arguments = origin_of(tp), typing.get_args(tp)
        if tp in SCALARS:
            scalar = SCALARS[tp]
            return (
                (scalar.encode, scalar.decode) if self.form is Form.WIRE else (scalar.json_encode, scalar.json_decode)
            )
        if tp in (Any, Response, Body):
            return self._special(tp)
        if is_literal(tp):
            return _literal(tp)
        if is_union(tp):
            return union_hooks(Members(tp, self.form is Form.WIRE, self.rename), self.at)
        if is_enum(tp):
            return _flag(tp) if issubclass(tp, enum.Flag) else _enum(tp)
        if is_typed_dict(tp):
            return typed_dict(tp, self.at, self.rename)
        if is_named_tuple(tp):
            return named_tuple(tp, self.at)
        if is_record(tp):
            return self._record(tp)
        if origin in SEQUENCES and arguments:
            return listing(tp, origin, arguments, self.at)
        if isinstance(origin, type) and issubclass(origin, typing.Mapping) and len(arguments) == 2:
            return mapping(tp, origin, arguments, self.at)
        raise NoCodec(_why_not(tp))

    def _special(self, tp: TypeOf) -> tuple[Hook, Hook]:
        if tp is Any:
            return any_hooks(json=self.form is not Form.WIRE)
        return self._response() if tp is Response else (_http_alone, _http_alone)

    def _response(self) -> tuple[Hook, Hook]:
        """A Response that is whole: one that streams passes over HTTP alone."""
        encode, decode = self._hooks(ResponsePlain)

        def encode_whole(value: Any) -> Any:
            if value.__class__ is not Response or value.stream is not None:
                raise expected("aether.Response without a stream", value)
            return encode(ResponsePlain(value.status, value.body, value.content_type, value.headers))

        def decode_whole(plain: Any, _: Any = None) -> Any:
            p = decode(plain)
            return Response(p.body, status=p.status, content_type=p.content_type, headers=p.headers)

        return encode_whole, decode_whole

    def _record(self, tp: TypeOf) -> tuple[Hook, Hook]:
        cls: type = origin_of(tp) or tp
        if is_slice(cls):
            raise NoCodec(f"{cls.__name__} is a slice, not a value; slices are injected as fields, not passed in calls")
        parts = [part for part in parts_of(tp) if part.init]
        encoders = {part.name: self.at(part.type, f".{part.name}")[0] for part in parts}
        renamed = {part.name: self.rename(part.name) for part in parts}
        if len(set(renamed.values())) != len(renamed):
            raise NoCodec(f"two fields of {type_name(tp)} have the same name in camelCase")
        overrides: Any = {name: cattrs.override(rename=outside) for name, outside in renamed.items() if outside != name}
        take, build = taker(type_name(tp), renamed), make_dict_structure_fn(tp, self, **overrides)
        hooks, spelt, attributes = list(encoders.values()), list(renamed.values()), list(encoders)
        name, rename = type_name(tp), self.rename

        def encode(value: Any) -> Any:
            if value.__class__ is not cls:
                raise expected(name, value)
            plain: dict[str, Any] = {}
            try:
                take(value, plain, hooks)
            except (Misfit, RecursionError) as error:
                failed = len(plain)  # fields are taken in order
                rest = (
                    (f".{spelt[i]}", (hooks[i], getattr(value, attributes[i]))) for i in range(failed + 1, len(hooks))
                )
                raise collect((f".{spelt[failed]}", error), rest, lambda pair: pair[0](pair[1])) from None
            return plain

        def decode(plain: Any, _: Any = None) -> Any:
            if plain.__class__ is not dict:
                raise expected(f"object ({name})", plain)
            try:
                return build(plain, cls)
            except Exception as error:  # noqa: BLE001 - validators of the user's class raise what they like
                raise misfit(error, rename) from None

        return encode, decode


def _http_alone(value: Any, _: Any = None) -> Any:
    raise Misfit(("", "aether.Body arrives over HTTP alone; over a call, take `bytes` or an `AsyncIterator[bytes]`"))


def _literal(tp: TypeOf) -> tuple[Hook, Hook]:
    values = typing.get_args(tp)
    plain = [plain_literal(value) for value in values]
    for value, spelt in zip(values, plain, strict=True):
        if type(spelt) not in (str, int, bool, type(None)):
            raise NoCodec(f"{value!r} in {type_name(tp)}; only text, integers, bools, None and enum members travel")
    return _exactly(" or ".join(repr(p) for p in plain), values, plain)


def _enum(cls: type[enum.Enum]) -> tuple[Hook, Hook]:
    plain = enum_plain(cls)
    return _exactly(f"{cls.__name__} ({', '.join(repr(p) for p in plain)})", tuple(cls), plain)


def _exactly(name: str, values: typing.Sequence[Any], plain: typing.Sequence[Any]) -> tuple[Hook, Hook]:
    # Keys carry the class: True == 1 and 1.0 == 1, but neither stands for the other.
    forth: Final = {(v.__class__, v): p for v, p in zip(values, plain, strict=True)}
    back: Final = {(p.__class__, p): v for v, p in zip(values, plain, strict=True)}

    def encode(value: Any) -> Any:
        try:
            return forth[value.__class__, value]
        except (KeyError, TypeError):
            raise expected(name, value) from None

    def decode(value: Any, _: Any = None) -> Any:
        try:
            return back[value.__class__, value]
        except (KeyError, TypeError):
            raise expected(name, value) from None

    return encode, decode


def _flag(cls: type[enum.Flag]) -> tuple[Hook, Hook]:
    def encode(value: Any) -> Any:
        if not isinstance(value, cls):
            raise expected(cls.__name__, value)
        return value.value

    def decode(value: Any, _: Any = None) -> Any:
        return flag_member(cls, value)

    return encode, decode


def _why_not(tp: TypeOf) -> str:
    name = type_name(tp)
    if isinstance(tp, str | typing.ForwardRef):
        return f"the name {name} is not known at run time; import it outside `if TYPE_CHECKING`"
    if isinstance(tp, typing.TypeVar):
        return f"the type variable {name} has no value; write the generic class with its argument, such as Page[int]"
    if tp in SEQUENCES or tp is dict:
        return f"a bare {name} does not say what it holds; write {name}[...]"
    if is_protocol(tp) or is_slice(tp):
        return f"{name} is a slice or Protocol, not a value; slices are injected as fields, not passed in calls"
    return f"{name} has no codec; use an attrs class, a dataclass, or a type of the codec table in the API reference"
