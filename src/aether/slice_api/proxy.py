"""Proxies: objects with the methods of a contract, that hand each call on.

Knows: generated methods with name, signature and docstring; hints for names outside the contract; twins that carry the
       options of a call (aether.call).
Never: where a call goes.
Holds: wrong arguments raise TypeError before the call is handed on.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import AsyncIterable, Awaitable, Callable
from typing import Any, Protocol

from aether.errors import NotInContract
from aether.slice_api.call import PLAIN, CallOptions, merged
from aether.slice_api.contract import Contract
from aether.slice_api.generate import caller, opener
from aether.slice_api.methods import MethodSpec


class Stream(Protocol):
    """Who opens the streams of a proxy."""

    def __call__(
        self, method: MethodSpec, arguments: dict[str, Any], options: CallOptions = PLAIN, /
    ) -> AsyncIterable[Any]: ...


class Call(Protocol):
    """Who carries out the calls of a proxy."""

    def __call__(
        self, method: MethodSpec, arguments: dict[str, Any], options: CallOptions = PLAIN, /
    ) -> Awaitable[Any]: ...


class Proxy:
    """Base of all generated proxies. Anything outside the contract raises NotInContract with a hint."""

    __slots__ = ("__aether_call__", "__aether_options__", "__aether_plain__", "__aether_stream__", "__aether_streams__")
    __aether_contract__: Contract

    def __init__(self, call: Call, stream: Stream, options: CallOptions = PLAIN) -> None:
        self.__aether_plain__: Call = call
        self.__aether_options__: CallOptions = options
        self.__aether_call__: Call = _carrying(call, options)
        self.__aether_streams__: Stream = stream
        self.__aether_stream__: Stream = _carrying(stream, options)

    def __aether_with__(self, options: CallOptions) -> Proxy:
        """A twin whose calls carry `options` too. How aether.call and its kin reach a proxy."""
        return type(self)(self.__aether_plain__, self.__aether_streams__, merged(self.__aether_options__, options))

    def __getattr__(self, name: str) -> Any:
        raise NotInContract(self.__aether_contract__.name, name, hint(self.__aether_contract__, name))

    def __repr__(self) -> str:
        contract = self.__aether_contract__
        return f"<proxy of {contract.artifact or contract.name}>"


def make_proxy(contract: Contract, call: Call, stream: Stream) -> object:
    """An object with the methods of `contract`; each awaits `call(spec, arguments)` and returns its result.

    A twin that carries options awaits `call(spec, arguments, options)`, and returns `stream(spec, arguments, options)`.
    A stream method returns `stream(spec, arguments)` at once: what `aether.stream` opens.
    """
    return proxy_class(contract)(call, stream)


def proxy_class(contract: Contract) -> type[Proxy]:
    """The generated class of proxies of `contract`, made once."""
    made: type[Proxy] | None = contract.__dict__.get("_proxy_class")
    if made is None:
        body: dict[str, Any] = {"__slots__": (), "__doc__": contract.doc, "__aether_contract__": contract}
        body |= {name: _method(spec) for name, spec in contract.methods.items()}
        made = contract.__dict__["_proxy_class"] = type(contract.name, (Proxy,), body)
    return made


def hint(contract: Contract, name: str) -> str:
    """What to write instead of `name`."""
    if any(field.name == name for field in contract.fields):
        return "it is a field of the instance; only methods can be called"
    if name == contract.lifespan_name or name in contract.backgrounds:
        return "the cluster runs it; it cannot be called"
    if callable(getattr(contract.cls, name, None)) and not name.startswith("__"):
        return "it is not part of the contract; only public `async def` methods are"
    close = difflib.get_close_matches(name, contract.methods, n=1)
    return f"did you mean {close[0]!r}?" if close else f"it offers {', '.join(contract.methods) or 'no methods'}"


def _carrying(way: Callable[..., Any], options: CallOptions) -> Callable[..., Any]:
    """`way`, which is a Call or a Stream, with `options`; itself when there are none, so that they cost nothing."""
    if options is PLAIN:
        return way

    def carrying(method: MethodSpec, arguments: dict[str, Any], given: CallOptions = options, /) -> Any:
        return way(method, arguments, given)

    return carrying


def _method(spec: MethodSpec) -> Any:
    generate = opener if spec.stream else caller
    return _dressed(generate(spec.where, spec.signature, {"__aether_spec": spec}), spec)


def _dressed(method: Callable[..., Any], spec: MethodSpec) -> Callable[..., Any]:
    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    method.__name__ = spec.name
    method.__qualname__ = spec.where
    method.__doc__ = spec.doc
    method.__signature__ = spec.signature.replace(parameters=[own, *spec.signature.parameters.values()])  # type: ignore[attr-defined]  # inspect reads it
    return method
