"""Lists, tuples, sets, mappings, TypedDict, NamedTuple and plain data: values with parts that have no class of attrs.

Knows: how each is spelt; that JSON objects have text as keys, and other keys make a list of pairs.
Never: which form is spoken; hooks of the parts are given.
Holds: the fast path is one loop; when it fails, it goes on from there and collects all problems, each with its path.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from aether.slice_api.annotations import NoCodec, TypeOf, parts_of, type_name
from aether.slice_api.misfit import Misfit, collect, expected, items
from aether.slice_api.scalars import decode_str, encode_int
from aether.slice_api.textual import SEQUENCES, text_of

Hook = Callable[[Any], Any]
Hooks = tuple[Hook, Hook]
At = Callable[[TypeOf, str], Hooks]


def listing(tp: TypeOf, origin: Any, arguments: tuple[TypeOf, ...], at: At) -> Hooks:
    """list, tuple of one type, set, frozenset and their abstract classes: a list."""
    if origin is tuple and not (len(arguments) == 2 and arguments[1] is ...):
        return _rows(tp, tuple, [at(argument, f"[{i}]") for i, argument in enumerate(arguments)], len(arguments))
    made: Any = SEQUENCES[origin]
    accepted: tuple[type[Any], ...] = (made,) if origin in (list, tuple, set, frozenset) else _ABSTRACT[made]
    encode_item, decode_item = at(arguments[0], "[]")
    name = type_name(tp)

    def encode(value: Any) -> Any:
        if value.__class__ not in accepted:
            raise expected(name, value)
        return items(value, encode_item)

    def decode(plain: Any, _: Any = None) -> Any:
        if plain.__class__ is not list and plain.__class__ is not tuple:
            raise expected(f"list ({name})", plain)
        found = items(plain, decode_item)
        try:
            return found if made is list else made(found)
        except TypeError as error:  # unhashable items of a set
            raise Misfit(("", str(error))) from None

    return encode, decode


_ABSTRACT: dict[type, tuple[type, ...]] = {
    list: (list, tuple),
    frozenset: (frozenset, set),
    set: (set,),
    tuple: (tuple,),
}


def named_tuple(cls: Any, at: At) -> Hooks:
    """A list in the order of the fields; defaults fill what is missing at the end."""
    parts = parts_of(cls)
    return _rows(cls, cls, [at(p.type, f".{p.name}") for p in parts], sum(p.required for p in parts))


def mapping(tp: TypeOf, origin: Any, arguments: tuple[TypeOf, ...], at: At) -> Hooks:
    """An object when keys have one spelling as text, else a list of [key, value] pairs."""
    if not issubclass(dict, origin):
        raise NoCodec(f"{type_name(tp)}: of mappings only dict, Mapping and MutableMapping travel")
    name = type_name(tp)
    encode_value, decode_value = at(arguments[1], "[]")
    try:
        text = text_of(arguments[0])
    except NoCodec:
        text = None
    if text is None or not text.exact:
        return _pairs(name, at(arguments[0], ".keys()"), (encode_value, decode_value))
    write, read = text.write, text.read

    def encode(value: Any) -> Any:
        if not _is_dict(value):
            raise expected(name, value)
        return _entries(value, write, encode_value)

    def decode(plain: Any, _: Any = None) -> Any:
        if plain.__class__ is not dict:
            raise expected(f"object ({name})", plain)
        return _entries(plain, read, decode_value)

    return encode, decode


def typed_dict(tp: Any, at: At, rename: Callable[[str], str]) -> Hooks:
    """An object with fixed names. Unknown names are refused in a value, and ignored in plain data as for classes."""
    name = type_name(tp)
    parts = {p.name: (rename(p.name), p.required, *at(p.type, f".{p.name}")) for p in parts_of(tp)}
    if len({outside for outside, *_ in parts.values()}) != len(parts):
        raise NoCodec(f"two fields of {name} have the same name in camelCase")

    outward = {inside: (outside, required, encode) for inside, (outside, required, encode, _) in parts.items()}
    inward = {outside: (inside, required, decode) for inside, (outside, required, _, decode) in parts.items()}

    def encode(value: Any) -> Any:
        if not _is_dict(value):
            raise expected(name, value)
        unknown: set[Any] = value.keys() - parts.keys()
        if unknown:
            raise Misfit(*((f".{key}", f"unknown field of {name}") for key in sorted(unknown, key=str)))
        return _members(value, outward)

    def decode(plain: Any, _: Any = None) -> Any:
        if plain.__class__ is not dict:
            raise expected(f"object ({name})", plain)
        return _members(plain, inward)

    return encode, decode


def _members(source: Any, parts: Mapping[str, tuple[str, bool, Hook]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    problems: list[tuple[str, str]] = []
    for name, (target, required, hook) in parts.items():
        if name in source:
            try:
                result[target] = hook(source[name])
            except Misfit as error:
                problems += ((f".{name}{below}", what) for below, what in error.problems)
        elif required:
            problems.append((f".{name}", "missing"))
    if problems:
        raise Misfit(*problems)
    return result


def any_hooks(json: bool) -> Hooks:
    """`Any`: plain data as it is, copied, so that caller and callee share nothing."""

    def copy(value: Any, _: Any = None) -> Any:
        cls = value.__class__
        if value is None or cls is bool or (cls is bytes and not json):
            return value
        if cls is str:
            return decode_str(value)
        if cls is int:
            return encode_int(value)
        if cls is float and (math.isfinite(value) or not json):
            return value
        if cls is list or cls is tuple:
            return [copy(v) for v in value]
        if cls is dict:
            for key in value:
                if key.__class__ is not str:
                    raise expected("str as key of plain data", key)
            return {decode_str(k): copy(v) for k, v in value.items()}
        raise expected("plain data (None, bool, int, float, str, list, dict)", value)

    return copy, copy


def _rows(tp: TypeOf, cls: Any, hooks: list[Hooks], shortest: int) -> Hooks:
    name, longest = type_name(tp), len(hooks)
    encoders, decoders = [h[0] for h in hooks], [h[1] for h in hooks]
    size = str(longest) if shortest == longest else f"{shortest} to {longest}"

    def encode(value: Any) -> Any:
        if value.__class__ is not cls or len(value) != longest:
            raise expected(name, value)
        return _row(encoders, value)

    def decode(plain: Any, _: Any = None) -> Any:
        if plain.__class__ is not list and plain.__class__ is not tuple:
            raise expected(f"list ({name})", plain)
        if not shortest <= len(plain) <= longest:
            raise Misfit(("", f"expected {size} items ({name}), got {len(plain)}"))
        found = _row(decoders[: len(plain)], plain)
        return tuple(found) if cls is tuple else cls(*found)

    return encode, decode


def _row(hooks: list[Hook], values: Any) -> list[Any]:
    return items(list(zip(hooks, values, strict=True)), _apply)


def _apply(pair: tuple[Hook, Any]) -> Any:
    return pair[0](pair[1])


def _pairs(name: str, keys: Hooks, values: Hooks) -> Hooks:
    encode_pair, decode_pair = _rows(tuple[Any, Any], tuple, [keys, values], 2)

    def encode(value: Any) -> Any:
        if not _is_dict(value):
            raise expected(name, value)
        return items(list(value.items()), encode_pair)

    def decode(plain: Any, _: Any = None) -> Any:
        if plain.__class__ is not list and plain.__class__ is not tuple:
            raise expected(f"list of [key, value] pairs ({name})", plain)
        found = items(plain, decode_pair)
        try:
            return dict(found)
        except TypeError as error:  # unhashable keys
            raise Misfit(("", str(error))) from None

    return encode, decode


def _is_dict(value: Any) -> bool:
    return isinstance(value, dict)


def _entries(mapping: Any, key_hook: Hook, value_hook: Hook) -> dict[Any, Any]:
    result: dict[Any, Any] = {}
    position = iter(mapping.items())
    key: Any = None
    try:
        for key, value in position:
            result[key_hook(key)] = value_hook(value)
    except (Misfit, RecursionError) as error:
        rest = ((f"[{k!r:.60}]", (k, v)) for k, v in position)
        raise collect((f"[{key!r:.60}]", error), rest, lambda pair: (key_hook(pair[0]), value_hook(pair[1]))) from None
    if len(result) < len(mapping):
        raise Misfit(("", "expected each key once, got two spellings of one key"))
    return result
