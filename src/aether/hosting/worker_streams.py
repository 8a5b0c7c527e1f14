"""Streams between a node and one of its workers, in both directions.

Knows: that each side is a peer of the other: the streams of nodes (room invocation) travel over the socket pair as they
       do between nodes, with the same credit; what is opened here is relayed item by item, within both windows.
Never: generators, slots; which instance a stream that leaves the worker is opened on.
Holds: whoever leaves a stream at one end leaves it at the other.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from itertools import count
from typing import TYPE_CHECKING, Any, Final, Protocol, Unpack, cast

import attrs
import trio

from aether.errors import OutcomeUnknown, Overloaded, StreamBroken
from aether.hosting.given import Bound
from aether.hosting.worker_errors import is_spelt, said_error, spelt_error
from aether.invocation.endpoints import Endpoint
from aether.invocation.local import Around, LocalHost, LocalInstance, Ran
from aether.invocation.outgoing import reserve_s
from aether.invocation.reply import UNKNOWN_INSTANCE, Abandoned, Form, NotStarted, Outcome, Reply, TimedOut
from aether.invocation.span import Span, call_name
from aether.invocation.stream_messages import STREAM_MESSAGES
from aether.invocation.streaming import (
    Input,
    InputStream,
    Onward,
    Opened,
    Opening,
    OpenStream,
    ServedSink,
    StreamEnded,
    Wishes,
)
from aether.invocation.streams_service import Streams, feeding, reading
from aether.invocation.tracer import Tracer
from aether.model.artifact import ArtifactBase
from aether.model.ids import InstanceId, NodeId
from aether.model.version import Version
from aether.slice_api.current import RUNNING
from aether.slice_api.handover_service import pump

if TYPE_CHECKING:  # a worker starts without the rooms of a node
    from aether.hosting.hosts import Birth
    from aether.invocation.service import Invoker

STREAM_CLASSES: Final[tuple[type, ...]] = tuple(spec.cls for spec in STREAM_MESSAGES)
OTHER_SIDE: Final = NodeId("*")
"""What each side calls the other: no node has that name."""

Send = Callable[[object, str], bool]


@attrs.define(eq=False)
class _Asked:
    """A stream that is about to be opened at the other side."""

    target: ArtifactBase
    method: str
    payload: object
    form: Form
    request_id: str
    span: Span
    attempt: int = 1


class Sides:
    """The streams of one side: those that it reads from the other, and those that it serves."""

    def __init__(self, node: NodeId, send: Send, host: LocalHost, tracer: Tracer) -> None:
        ids = count(1)
        self._streams = Streams(node, lambda _, m, r: send(m, r), host, lambda: next(ids), tracer, wire=False)

    def begin(self, nursery: trio.Nursery) -> None:
        """Serve in `nursery`."""
        self._streams.begin(nursery)

    def deliver(self, message: object, request_id: str) -> None:
        """A message of the other side."""
        self._streams.deliver(OTHER_SIDE, message, request_id)

    def lost(self) -> None:
        """The other side is gone."""
        self._streams.peer_lost(OTHER_SIDE)

    async def open(self, instance: InstanceId, asked: _Asked, opening: Opening) -> Opened | Onward | Outcome:
        endpoint = Endpoint(instance, OTHER_SIDE, asked.target.at(Version(0, 0, 0)))
        return await self._streams.open(endpoint, asked, opening)


# --- the node ---------------------------------------------------------------------------------------------------------


class NodeStreams:
    """The node's side."""

    def __init__(self, invoker: Invoker, birth: Birth, send: Send) -> None:
        bases = {value.base for value in birth.given.values() if isinstance(value, Bound)}
        self._relays = {InstanceId(str(base)): Relay(base, invoker) for base in bases if base is not None}
        self._birth = birth
        self._sides = Sides(NodeId(birth.place.node), send, self, invoker.tracer)
        self.deliver: Callable[[object, str], None] = self._sides.deliver
        self.lost: Callable[[], None] = self._sides.lost

    def find(self, instance: InstanceId) -> LocalInstance | None:
        """As LocalHost, for streams that the worker opens: `instance` is the artifact that a field of it was given."""
        return self._relays.get(instance)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled, with every stream that the worker reads then."""
        async with trio.open_nursery() as nursery:
            self._sides.begin(nursery)
            task_status.started()
            await trio.sleep_forever()

    async def serve(
        self, method: str, payload: object, form: Form, sink: ServedSink, inputs: Mapping[str, InputStream]
    ) -> Ran:
        """Open it in the worker, and relay its items into `sink`. Raises trio.TooSlowError."""
        running, now = RUNNING.get(), trio.current_time()
        span: Span | None = None if running is None else running.span
        name = f"{self._birth.contract.name}.{method}"
        artifact = self._birth.contract.artifact
        assert artifact is not None, "a slice has an artifact"
        request_id = "" if running is None else running.request_id
        asked = _Asked(artifact.base, method, payload, form, request_id, span or Span(name, now))
        until = trio.current_effective_deadline()
        opening = Opening(
            until=until,
            give_up_at=until - reserve_s(until - now),
            name=name,
            inputs={parameter: Input(stream) for parameter, stream in inputs.items()},
        )
        final = await _relayed(self._sides.open(self._birth.instance, asked, opening), opening, sink)
        if isinstance(final, TimedOut):
            if span is not None:
                span.remote = final.hops
            raise trio.TooSlowError
        return final


class Relay(LocalInstance):
    """A dependency of the worker's instance, as a LocalInstance of streams: each is opened by the node's Invoker."""

    def __init__(self, target: ArtifactBase, invoker: Invoker) -> None:
        self._target = target
        self._invoker = invoker

    @property
    def name(self) -> str:
        return call_name(self._target.name, "").rstrip(".")

    async def serve(
        self, method: str, payload: object, form: Form, scope: trio.CancelScope, around: Around | None = None
    ) -> Ran:
        """Calls go another way (worker_outward)."""
        return NotStarted(UNKNOWN_INSTANCE)

    async def serve_stream(
        self,
        method: str,
        payload: object,
        form: Form,
        scope: trio.CancelScope,
        sink: ServedSink,
        inputs: Mapping[str, InputStream],
    ) -> Ran:
        """As LocalInstance; what the Invoker raises travels as itself."""
        given = {parameter: Input(stream) for parameter, stream in inputs.items()}
        try:
            with scope:
                async with self._invoker.stream(self._target, method, payload, form=form, inputs=given) as stream:
                    return await _read(stream, sink)
        except StreamEnded as ended:
            return _ran(ended.reply)
        except StreamBroken as broken:
            return Abandoned(broken.reason)
        except trio.TooSlowError:
            raise
        except Exception as error:  # noqa: BLE001 - every error is the worker's to see
            return spelt_error(error)
        return None


class _TryToOpen(Protocol):
    """What `Sides.open` returns."""

    def __await__(self) -> Any: ...


async def _relayed(trying: _TryToOpen, opening: Opening, sink: ServedSink) -> Ran | TimedOut:
    opened: Opened | Onward | Outcome = await trying
    if isinstance(opened, Onward):
        return Abandoned("its worker handed it on, which is not for a worker to do")
    if not isinstance(opened, Opened):
        return opened
    try:
        async with feeding(opened, opening):
            return await _read(opened.stream, sink)
    except StreamEnded as ended:
        return cast("Outcome", ended.reply)
    except StreamBroken as broken:
        return Abandoned(broken.reason)
    finally:
        opened.stream.close()
    return None


async def _read(stream: OpenStream, sink: ServedSink) -> Ran:
    """Every item into `sink`, then the stream's last word."""
    sink.opened()
    await pump(stream, None, sink)
    return _ran(await stream.outcome())


def _ran(reply: Reply) -> Ran:
    """A time-out as the exception that whoever serves a stream raises for it."""
    if isinstance(reply, TimedOut):
        running = RUNNING.get()
        if running is not None and running.span is not None:
            running.span.remote = reply.hops
        raise trio.TooSlowError
    return reply


# --- the worker -------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def opened_by_node(
    sides: Sides,
    target: ArtifactBase,
    method: str,
    payload: object,
    form: Form,
    request_id: str,
    **wishes: Unpack[Wishes],
) -> AsyncGenerator[OpenStream]:
    """As Invoker.stream, from a worker: the node opens the stream."""
    span, running_id = span_begun(target, method)
    until = trio.current_effective_deadline()
    error = wishes.get("error", StreamEnded)
    wishes["error"] = lambda reply: _meant(reply, error)
    opening = Opening(until=until, give_up_at=until - reserve_s(until - span.began_s), name=span.name, **wishes)
    asked = _Asked(target, method, payload, form, request_id or running_id, span)
    async with reading(opening, span, sides.open(InstanceId(str(target)), asked, opening)) as stream:
        yield stream


def span_begun(target: ArtifactBase, method: str) -> tuple[Span, str]:
    """Of what the current task asks its node for; and the request that it is for."""
    now, running = trio.current_time(), RUNNING.get()
    name = call_name(target.name, method)
    parent: Span | None = None if running is None else running.span
    span = Span(name, now) if parent is None else parent.child(name, now)
    return span, "" if running is None else running.request_id


def _meant(reply: Outcome, error: Callable[[Reply], BaseException]) -> BaseException:
    if is_spelt(reply):
        return said_error(reply)
    if isinstance(reply, NotStarted):
        return Overloaded("this worker process, open streams", reply.limit)
    if isinstance(reply, Abandoned):
        return OutcomeUnknown(f"a stream may have begun: {reply.reason}")
    return error(reply)
