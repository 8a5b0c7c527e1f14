"""Types as JSON Schema: what plain data of a type looks like, for OpenAPI, contracts and other languages.

Knows: every type of the codec table, in each form; definitions of named types, shared by all that mention them.
Never: values, methods, documents around the schemas.
Holds: whatever the codec writes or reads fits the schema; the codec is stricter (no 2.0 for an int, text in its
       form). The same types give the same schema in every process.
Paper: JSON Schema 2020-12; `x-aether-type` says what Python has and JSON has not (tuple, set, Decimal, ...).
"""

from __future__ import annotations

import dataclasses
import enum
import inspect
import re
import typing
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import attrs

from aether.slice_api.annotations import (
    NoCodec,
    Part,
    TypeOf,
    bare,
    is_enum,
    is_literal,
    is_named_tuple,
    is_object,
    is_record,
    is_typed_dict,
    is_union,
    origin_of,
    parts_of,
    type_name,
    union_members,
)
from aether.slice_api.codec import Form, camel, codec_of
from aether.slice_api.exchange import Body, Request, Response
from aether.slice_api.misfit import Misfit
from aether.slice_api.scalars import INT_MAX, INT_MIN
from aether.slice_api.textual import SEQUENCES, enum_plain, plain_literal, text_of
from aether.slice_api.unions import TAG, common_literal

Schema = dict[str, Any]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
AT: Final = "#/$defs/"
TYPE: Final = "x-aether-type"
"""The Python type behind a schema that JSON's own types do not tell."""
NAMES: Final = "x-aether-names"
"""Names of an enum's members or of a NamedTuple's fields, in order."""

ANNOTATIONS: Final = frozenset({"title", "description", "default", "examples", TYPE, NAMES})
"""Keywords that say nothing about which values fit."""


def schema_of(tp: TypeOf, form: Form = Form.JSON) -> Schema:
    """The schema of `tp` as a document of its own, named types in `$defs`. Raises NoCodec as `codec_of` does."""
    schemas = Schemas(form)
    found = schemas.of(tp)
    return {"$schema": DIALECT, **found, **({"$defs": schemas.definitions} if schemas.definitions else {})}


class Schemas:
    """Schemas of many types that share `definitions`: name -> schema of each class, enum, TypedDict and NamedTuple.

    at  where the definitions will stand in the document: `#/$defs/`, or `#/components/schemas/` of OpenAPI
    """

    def __init__(self, form: Form = Form.JSON, at: str = AT) -> None:
        self.definitions: dict[str, Schema] = {}
        self._form = form
        self._at = at
        self._rename: Callable[[str], str] = camel if form is Form.CAMEL else str
        self._names: dict[TypeOf, str] = {}

    def of(self, tp: TypeOf) -> Schema:
        """The schema of `tp`; a named type is a `$ref` to its definition. Raises NoCodec for a type without codec."""
        codec_of(tp, self._form)  # one judge of what has a codec
        return self._schema(bare(tp))

    def default(self, tp: TypeOf, value: object) -> Schema:
        """`{"default": ...}` with `value` as plain data; {} when it has no plain form: a default may be of any type."""
        try:
            plain = codec_of(tp, self._form).encode(value)
        except (Misfit, NoCodec, TypeError, ValueError):
            return {}
        return {} if _has_bytes(plain) else {"default": plain}

    def _schema(self, tp: TypeOf) -> Schema:
        tp = bare(tp)
        if tp in _SCALARS:
            return dict(_SCALARS[tp] if self._form is not Form.WIRE or tp not in _ON_THE_WIRE else _ON_THE_WIRE[tp])
        if tp in _OF_HTTP:
            return {TYPE: _OF_HTTP[tp]}
        if tp is Any:
            return {}
        if is_literal(tp):
            return _choice([plain_literal(value) for value in typing.get_args(tp)])
        if is_union(tp):
            return self._union(tp)
        if is_enum(tp) or is_object(tp) or is_named_tuple(tp):
            return {"$ref": self._at + self._defined(tp)}
        origin, arguments = origin_of(tp), typing.get_args(tp)
        if origin in SEQUENCES:
            return self._sequence(origin, arguments)
        return self._mapping(arguments)

    def _sequence(self, origin: Any, arguments: tuple[TypeOf, ...]) -> Schema:
        if origin is tuple and not (len(arguments) == 2 and arguments[1] is ...):
            return {TYPE: "tuple", **self._row([self._schema(argument) for argument in arguments], len(arguments))}
        made = SEQUENCES[origin].__name__
        listed = {"type": "array", "items": self._schema(arguments[0])}
        return listed if made == "list" else {**listed, TYPE: made}

    def _mapping(self, arguments: tuple[TypeOf, ...]) -> Schema:
        key, value = self._schema(arguments[0]), self._schema(arguments[1])
        try:
            exact = text_of(arguments[0]).exact
        except NoCodec:
            exact = False
        if not exact:
            pair = {TYPE: "tuple", **self._row([key, value], 2)}
            return {TYPE: "dict", "type": "array", "items": pair}
        found: Schema = {"type": "object", "additionalProperties": value}
        if bare(arguments[0]) is not str:
            found |= {"propertyNames": _key_names(bare(arguments[0])), "x-aether-keys": key}
        return found

    def _row(self, items: list[Schema], shortest: int) -> Schema:
        row = {"prefixItems": items} if items else {}
        return {"type": "array", **row, "items": False, "minItems": shortest, "maxItems": len(items)}

    def _union(self, tp: TypeOf) -> Schema:
        members = union_members(tp)
        objects = [m for m in members if is_object(m)]
        own_tag = len(objects) > 1 and common_literal(objects) is None
        return {"anyOf": [self._tagged(m) if own_tag and m in objects else self._schema(m) for m in members]}

    def _tagged(self, tp: TypeOf) -> Schema:
        return {**self._schema(tp), "properties": {TAG: {"const": type_name(tp)}}, "required": [TAG]}

    def _defined(self, tp: TypeOf) -> str:
        known = self._names.get(tp)
        if known is not None:
            return known
        wanted = re.sub(r"\W+", "_", type_name(tp)).strip("_")
        name, number = wanted, 1
        while name in self.definitions:  # another class of that name
            number += 1
            name = f"{wanted}{number}"
        self._names[tp] = name
        self.definitions[name] = {}  # its place, in case the type contains itself
        self.definitions[name] = {"title": type_name(tp), **_described(tp), **self._definition(tp)}
        return name

    def _definition(self, tp: TypeOf) -> Schema:
        if is_enum(tp):
            return _enum(tp)
        parts = [part for part in parts_of(tp) if part.init]
        defaults = dict(_defaults(tp))
        properties = {self._rename(part.name): self._property(part, defaults) for part in parts}
        if is_named_tuple(tp):
            row = self._row(list(properties.values()), sum(part.required for part in parts))
            return {TYPE: "named tuple", NAMES: [part.name for part in parts], **row}
        kind = {TYPE: "typed dict"} if is_typed_dict(tp) else {}
        required = [self._rename(part.name) for part in parts if part.required]
        return {**kind, "type": "object", "properties": properties, **({"required": required} if required else {})}

    def _property(self, part: Part, defaults: Mapping[str, object]) -> Schema:
        found = self._schema(part.type)
        return {**found, **self.default(part.type, defaults[part.name])} if part.name in defaults else found


_INTEGER: Final[Schema] = {"type": "integer", "minimum": INT_MIN, "maximum": INT_MAX}
_SCALARS: Final[Mapping[object, Schema]] = {
    str: {"type": "string"},
    int: _INTEGER,
    bool: {"type": "boolean"},
    float: {"type": "number"},
    type(None): {"type": "null"},
    bytes: {"type": "string", "contentEncoding": "base64", TYPE: "bytes"},
    Decimal: {"type": "string", "format": "decimal", TYPE: "Decimal"},
    UUID: {"type": "string", "format": "uuid", TYPE: "UUID"},
    datetime: {"type": "string", "format": "date-time", TYPE: "datetime"},
    date: {"type": "string", "format": "date", TYPE: "date"},
    time: {"type": "string", "format": "time", TYPE: "time"},
    timedelta: {"type": "string", "format": "duration", TYPE: "timedelta"},
}
_OF_HTTP: Final[Mapping[object, str]] = {
    Body: "aether.Body",
    Request: "aether.Request",
    Response: "aether.Response",
}
"""Not described further: they are HTTP itself."""
_ON_THE_WIRE: Final[Mapping[object, Schema]] = {bytes: {"type": "string", "format": "binary", TYPE: "bytes"}}


def _choice(values: list[Any]) -> Schema:
    return {"const": values[0]} if len(values) == 1 else {"enum": values}


def _enum(cls: type[enum.Enum]) -> Schema:
    if issubclass(cls, enum.Flag):
        every = sum(member.value for member in cls)
        names = {name: member.value for name, member in cls.__members__.items()}
        return {TYPE: "flag", "type": "integer", "minimum": 0, "maximum": every, NAMES: names}
    return {TYPE: "enum", "enum": enum_plain(cls), NAMES: [member.name for member in cls]}


def _key_names(tp: TypeOf) -> Schema:
    """What texts an object with keys of `tp` has as names."""
    if is_enum(tp) and not issubclass(tp, enum.Flag):
        return {"enum": [text_of(tp).write(member) for member in tp]}
    if is_literal(tp):
        return {"enum": [text_of(tp).write(value) for value in typing.get_args(tp)]}
    if tp is bool:
        return {"enum": ["true", "false"]}
    if tp is int or is_enum(tp):
        return {"pattern": "^-?[0-9]{1,19}$"}
    if tp is float:
        return {"pattern": r"^-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$"}
    found = _SCALARS.get(tp, {})
    return {name: found[name] for name in ("format", "contentEncoding") if name in found}


def _described(tp: TypeOf) -> Schema:
    cls: Any = origin_of(tp) or tp
    own: object = cls.__dict__.get("__doc__")
    text = inspect.cleandoc(own).split("\n\n")[0].replace("\n", " ") if isinstance(own, str) else ""
    generated = is_named_tuple(tp) or text.startswith(f"{cls.__name__}(") or not text
    return {} if generated or (is_enum(tp) and text == "An enumeration.") else {"description": text}


def _defaults(tp: TypeOf) -> Iterator[tuple[str, object]]:
    """Defaults of fields by name, as far as they are the same for every value: a clock's or a counter's is not."""
    cls: Any = origin_of(tp) or tp
    if is_named_tuple(tp):
        yield from cls._field_defaults.items()
    elif is_record(tp) and attrs.has(cls):
        for field in attrs.fields(cls):
            factory: Any = getattr(field.default, "factory", None)
            if factory in _EMPTY:
                yield field.name, factory()
            elif field.default is not attrs.NOTHING and factory is None:
                yield field.name, field.default
    elif is_record(tp):
        for own in dataclasses.fields(cls):
            if own.default is not dataclasses.MISSING:
                yield own.name, own.default
            elif (made := typing.cast("Any", own.default_factory)) in _EMPTY:
                yield own.name, made()


_EMPTY: Final[tuple[object, ...]] = (list, dict, set, frozenset, tuple)


def _has_bytes(plain: object) -> bool:
    if isinstance(plain, dict):
        return any(_has_bytes(value) for value in typing.cast("dict[object, object]", plain).values())
    if isinstance(plain, list):
        return any(_has_bytes(value) for value in typing.cast("list[object]", plain))
    return isinstance(plain, bytes) or (isinstance(plain, float) and plain - plain != 0)
