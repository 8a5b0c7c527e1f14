"""The middleware of a node, around the methods of one instance.

Knows: how a method is wrapped.
Never: what a middleware does.
Holds: an instance without middleware has no chain, and is called as if there were none.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from aether.hosting.failures import Place
from aether.slice_api.contract import Contract
from aether.slice_api.described import AnySlice
from aether.slice_api.http import HttpInput
from aether.slice_api.methods import MethodSpec
from aether.slice_api.middleware import Middleware, ServedCall, inside, inside_stream, served_call


def about_calls(contract: AnySlice, place: Place) -> ServedCall:
    """What middleware is shown of every call of one instance; the method is left empty."""
    artifact = "" if contract.artifact is None else str(contract.artifact)
    return ServedCall(slice=contract.name, method="", artifact=artifact, instance=place.instance, node=place.node)


class Chain:
    """`middleware` around the methods of one instance, the first outermost."""

    def __init__(self, middleware: Sequence[Middleware], contract: Contract, place: Place) -> None:
        self._middleware = tuple(middleware)
        self._about = about_calls(contract, place)

    def around(self, spec: MethodSpec, method: Callable[..., Any], request: HttpInput | None) -> Callable[..., Any]:
        """`method`, to be called with its arguments by name."""
        about = attrs.evolve(self._about, stream=spec.stream)

        def call(**arguments: Any) -> Any:
            shown = {name: value for name, value in arguments.items() if name not in spec.inputs}
            described = served_call(about, spec.name, shown, request)
            run = functools.partial(method, **arguments)
            return (inside_stream if spec.stream else inside)(self._middleware, described, run)

        return call
