"""Types as the codec reads them: what an annotation stands for, and the parts of a class.

Knows: NewType, Annotated, aliases, unions, generics, attrs, dataclasses, TypedDict, NamedTuple, enums.
Never: values.
"""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Literal, NewType, TypeVar, Union

import attrs
import typing_extensions

TypeOf = Any
"""A type expression: a class, `list[int]`, `int | str`, `Literal["a"]`, ..."""

_WRAPPERS: Final = frozenset(
    {typing.Required, typing.NotRequired, typing.Final, typing_extensions.Required, typing_extensions.NotRequired,
     typing_extensions.ReadOnly}
)  # fmt: skip


class NoCodec(TypeError):
    """A type has no codec; `path` leads to it from where the search began."""

    def __init__(self, reason: str, path: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.path = path

    def below(self, path: str) -> NoCodec:
        return NoCodec(self.reason, path + self.path)


@attrs.frozen
class Part:
    """One field of a class. required  it has no default; init  the constructor takes it"""

    name: str
    type: TypeOf
    required: bool
    init: bool = True


def origin_of(tp: TypeOf) -> Any:
    """`typing.get_origin`, typed for what it is: a class, a special form, or None."""
    return typing.get_origin(tp)


def bare(tp: TypeOf) -> TypeOf:
    """`tp` without NewType, Annotated, aliases and qualifiers around it."""
    while True:
        origin = origin_of(tp)
        if isinstance(tp, NewType):
            tp = tp.__supertype__
        elif origin is Annotated or origin in _WRAPPERS:
            tp = typing.get_args(tp)[0]
        elif isinstance(tp, typing_extensions.TypeAliasType):
            tp = tp.__value__
        else:
            return type(None) if tp is None else tp


def is_union(tp: TypeOf) -> bool:
    return origin_of(tp) is Union or isinstance(tp, types.UnionType)


def union_members(tp: TypeOf) -> tuple[TypeOf, ...]:
    """Members of a union, nested ones flattened, in order, each once."""
    members: dict[TypeOf, None] = {}
    for member in typing.get_args(tp):
        inner = bare(member)
        members.update(dict.fromkeys(union_members(inner) if is_union(inner) else (member,)))
    return tuple(members)


def without_none(tp: TypeOf) -> tuple[TypeOf, bool]:
    """`tp` without `None`, and whether `None` was in it. Markers of Annotated stay on what remains."""
    inner = bare(tp)
    if not is_union(inner):
        return tp, False
    members = union_members(inner)
    kept = tuple(m for m in members if bare(m) is not type(None))
    if len(kept) == len(members) or not kept:
        return tp, False
    return Union[kept], True  # noqa: UP007 - built from a tuple


def is_literal(tp: TypeOf) -> bool:
    return origin_of(tp) in (Literal, typing_extensions.Literal)


def is_enum(tp: TypeOf) -> bool:
    return isinstance(tp, type) and issubclass(tp, enum.Enum)


def is_typed_dict(tp: TypeOf) -> bool:
    return typing_extensions.is_typeddict(origin_of(tp) or tp)


def is_named_tuple(tp: TypeOf) -> bool:
    origin: Any = origin_of(tp) or tp
    return hasattr(origin, "_fields") and isinstance(origin, type) and issubclass(origin, tuple)


def is_record(tp: TypeOf) -> bool:
    """An attrs class or a dataclass, generic or not."""
    origin = origin_of(tp) or tp
    return isinstance(origin, type) and (attrs.has(origin) or dataclasses.is_dataclass(origin))


def is_object(tp: TypeOf) -> bool:
    """Whether values of `tp` are JSON objects with fixed names: attrs, dataclass or TypedDict."""
    return is_record(bare(tp)) or is_typed_dict(bare(tp))


def type_name(tp: TypeOf) -> str:
    """How `tp` is written in messages."""
    arguments = typing.get_args(tp)
    if isinstance(tp, type) and not arguments:
        return "None" if tp is type(None) else tp.__qualname__.rpartition(".")[2]
    if is_union(tp):
        return " | ".join(type_name(a) for a in arguments)
    if not arguments or is_literal(tp) or any(isinstance(a, list) for a in arguments):
        return str(tp).replace("typing.", "").replace("typing_extensions.", "")
    if origin_of(tp) is Annotated:
        return type_name(arguments[0])
    return f"{type_name(origin_of(tp))}[{', '.join('...' if a is ... else type_name(a) for a in arguments)}]"


def parts_of(tp: TypeOf) -> tuple[Part, ...]:
    """The fields of a record, TypedDict or NamedTuple, type variables replaced. Raises NoCodec for unknown names."""
    origin: Any = origin_of(tp) or tp
    hints = _hints(origin)
    if attrs.has(origin):
        attrs.resolve_types(origin, include_extras=True)
        found = [(a.name, a.type, a.default is attrs.NOTHING and a.init, a.init) for a in attrs.fields(origin)]
    elif dataclasses.is_dataclass(origin):
        missing = dataclasses.MISSING
        for f in dataclasses.fields(origin):
            f.type = hints[f.name]  # cattrs resolves whole strings only, not `list["Node"]`
        found = [
            (f.name, f.type, f.default is missing and f.default_factory is missing and f.init, f.init)
            for f in dataclasses.fields(origin)
        ]
    elif is_typed_dict(origin):
        found = [(name, hint, _is_required(origin, name, hint), True) for name, hint in hints.items()]
    else:
        found = [(name, hints.get(name), name not in origin._field_defaults, True) for name in origin._fields]
    replace = substitution(tp)
    for name, hint, *_ in found:
        if hint is None:
            raise NoCodec("has no annotation", f".{name}")
    return tuple(Part(name, replace(hint), required, init) for name, hint, required, init in found)


def _is_required(cls: Any, name: str, hint: TypeOf) -> bool:
    """Of a key of a TypedDict. Where annotations are strings, `__required_keys__` knows nothing of the markers."""
    marked = origin_of(typing.get_args(hint)[0] if origin_of(hint) is typing_extensions.ReadOnly else hint)
    if marked in (typing.NotRequired, typing_extensions.NotRequired):
        return False
    return marked in (typing.Required, typing_extensions.Required) or name in cls.__required_keys__


def substitution(tp: TypeOf) -> Callable[[TypeOf], TypeOf]:
    """A function that replaces the type variables of a generic class by the arguments given in `tp` and its bases."""
    values = _type_arguments(tp)

    def replace(hint: TypeOf) -> TypeOf:
        if isinstance(hint, TypeVar):
            return values.get(hint, hint)
        parameters = getattr(hint, "__parameters__", ())
        if not parameters or not typing.get_args(hint):
            return hint
        return hint[tuple(values.get(p, p) for p in parameters)]

    return replace


def _type_arguments(tp: TypeOf) -> Mapping[Any, TypeOf]:
    origin: Any = origin_of(tp) or tp
    values: dict[Any, TypeOf] = dict(zip(getattr(origin, "__parameters__", ()), typing.get_args(tp), strict=False))
    for base in getattr(origin, "__orig_bases__", ()):
        if origin_of(base) not in (None, typing.Generic, typing.Protocol):
            for variable, value in _type_arguments(base).items():
                values.setdefault(variable, values.get(value, value) if isinstance(value, TypeVar) else value)
    return values


def _hints(origin: Any) -> dict[str, TypeOf]:
    try:
        return typing_extensions.get_type_hints(origin, include_extras=True)
    except NameError as error:
        raise NoCodec(
            f"the name {error.name!r} in an annotation of {type_name(origin)} is not known at run time; import it at "
            f"module level of {origin.__module__}, outside `if TYPE_CHECKING`"
        ) from error
