"""What passes over one route from the node that owns the code to the one that has the client: plain data throughout.

Knows: how a method's answer is spelt: whole, as a head and the bytes behind it, as messages of a WebSocket.
Never: sockets, instances, who asked.
Holds: a stream's first item is its head, [status, content type, headers, version]; all that follow are bytes, or text
       and bytes as the frames of a WebSocket. Who carries them needs to know nothing more.
Paper: WHATWG HTML 9.2 (server-sent events), https://jsonlines.org.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final, cast

import msgpack

from aether.model.route import RouteKind
from aether.slice_api.annotations import TypeOf, bare
from aether.slice_api.codec import Codec
from aether.slice_api.exchange import Body, Event, Response
from aether.slice_api.faults import Fault
from aether.slice_api.http import HttpInput
from aether.slice_api.http_body import EVENTS, spell
from aether.slice_api.misfit import misfit

if TYPE_CHECKING:
    from aether.slice_api.http_plan import HttpPlan
    from aether.slice_api.methods import MethodSpec

Inputs = Mapping[str, AsyncIterable[object]]
Head = list[Any]


class BadMessage(Fault):
    """A message of the client does not fit the WebSocket's contract."""

    status = 422
    problems: list[str]


def whole_answer(spec: MethodSpec, plan: HttpPlan, request: HttpInput, version: str, value: Any) -> list[Any]:
    """The result of a call as [status, content type, body, version]. Raises TypeError when it does not fit."""
    if not plan.produces:
        if value is not None:
            raise TypeError(f"{spec.where} must return None, got {type(value).__name__}")
        return [plan.status, "", b"", version]
    media = plan.chosen(request)
    return [plan.status, media, spell(spec.http_plain(value), media), version]


async def exchange(
    spec: MethodSpec,
    function: Callable[..., Any],
    request: HttpInput,
    arguments: Mapping[str, Any],
    inputs: Inputs,
    version: str,
) -> AsyncGenerator[Any]:
    """Run `function` and give the head, then what follows it. Raises what the method raises.

    arguments  as `decode_http` read them; inputs  what the client sends, by parameter
    """
    plan = spec.plan_of(request)
    given = {**arguments, **_input(spec, plan, request, inputs)}
    if plan.kind is RouteKind.STREAM:
        media = plan.chosen(request)
        yield [plan.status, media, {"Cache-Control": "no-store"} if media == EVENTS else {}, version]
        write = _event if media == EVENTS else _line
        async with aclosing(cast("AsyncGenerator[Any]", function(**given))) as items:
            async for item in items:
                yield write(spec.http_plain(item), item)
    elif plan.kind is RouteKind.WEBSOCKET:
        yield [101, "", {}, version]
        if not spec.stream:
            await function(**given)
            return
        as_it_is = bare(spec.returns) in (str, bytes)
        async with aclosing(cast("AsyncGenerator[Any]", function(**given))) as items:
            async for item in items:
                plain = spec.http_plain(item) if not as_it_is else _checked(spec, item)
                yield plain if as_it_is else spell(plain, "").decode()
    elif plan.kind is RouteKind.RESPONSE:
        async with aclosing(_response(spec, await function(**given), version)) as parts:
            async for part in parts:
                yield part
    else:
        status, media, body, _ = whole_answer(spec, plan, request, version, await function(**given))
        yield [status, media, {}, version]
        if body:
            yield body


async def _response(spec: MethodSpec, answer: object, version: str) -> AsyncGenerator[Any]:
    if not isinstance(answer, Response):
        raise TypeError(f"{spec.where} must return aether.Response, got {type(answer).__name__}")
    content_type = "" if answer.status in (204, 304) else answer.content_type
    try:
        yield [answer.status, content_type, dict(answer.headers), version]
        if answer.body:
            yield answer.body
        if answer.stream is not None:
            async for piece in answer.stream:
                if piece.__class__ is not bytes:
                    raise TypeError(f"{spec.where}: the stream of a Response gives bytes, got {type(piece).__name__}")
                if piece:
                    yield piece
    finally:  # also when the reader left at the head
        close = getattr(answer.stream, "aclose", None)
        if close is not None:
            await close()


def _input(spec: MethodSpec, plan: HttpPlan, request: HttpInput, inputs: Inputs) -> dict[str, Any]:
    if not plan.input:
        return {}
    source = inputs[plan.input]
    if plan.kind is RouteKind.WEBSOCKET:
        return {plan.input: _Messages(spec, plan.input, source)}
    return {plan.input: Body(cast("AsyncIterable[bytes]", source), content_type=request.content_type)}


class _Messages:
    """The frames of a client as messages. No generator, which would have to be closed."""

    def __init__(self, spec: MethodSpec, name: str, source: AsyncIterable[object]) -> None:
        self._type, self._codec = spec.message_codec(name)
        self._frames = aiter(source)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        return _message(self._type, self._codec, await anext(self._frames))


def _message(tp: TypeOf, codec: Codec, frame: Any) -> Any:
    """One frame of the client as a message. Text for `str`, bytes for `bytes`; else JSON in text, msgpack in bytes."""
    try:
        if tp in (str, bytes):
            if frame.__class__ is not tp:
                raise ValueError(f"expected a {'text' if tp is str else 'binary'} frame")
            return frame
        return codec.decode(json.loads(frame) if isinstance(frame, str) else msgpack.unpackb(frame, raw=False))
    except Exception as error:  # noqa: BLE001 - whatever a user's class raises is a problem of its value
        raise BadMessage(problems=list(misfit(error).lines("message"))) from None


def _checked(spec: MethodSpec, item: Any) -> Any:
    if item.__class__ is not bare(spec.returns):
        raise TypeError(f"{spec.where} must yield {bare(spec.returns).__name__}, got {type(item).__name__}")
    return item


def _line(plain: Any, _: Any) -> bytes:
    return spell(plain, "") + b"\n"


def _event(plain: Any, item: Any) -> bytes:
    """One server-sent event. JSON text has no line breaks, so its data is one line."""
    if not isinstance(item, Event):
        return b"data: %b\n\n" % spell(plain, "")
    lines: list[str] = []
    if plain["id"]:
        lines.append(f"id: {plain['id']}")
    if plain["name"]:
        lines.append(f"event: {plain['name']}")
    retry_s = plain.get("retry_s", plain.get("retryS"))
    if retry_s is not None:
        lines.append(f"retry: {round(retry_s * 1000)}")
    lines.append(f"data: {spell(plain['data'], '').decode()}")
    return ("\n".join(lines) + "\n\n").encode()


HEARTBEAT: Final = b":\n\n"
"""A comment of a stream of events: it says nothing, and keeps proxies from taking silence for death."""
