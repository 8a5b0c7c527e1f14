"""One stream of an instance from its arguments to its last item.

Knows: decoding arguments and inputs, encoding items, the generator.
Never: slots, scopes, who reads.
Holds: the generator runs in the task that calls `run`, and is ended by the cancellation of that task.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from aether.errors import BadInput
from aether.hosting.failures import refusal_of
from aether.invocation.reply import Done, Faulted, Form
from aether.invocation.streaming import InputStream, ServedSink
from aether.slice_api.handover_service import pump
from aether.slice_api.http import HttpInput
from aether.slice_api.http_exchange import exchange
from aether.slice_api.methods import MethodSpec


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
    ) -> None:
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
        method = self._bound(spec, self._request)
        self._sink.opened()
        try:
            if self._request is not None:
                items = exchange(spec, method, self._request, arguments, self._inputs, self._version)
                await pump(items, _same, self._sink)
                return Done(None)
            if spec.stream:
                await pump(method(**arguments), spec.encode_result, self._sink)
                return Done(None)
            result = await method(**arguments)
        except BadInput as error:
            if error is not self._misfit:
                raise
            return refusal_of(error)
        return Done(spec.encode_result(result))

    def _arguments(self) -> dict[str, Any]:
        spec = self._spec
        if self._form is Form.WIRE:
            arguments = spec.decode_arguments(self._payload)
        else:
            self._request = HttpInput.from_plain(self._payload)
            spec.plan_of(self._request).check_input(self._inputs)
            return spec.decode_http(self._request)
        spec.check_inputs(self._inputs.keys())
        return arguments | {
            name: spec.given(name, stream.decoded(self._checked(spec.input_decoder(name))))
            for name, stream in self._inputs.items()
        }

    def _checked(self, decode: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def decoded(plain: Any) -> Any:
            try:
                return decode(plain)
            except BadInput as error:
                self._misfit = error
                raise

        return decoded


def _same(item: Any) -> Any:
    return item
