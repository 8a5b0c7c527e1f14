"""The middleware of a node, around an instance that lives in another process.

Knows: how an outcome passes through middleware as the exception that it was.
Never: what a middleware does; arguments, which are structured in the other process.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs
import trio

from aether.hosting.chain import about_calls
from aether.hosting.failures import Place, failure_of
from aether.hosting.hosts import Birth, Host, Living
from aether.invocation.local import Around, Ran
from aether.invocation.reply import Done, Failed, Faulted, Form
from aether.slice_api.described import AnySlice
from aether.slice_api.faults import leaving
from aether.slice_api.http import HttpInput
from aether.slice_api.middleware import Middleware, inside, served_call

if TYPE_CHECKING:
    from aether.invocation.streaming import InputStream, ServedSink


class _Ended(Exception):
    """An outcome on its way through middleware, as the exception that it was."""

    def __init__(self, outcome: Ran) -> None:
        super().__init__(str(outcome)[:200])
        self.outcome = outcome


@attrs.frozen
class Chained:
    """A Host whose instances are called inside `middleware`."""

    inner: Host
    middleware: tuple[Middleware, ...]

    def instance(self, birth: Birth) -> Living:
        """As Host promises."""
        born = self.inner.instance(birth)
        return ChainedInstance(born, self.middleware, birth.contract, birth.place) if self.middleware else born


class ChainedInstance(Living):
    """An instance in another process, with the middleware of this node around its calls. Implements Living."""

    def __init__(self, inner: Living, middleware: Sequence[Middleware], contract: AnySlice, place: Place) -> None:
        self._inner = inner
        self._middleware = tuple(middleware)
        self._contract = contract
        self._place = place
        self._about = about_calls(contract, place)

    @property
    def name(self) -> str:
        return self._inner.name

    @property
    def stopping(self) -> bool:
        return self._inner.stopping

    @property
    def running(self) -> int:
        return self._inner.running

    @property
    def waiting(self) -> int:
        return self._inner.waiting

    async def live(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        await self._inner.live(task_status=task_status)

    def stop(self) -> None:
        self._inner.stop()

    async def serve(
        self, method: str, payload: object, form: Form, scope: trio.CancelScope, around: Around | None = None
    ) -> Ran:
        run = functools.partial(self._inner.serve, method, payload, form, trio.CancelScope(), around)
        with scope:  # middleware is part of the call
            return await self._inside(method, payload, form, run)
        return None

    async def serve_stream(
        self,
        method: str,
        payload: object,
        form: Form,
        scope: trio.CancelScope,
        sink: ServedSink,
        inputs: Mapping[str, InputStream],
    ) -> Ran:
        run = functools.partial(self._inner.serve_stream, method, payload, form, trio.CancelScope(), sink, inputs)
        with scope:
            return await self._inside(method, payload, form, run)
        return None

    async def _inside(self, method: str, payload: object, form: Form, run: Callable[[], Any]) -> Ran:
        async def ended() -> Ran:
            outcome: Ran = await run()
            if isinstance(outcome, Done):
                return outcome
            raise _Ended(outcome)

        request = HttpInput.from_plain(payload) if form is Form.HTTP else None
        spec = self._contract.methods.get(method)
        about = attrs.evolve(self._about, stream=spec is not None and spec.stream)
        try:
            outcome: Ran = await inside(self._middleware, served_call(about, method, {}, request), ended)
        except _Ended as error:
            return error.outcome
        except Exception as error:  # noqa: BLE001 - whatever a middleware raises is an outcome of the call
            return self._refused(error, method)
        return outcome

    def _refused(self, error: Exception, method: str) -> Faulted | Failed:
        if isinstance(leaving(error), trio.TooSlowError):
            raise leaving(error) from None
        return failure_of(error, self._place, method)
