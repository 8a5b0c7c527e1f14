"""What a node does for one of its workers: the calls and map accesses that the instance there makes.

Knows: what the instance's fields were given, and nothing else is reached through it; open questions by id.
Never: how a call is made or a map is kept (the Invoker and the map's backend do).
Holds: at most WORKER_CALLS_OUT_MAX at a time; each ends by its deadline, by a Withdraw, or with the worker. What no
       worker would ask is BadInput, and ends it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import trio

from aether.errors import AetherError, BadInput, Overloaded
from aether.hosting.given import Bound, Given, Shared
from aether.hosting.worker_errors import encode_error, encode_heard
from aether.hosting.worker_link import Mail
from aether.hosting.worker_messages import Answer, CallOut, MapAccess, Withdraw
from aether.invocation.messages import NO_EXTRA
from aether.invocation.reply import Form, TimedOut, encode_reply
from aether.invocation.service import Invoker
from aether.invocation.span import Span
from aether.model.artifact import ArtifactBase
from aether.model.limits import WORKER_CALLS_OUT_MAX
from aether.slice_api.call import CallOptions
from aether.slice_api.current import RUNNING
from aether.slice_api.maps import ITEMS_MAX, MapBackend, RawEntry

Work = Callable[[], Awaitable[object]]


class Outward:
    """The questions of one worker. `run` first; the rest are handlers of messages.

    given  values of the instance's fields; mail  to the worker
    """

    def __init__(
        self,
        invoker: Invoker,
        backend: Callable[[str], MapBackend],
        given: Mapping[str, Given],
        mail: Mail,
    ) -> None:
        self._invoker = invoker
        bases = [value.base for value in given.values() if isinstance(value, Bound)]
        self._targets = {str(base): base for base in bases if base is not None}
        self._maps = {v.map_name: backend(v.map_name) for v in given.values() if isinstance(v, Shared)}
        self._mail = mail
        self._open: dict[int, trio.CancelScope] = {}
        self._nursery: trio.Nursery | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled, with every question that is open then."""
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            await trio.sleep_forever()

    def call(self, m: CallOut, request_id: str) -> None:
        """Raises BadInput for a target that none of the instance's fields was given, or options that cannot be."""
        target = self._targets.get(m.target)
        if target is None:
            raise BadInput(f"a call of {m.target:.80}, which none of its fields was given")
        try:
            options = CallOptions(**m.options)
        except TypeError as error:
            raise BadInput(f"options of a call: {error}") from None
        if not m.remaining_s >= 0:
            raise BadInput(f"a call with {m.remaining_s} s left")
        scope = trio.CancelScope(deadline=trio.current_time() + m.remaining_s)
        self._start(m.call_id, scope, lambda: self._called(target, m, request_id, options), m.extra)

    def access(self, m: MapAccess, _: str) -> None:
        """Raises BadInput for a map that none of the instance's fields was given, or an operation that no map has."""
        backend = self._maps.get(m.map_name)
        if backend is None:
            raise BadInput(f"an access to map {m.map_name!r:.80}, which none of its fields was given")
        self._start(m.call_id, trio.CancelScope(), accessed(backend, m))

    def withdraw(self, m: Withdraw, _: str) -> None:
        scope = self._open.pop(m.call_id, None)
        if scope is not None:
            scope.cancel()

    def _start(self, call_id: int, scope: trio.CancelScope, work: Work, extra: Mapping[str, object] = NO_EXTRA) -> None:
        if call_id in self._open:
            raise BadInput(f"question {call_id} is open already")
        assert self._nursery is not None, "run comes first"
        if len(self._open) >= WORKER_CALLS_OUT_MAX:
            self._answer(Answer(call_id, encode_error(Overloaded("this worker process", WORKER_CALLS_OUT_MAX)), None))
            return
        self._open[call_id] = scope
        self._nursery.start_soon(self._answered, call_id, scope, work, extra)

    async def _answered(self, call_id: int, scope: trio.CancelScope, work: Work, extra: Mapping[str, object]) -> None:
        span = Span("", trio.current_time())  # what is below it is told when the deadline comes first
        answer = None
        try:
            RUNNING.set(self._invoker.tracer.served(span, "", extra))
            with scope:
                answer = Answer(call_id, [], await work())
        except Exception as error:  # noqa: BLE001 - every error is the worker's to see
            answer = Answer(call_id, encode_error(error), None)
        if self._open.get(call_id) is not scope:
            return  # withdrawn
        del self._open[call_id]
        if answer is None:
            now = trio.current_time()
            hops = span.children[-1].hop(now) if span.children else span.hop(now)
            answer = Answer(call_id, [], encode_reply(TimedOut(hops)))
        self._answer(answer)

    async def _called(self, target: ArtifactBase, m: CallOut, request_id: str, options: CallOptions) -> object:
        ask: Any = self._invoker.each if options.every else self._invoker.call
        heard = await ask(target, m.method, m.payload, form=Form.WIRE, request_id=request_id, options=options)
        return encode_heard(heard) if options.every else encode_reply(heard)

    def _answer(self, answer: Answer) -> None:
        try:
            if self._mail.send(answer):
                return
            error: Exception = Overloaded("the answers to this worker process", WORKER_CALLS_OUT_MAX)
        except (AetherError, TypeError, ValueError, OverflowError) as raised:  # it does not fit a frame
            error = raised
        self._mail.post(Answer(answer.call_id, encode_error(error), None))


def accessed(backend: MapBackend, m: MapAccess) -> Work:
    """The operation, ready to be carried out; its result as plain data. Raises BadInput."""
    match m.operation, m.arguments:
        case "get", [bytes(key)]:
            return lambda: _got(backend, key)
        case "apply", [list(), list()]:
            changed = _pairs(m.arguments[0], bytes | None)
            if_versions = _pairs(m.arguments[1], int)
            return lambda: backend.apply(changed, if_versions)
        case "scan", [bytes(prefix), (bytes() | None) as after, int(limit)] if 0 < limit <= ITEMS_MAX:
            return lambda: _scanned(backend, prefix, after, limit)
        case "count", []:
            return backend.count
        case _:
            raise BadInput(f"{m.operation!r:.40} with {len(m.arguments)} arguments is no operation of a map")


async def _got(backend: MapBackend, key: bytes) -> object:
    entry = await backend.get(key)
    return None if entry is None else _spelt(entry)


async def _scanned(backend: MapBackend, prefix: bytes, after: bytes | None, limit: int) -> object:
    return [_spelt(entry) for entry in await backend.scan(prefix, after, limit)]


def _spelt(entry: RawEntry) -> list[object]:
    return [entry.key, entry.value, entry.version]


def _pairs(plain: Any, values: Any) -> dict[bytes, Any]:
    found: dict[bytes, Any] = {}
    for pair in plain:
        match pair:
            case [bytes(key), value] if isinstance(value, values):
                found[key] = value
            case _:
                raise BadInput("a change of a map is no key with its value")
    return found
