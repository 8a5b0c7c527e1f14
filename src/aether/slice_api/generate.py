"""Functions generated from a signature: Python's own argument binding, at the price of one call.

Knows: one checked template; names come from real signatures and are identifiers.
Never: text from outside the process.
Holds: an argument that the caller omits is absent from the result, so that the callee's default fills it.
"""

from __future__ import annotations

import inspect
import keyword
from collections.abc import Callable, Mapping
from typing import Any, Final

OMITTED: Final = "__aether_omitted"
_TEMPLATE: Final = """\
{head} {name}({parameters}):
    __aether_arguments = {{{required}}}
{optional}    {tail}
"""


class Omitted:
    """Stands for an argument that the caller did not give; shown as `...`."""

    def __repr__(self) -> str:
        return "..."


def binder(qualname: str, signature: inspect.Signature) -> Callable[..., dict[str, Any]]:
    """A function with the parameters of `signature` (without self) that returns the given arguments by name."""
    name = qualname.rpartition(".")[2]
    source = _source("def", name, signature, "", "return __aether_arguments")
    return _compiled(source, name, qualname, {})


def caller(qualname: str, signature: inspect.Signature, values: Mapping[str, Any]) -> Callable[..., Any]:
    """An `async def` method that binds its arguments and awaits `self.__aether_call__(spec, arguments)`."""
    name = qualname.rpartition(".")[2]
    tail = "return await __aether_self.__aether_call__(__aether_spec, __aether_arguments)"
    return _compiled(_source("async def", name, signature, "__aether_self, /, ", tail), name, qualname, values)


def opener(qualname: str, signature: inspect.Signature, values: Mapping[str, Any]) -> Callable[..., Any]:
    """A plain method that binds its arguments and returns `self.__aether_stream__(spec, arguments)`."""
    name = qualname.rpartition(".")[2]
    tail = "return __aether_self.__aether_stream__(__aether_spec, __aether_arguments)"
    return _compiled(_source("def", name, signature, "__aether_self, /, ", tail), name, qualname, values)


def taker(name: str, fields: Mapping[str, str]) -> Callable[[Any, dict[str, Any], list[Callable[[Any], Any]]], None]:
    """A function (value, plain, hooks) that puts each field of `value` through its hook into `plain`, in order.

    fields  attribute name -> its spelling in `plain`
    """
    assert all(field.isidentifier() and not keyword.iskeyword(field) for field in fields), fields
    lines = [f"    plain[{spelt!r}] = hooks[{i}](value.{field})" for i, (field, spelt) in enumerate(fields.items())]
    source = "\n".join(["def take(value, plain, hooks):", *(lines or ["    pass"])])
    return _compiled(source, "take", f"take {name}", {})


def _source(head: str, name: str, signature: inspect.Signature, first: str, tail: str) -> str:
    parameters: list[str] = []
    optional, starred = "", False
    for p in signature.parameters.values():
        if p.kind is p.KEYWORD_ONLY and not starred:
            parameters.append("*")
            starred = True
        parameters.append(p.name if p.default is p.empty else f"{p.name}={OMITTED}")
        if p.default is not p.empty:
            optional += f"    if {p.name} is not {OMITTED}:\n        __aether_arguments[{p.name!r}] = {p.name}\n"
    names = [name, *signature.parameters]
    assert all(n.isidentifier() and not keyword.iskeyword(n) and not n.startswith("__aether") for n in names), names
    required = ", ".join(f"{p.name!r}: {p.name}" for p in signature.parameters.values() if p.default is p.empty)
    return _TEMPLATE.format(
        head=head, name=name, parameters=first + ", ".join(parameters), required=required, optional=optional, tail=tail
    )


def _compiled(source: str, name: str, qualname: str, values: Mapping[str, Any]) -> Callable[..., Any]:
    scope: dict[str, Any] = {OMITTED: Omitted(), **values}
    exec(compile(source, f"<aether: {qualname}>", "exec"), scope)  # noqa: S102 - our own template, checked names
    function: Callable[..., Any] = scope[name]
    function.__qualname__ = qualname
    return function
