"""One stream of an instance from its arguments to its last item.

Knows: decoding arguments and inputs, encoding items, the generator.
Never: slots, scopes, who reads.
Holds: the generator runs in the task that calls `run`, and is ended by the cancellation of that task.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping
from typing import Any

from aether.errors import BadInput
from aether.hosting.arguments import decoded, encoder
from aether.hosting.failures import refusal_of
from aether.invocation.reply import Done, Faulted, Form, Reply
from aether.invocation.streaming import InputStream, ServedSink
from aether.slice_api.handover_service import pump
from aether.slice_api.http import HttpInput
from aether.slice_api.http_exchange import exchange
from aether.slice_api.methods import MethodSpec
from aether.slice_api.streams import stream


class StreamServing:
    """A stream method, or a method that takes streams, about to run once."""

    def __init__(
        self,
        bound: Callable[[MethodSpec, HttpInput | None], Callable[..., Any]],
        spec: MethodSpec,
        payload: object,
        form: Form,
        sink: ServedSink,
        inputs: Mapping[str, InputStream],
        version: str,
        error: Callable[[Reply], BaseException],
    ) -> None:
        self._error = error
        self._version = version
        self._request: HttpInput | None = None
        self._bound = bound
        self._spec = spec
        self._payload = payload
        self._form = form
        self._sink = sink
        self._inputs = inputs
        self._misfit: BadInput | None = None  # of an item that the caller sent

    async def run(self) -> Done | Faulted:
        """Raises what the method raises."""
        spec = self._spec
        try:
            arguments = self._arguments()
        except BadInput as error:
            return refusal_of(error)
        method: Any = self._bound(spec, self._request)
        if spec.stream and not inspect.isasyncgenfunction(spec.function):
            if self._request is None:
                source: Any = method(**arguments)
                reference = getattr(source, "reference", None)
                if reference is not None and self._sink.hand_on(reference):
                    return Done(None)
                method = functools.partial(_given, source)
            method = functools.partial(_relaying, method)
        self._sink.opened()
        try:
            if self._request is not None:
                items = exchange(spec, method, self._request, arguments, self._inputs, self._version)
                await pump(items, _same, self._sink)
                return Done(None)
            if spec.stream:
                await pump(method(**arguments), encoder(spec, self._form), self._sink)
                return Done(None)
            result = await method(**arguments)
        except BadInput as error:
            if error is not self._misfit:
                raise
            return refusal_of(error)
        return Done(encoder(spec, self._form)(result))

    def _arguments(self) -> dict[str, Any]:
        spec = self._spec
        if self._form is not Form.HTTP:
            arguments = decoded(spec, self._payload, self._form)
        else:
            self._request = HttpInput.from_plain(self._payload)
            spec.plan_of(self._request).check_input(self._inputs)
            return spec.decode_http(self._request)
        spec.check_inputs(self._inputs.keys())
        return arguments | {
            name: spec.given(name, given.decoded(self._checked(spec.input_decoder(name)), self._error))
            for name, given in self._inputs.items()
        }

    def _checked(self, decode: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def decoded(plain: Any) -> Any:
            try:
                return decode(plain)
            except BadInput as error:
                self._misfit = error
                raise

        return decoded


def _given(source: AsyncIterable[Any], **_: Any) -> AsyncIterable[Any]:
    return source


async def _relaying(method: Callable[..., AsyncIterable[Any]], **arguments: Any) -> AsyncIterator[Any]:
    """What `method` hands on, for a reader that cannot open it itself."""
    async with stream(method(**arguments)) as items:
        async for item in items:
            yield item


def _same(item: Any) -> Any:
    return item
