"""Unions: which member a value belongs to, decided by what it looks like, never by trying.

Knows: the JSON kind and the Python classes of each member; tags for unions of classes.
Never: guessing: members that look alike are refused when the codec is made.
Holds: classes are told apart by a common Literal field with different values, else by their name under `_type`.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from aether.slice_api.annotations import (
    NoCodec,
    TypeOf,
    bare,
    is_enum,
    is_literal,
    is_named_tuple,
    is_object,
    is_record,
    origin_of,
    parts_of,
    type_name,
    union_members,
)
from aether.slice_api.misfit import Misfit, expected
from aether.slice_api.scalars import SCALARS, Kind
from aether.slice_api.textual import SEQUENCES, enum_plain, plain_literal, text_of

Hook = Callable[[Any], Any]
Hooks = tuple[Hook, Hook]
At = Callable[[TypeOf, str], Hooks]

TAG: Final = "_type"
_CLASSES: Final[Mapping[Kind, tuple[type, ...]]] = {
    Kind.NULL: (type(None),), Kind.BOOL: (bool,), Kind.INT: (int,), Kind.FLOAT: (float,), Kind.TEXT: (str,),
    Kind.LIST: (list, tuple), Kind.OBJECT: (dict,),
}  # fmt: skip


@attrs.frozen
class Members:
    """A union; whether bytes stay bytes; how field names are spelt outside."""

    type: TypeOf
    wire: bool
    rename: Callable[[str], str] = str


def union_hooks(union: Members, at: At) -> Hooks:
    """Hooks that pick the member by the value's class, or the plain value's. Raises NoCodec when two look alike."""
    members = union_members(union.type)
    objects = [m for m in members if is_object(m)]
    hooks = {m: at(m, "") for m in members}
    tagged = _tagged(objects, hooks, union.rename) if len(objects) > 1 else None
    decoders: dict[type, tuple[TypeOf, Hook]] = {}
    encoders: dict[type, Hook] = {}
    for member in members:
        in_tag = tagged is not None and member in objects
        for cls in _plain_classes(member, union.wire):
            known = decoders.setdefault(cls, (member, tagged[1] if in_tag and tagged else hooks[member][1]))
            if known[0] != member and not (in_tag and known[0] in objects):
                raise NoCodec(
                    f"{type_name(known[0])} and {type_name(member)} look alike as plain data ({cls.__name__}), so that "
                    "a union of them could only be guessed; wrap one in a class"
                )
        for cls in _value_classes(member):
            encoders[cls] = tagged[0] if in_tag and tagged else hooks[member][0]
    float_hooks = hooks.get(float)
    if float_hooks is not None and int not in decoders:
        decoders[int] = (float, float_hooks[1])
        encoders[int] = float_hooks[0]
    return _by_class(" or ".join(type_name(m) for m in members), encoders, {c: h for c, (_, h) in decoders.items()})


def _by_class(name: str, encoders: Mapping[type, Hook], decoders: Mapping[type, Hook]) -> Hooks:
    def encode(value: Any) -> Any:
        found = encoders.get(value.__class__)
        if found is None:
            found = next(
                (h for cls, h in encoders.items() if isinstance(value, cls) and not isinstance(value, bool)), None
            )
        if found is None:
            raise expected(name, value)
        return found(value)

    def decode(plain: Any, _: Any = None) -> Any:
        found = decoders.get(plain.__class__)
        if found is None:
            raise expected(name, plain)
        return found(plain)

    return encode, decode


def _tagged(objects: list[TypeOf], hooks: Mapping[TypeOf, Hooks], rename: Callable[[str], str]) -> Hooks:
    field = common_literal(objects)
    if field is not None:
        key, tags = field
        decoders = {tag: hooks[member][1] for member, values in tags.items() for tag in values}
        return _literal_writer(key, tags, hooks), _tag_reader(rename(key), decoders)
    names = {m: type_name(m) for m in objects}
    classes = {origin_of(bare(m)) or bare(m) for m in objects}
    if (
        len(set(names.values())) < len(objects)
        or len(classes) < len(objects)
        or not all(is_record(bare(m)) for m in objects)
    ):
        raise NoCodec(
            f'{", ".join(names.values())} cannot be told apart; give each a field such as `kind: Literal["card"]` with '
            "different values"
        )
    if any(part.name == TAG for m in objects for part in parts_of(bare(m))):
        raise NoCodec(f"a class of a union has a field {TAG!r}, which is where its name is written; rename the field")
    by_class = {origin_of(bare(m)) or bare(m): _with_tag(names[m], hooks[m][0]) for m in objects}
    return lambda value: by_class[value.__class__](value), _tag_reader(TAG, {names[m]: hooks[m][1] for m in objects})


def _literal_writer(key: str, tags: Mapping[TypeOf, tuple[str, ...]], hooks: Mapping[TypeOf, Hooks]) -> Hook:
    by_tag = {tag: hooks[member][0] for member, values in tags.items() for tag in values}
    allowed = " or ".join(repr(tag) for tag in by_tag)

    def encode(value: Any) -> Any:
        # The class alone does not tell TypedDicts apart; the field does, for every kind of object.
        tag = plain_literal(value[key] if value.__class__ is dict else getattr(value, key))
        found = by_tag.get(tag) if isinstance(tag, str) else None
        if found is None:
            raise Misfit((f".{key}", f"expected {allowed}, got {tag!r}"))
        return found(value)

    return encode


def _with_tag(name: str, encode: Hook) -> Hook:
    return lambda value: {TAG: name, **encode(value)}


def _tag_reader(key: str, decoders: Mapping[Any, Hook]) -> Hook:
    allowed = " or ".join(repr(tag) for tag in decoders)

    def decode(plain: Any, _: Any = None) -> Any:
        tag = plain.get(key)
        found = decoders.get(tag) if isinstance(tag, str) else None
        if found is None:
            what = "missing" if key not in plain else f"expected {allowed}, got {tag!r}"
            raise Misfit((f".{key}", what))
        return found(plain)

    return decode


def common_literal(objects: list[TypeOf]) -> tuple[str, dict[TypeOf, tuple[str, ...]]] | None:
    fields = [{p.name: bare(p.type) for p in parts_of(bare(m)) if is_literal(bare(p.type))} for m in objects]
    for name in fields[0]:
        if not all(name in own for own in fields):
            continue
        tags = {
            m: tuple(plain_literal(v) for v in typing.get_args(own[name]))
            for m, own in zip(objects, fields, strict=True)
        }
        every = [tag for values in tags.values() for tag in values]
        if all(isinstance(tag, str) for tag in every) and len(set(every)) == len(every):
            return name, tags
    return None


def _plain_classes(member: TypeOf, wire: bool) -> tuple[type, ...]:
    tp = bare(member)
    if tp in SCALARS:
        return (bytes,) if tp is bytes and wire else _CLASSES[SCALARS[tp].kind]
    if is_literal(tp):
        return tuple({plain_literal(v).__class__ for v in typing.get_args(tp)})
    if is_enum(tp):
        return tuple({type(plain) for plain in enum_plain(tp)})
    if is_object(tp):
        return (dict,)
    origin = origin_of(tp)
    if is_named_tuple(tp) or origin in SEQUENCES:
        return (list, tuple)
    if origin is not None and isinstance(origin, type) and issubclass(origin, typing.Mapping):
        try:
            return (dict,) if text_of(typing.get_args(tp)[0]).exact else (list, tuple)
        except NoCodec:
            return (list, tuple)
    raise NoCodec(f"{type_name(member)} cannot be a member of a union, because it may look like anything")


def _value_classes(member: TypeOf) -> tuple[type, ...]:
    tp: Any = bare(member)
    origin = origin_of(tp)
    if is_literal(tp):
        return tuple({v.__class__ for v in typing.get_args(tp)})
    if origin in SEQUENCES:
        made = SEQUENCES[origin]
        return (list, tuple) if made is list and origin is not list else (made,)
    if origin is not None and isinstance(origin, type) and issubclass(origin, typing.Mapping):
        return (dict,)
    if is_object(tp) and not is_record(tp):
        return (dict,)
    found: list[Any] = [tp if origin is None else origin]
    return tuple(found)
