"""The rules of a contract that a class's own text can break, each with the fix in its message.

Knows: fields, methods and bases of a class as Python shows them, before any type is resolved.
Never: types (module `names` resolves them), codecs.
"""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Final

import attrs

from aether.errors import ContractError
from aether.slice_api.fields import SPEC
from aether.slice_api.marks import is_protocol, is_slice, marks_of

_SPECIFIER: Final[Any] = attrs.field().__class__
_NO_CONTRACT: Final = (staticmethod, classmethod, property, functools.cached_property, type)


def check_class(cls: type) -> None:
    """Everything wrong with the fields and bases of `cls`. Raises ContractError."""
    for base in _ordinary_bases(cls):
        if "__init__" in base.__dict__ and not is_slice(base):
            raise ContractError(
                f"{_at(cls, base)} has its own __init__; delete it: fields are the constructor, and what must run at "
                "the start goes into an @aether.lifespan method"
            )
    if "__slots__" in cls.__dict__:
        raise ContractError(f"{cls.__name__} has __slots__; delete the line: slices keep an ordinary __dict__")
    own = inspect.get_annotations(cls)
    for name, value in cls.__dict__.items():
        if isinstance(value, _SPECIFIER) and name not in own:
            raise ContractError(
                f"{cls.__name__}.{name} has no annotation; write `{name}: {_example(value)} = ...`, so that its "
                "type is known"
            )
        if name in own and not _is_class_variable(own[name]) and _is_mutable(value):
            raise ContractError(
                f"{cls.__name__}.{name} has the mutable default {value!r}, which all instances would share; write "
                f"`{name}: ... = aether.state(factory={type(value).__name__})`"
            )
    for base in cls.__mro__[1:]:
        if base.__module__ not in ("builtins", "typing", "typing_extensions") and not is_slice(base):
            _no_fields(cls, base)


def check_protocols(cls: type) -> None:
    """Every public method of a Protocol base is implemented. Raises ContractError."""
    for base in cls.__mro__[1:]:
        if is_protocol(base):
            for name in _protocol_methods(base):
                owner = next(c for c in cls.__mro__ if name in c.__dict__)
                if is_protocol(owner):
                    raise ContractError(
                        f"{cls.__name__} names the Protocol {base.__name__} as a base but does not implement {name!r}; "
                        f"write `async def {name}(...)` in {cls.__name__}: the Protocol's own would return None"
                    )


def check_abstract(cls: type) -> None:
    """Nothing is left abstract, or no instance could be made. Raises ContractError."""
    missing: frozenset[str] = getattr(cls, "__abstractmethods__", frozenset())
    if missing:
        raise ContractError(
            f"{cls.__name__} leaves abstract: {', '.join(sorted(missing))}; implement each in {cls.__name__}"
        )


def check_protocol(protocol: type) -> None:
    """A Protocol that a proxy can stand for offers methods only. Raises ContractError."""
    for base in protocol.__mro__:
        for name in inspect.get_annotations(base) if is_protocol(base) else ():
            raise ContractError(
                f"the Protocol {protocol.__name__} has the attribute {name!r}, but only methods can be called on "
                f"another node; write `async def {name}(self) -> ...`"
            )


def methods(cls: type) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Public functions of the contract, those of bases included, in the order of definition, base classes first.

    Raises ContractError for a public member that is callable but no `async def`.
    """
    seen = dict[str, Any]()
    for base in reversed(cls.__mro__):
        if base is not object and base.__module__ not in ("typing", "typing_extensions"):
            own = base.__dict__
            seen |= {name: own[name] for name in own if not name.startswith("_")}
    for name, value in seen.items():
        if _is_method(value) and not (marks_of(value).lifespan or marks_of(value).background):
            _check_kind(cls, name, value)
            yield name, value


def marked_functions(cls: type, mark: str) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Functions marked `lifespan` or `background`, private names too."""
    for name in dict.fromkeys(name for base in reversed(cls.__mro__) for name in base.__dict__):
        value = inspect.getattr_static(cls, name)
        if isinstance(value, types.FunctionType) and getattr(marks_of(value), mark):
            yield name, value


def check_signature(where: str, function: Callable[..., Any]) -> inspect.Signature:
    """The signature of `function`, `self` left out; every parameter travels by name and has a type.

    Raises ContractError for `*args`, `**kwargs`, positional-only and unannotated parameters, and a missing return type.
    """
    signature = inspect.signature(function)
    own, parameters = list(signature.parameters.values())[:1], list(signature.parameters.values())[1:]
    if not own or own[0].kind not in (own[0].POSITIONAL_ONLY, own[0].POSITIONAL_OR_KEYWORD):
        raise ContractError(f"{where} takes no `self` that can be seen; {_HIDDEN}")
    for p in parameters:
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            stars = "*" if p.kind is p.VAR_POSITIONAL else "**"
            raise ContractError(
                f"{where} takes {stars}{p.name}, but arguments travel by name; name each parameter, or {_HIDDEN}"
            )
        if p.kind is p.POSITIONAL_ONLY:
            raise ContractError(
                f"{where}: parameter {p.name!r} is positional-only, but arguments travel by name; remove the `/`"
            )
        if p.annotation is p.empty:
            raise ContractError(f"{where}: parameter {p.name!r} has no annotation; write `{p.name}: <type>`")
    if signature.return_annotation is signature.empty:
        raise ContractError(f"{where} has no return annotation; write `-> <type>`, or `-> None`")
    return signature.replace(parameters=parameters)


_HIDDEN: Final = (
    "if a decorator hides the signature, let its wrapper be an `async def` under `@functools.wraps(function)`"
)


def _check_kind(cls: type, name: str, function: Callable[..., Any]) -> None:
    where = f"{cls.__name__}.{name}"
    if not isinstance(function, types.FunctionType):
        raise ContractError(
            f"{where} is {type(function).__name__}, which hides the method's signature; {_HIDDEN}, or name it `_{name}`"
        )
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        return
    if _returns_iterator(function):  # of a slice too: it hands a stream on
        return
    wrapped = inspect.unwrap(function)
    if wrapped is not function and (inspect.iscoroutinefunction(wrapped) or inspect.isasyncgenfunction(wrapped)):
        raise ContractError(f"{where} is async, but its decorator returns a plain `def`; {_HIDDEN}")
    raise ContractError(
        f"{where} is a public plain `def`; write `async def {name}`, or `@aether.blocking` above it when it blocks, or "
        f"name it `_{name}` when it is not part of the contract"
    )


def _is_method(value: object) -> bool:
    return callable(value) and not isinstance(value, _NO_CONTRACT)


def _returns_iterator(function: types.FunctionType) -> bool:
    returns: object = function.__annotations__.get("return")
    text = returns if isinstance(returns, str) else repr(returns)
    return any(word in text for word in ("AsyncIterator[", "AsyncGenerator[", "AsyncIterable["))


def _protocol_methods(protocol: type) -> list[str]:
    return [name for name, value in protocol.__dict__.items() if not name.startswith("_") and _is_method(value)]


def _ordinary_bases(cls: type) -> list[type]:
    return [
        base for base in cls.__mro__ if base is not object and not is_protocol(base) and base.__module__ != "typing"
    ]


def _no_fields(cls: type, base: type) -> None:
    for name, annotation in inspect.get_annotations(base).items():
        if not _is_class_variable(annotation):
            fix = (
                "write it in the slice"
                if is_protocol(base)
                else f"decorate {base.__name__} with @aether.slice, or move it"
            )
            raise ContractError(
                f"{cls.__name__}: the base {base.__name__} annotates {name!r}, but fields of undecorated bases are no "
                f"fields of a slice; {fix}"
            )


def _is_class_variable(annotation: object) -> bool:
    if isinstance(annotation, str):
        return annotation.replace("typing.", "").replace("t.", "").startswith("ClassVar")
    return annotation is ClassVar or typing.get_origin(annotation) is ClassVar


def _is_mutable(value: object) -> bool:
    return not isinstance(value, _SPECIFIER) and type(value).__hash__ is None


def _example(specifier: Any) -> str:
    spec = specifier.metadata.get(SPEC)
    return "aether.Map[K, V]" if type(spec).__name__ == "MapSpec" else "<type>"


def _at(cls: type, base: type) -> str:
    return cls.__name__ if base is cls else f"{cls.__name__}: its base {base.__name__}"
