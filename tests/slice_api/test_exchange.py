"""Raw requests and responses, bodies and events as values; what passes over a route, on the side of the code."""

import json
from collections.abc import AsyncIterator
from typing import Annotated

import attrs
import pytest

import aether
from aether.slice_api.contract import contract_of
from aether.slice_api.http import HttpInput
from aether.slice_api.http_exchange import BadMessage, exchange, whole_answer
from aether.slice_api.request_misfit import pointer


@attrs.frozen
class Say:
    text: str


@aether.slice(json_case="camel")
class Site:
    @aether.get("/whole")
    async def whole(self) -> Say:
        return Say("a")

    @aether.get("/raw")
    async def raw(self, request: aether.Request) -> aether.Response:
        return aether.Response(request.client, headers={"X-A": "b"})

    @aether.get("/wrong")
    async def wrong(self) -> aether.Response:
        return "text"  # type: ignore[return-value]

    @aether.get("/events")
    async def events(self) -> AsyncIterator[aether.Event[Say]]:
        yield aether.Event(Say("a\nb"), id="1", name="n", retry_s=0.25)

    @aether.websocket("/talk")
    async def talk(self, messages: AsyncIterator[Say]) -> AsyncIterator[Say]:
        async for message in messages:
            yield message

    @aether.post("/upload")
    async def upload(self, body: aether.Body) -> int:
        return len(await body.read(bytes_max=3))


class sent:  # noqa: N801 - reads as a call
    """Items as a client sends them."""

    def __init__(self, *items):
        self.items = list(items)

    def __aiter__(self):
        return self

    async def __anext__(self):
        if not self.items:
            raise StopAsyncIteration
        return self.items.pop(0)


async def passed(method, template, verb="GET", inputs=None, **parts):
    spec = contract_of(Site).methods[method]
    request = HttpInput(verb=verb, template=template, **parts)
    arguments = spec.decode_http(request)
    items = exchange(spec, getattr(Site(), method), request, arguments, inputs or {}, "1.0.0")
    return [item async for item in items]


async def test_a_head_comes_first_and_bytes_follow():
    assert await passed("raw", "/raw", client="1.2.3.4") == [
        [200, "application/octet-stream", {"X-A": "b"}, "1.0.0"],
        b"1.2.3.4",
    ]
    with pytest.raises(TypeError, match=r"must return aether\.Response, got str"):
        await passed("wrong", "/wrong")


async def test_an_event_is_one_line_per_field():
    head, event = await passed("events", "/events", headers={"accept": "text/event-stream"})
    assert head == [200, "text/event-stream", {"Cache-Control": "no-store"}, "1.0.0"]
    assert event == b'id: 1\nevent: n\nretry: 250\ndata: {"text":"a\\nb"}\n\n'
    head, line = await passed("events", "/events")
    assert json.loads(line) == {"data": {"text": "a\nb"}, "id": "1", "name": "n", "retryS": 0.25}


async def test_messages_are_frames_both_ways():
    frames = sent('{"text": "a"}', b"\x81\xa4text\xa1b")
    assert await passed("talk", "/talk", inputs={"messages": frames}) == [
        [101, "", {}, "1.0.0"],
        '{"text":"a"}',
        '{"text":"b"}',
    ]
    for frame in ("{", "[]", '{"text": 1}', b"\xc1", "[" * 100_000):
        with pytest.raises(BadMessage):
            await passed("talk", "/talk", inputs={"messages": sent(frame)})


async def test_a_body_is_read_once_and_no_further_than_allowed():
    body = aether.Body(b"abc", content_type="text/x")
    assert (await body.read(), body.content_type) == (b"abc", "text/x")
    with pytest.raises(RuntimeError, match="read before"):
        await body.read()
    with pytest.raises(aether.BadInput, match="at most 3"):
        await Site().upload(aether.Body(sent(b"ab", b"cd")))
    assert await passed("upload", "/upload", "POST", {"body": sent(b"a", b"b")}) == [
        [200, "application/json", {}, "1.0.0"],
        b"2",
    ]


def test_an_answer_is_spelt_as_the_client_accepts():
    spec = contract_of(Site).methods["whole"]

    def spelt(accept):
        request = HttpInput(verb="GET", template="/whole", headers={"accept": accept})
        return whole_answer(spec, spec.plan_of(request), request, "1.0.0", Say("a"))

    assert spelt("") == [200, "application/json", b'{"text":"a"}', "1.0.0"]
    assert spelt("application/msgpack")[1:3] == ["application/msgpack", b"\x81\xa4text\xa1a"]
    with pytest.raises(aether.BadInput, match="does not answer in text/html"):
        spelt("text/html")


async def test_a_raw_method_can_be_called_without_http():
    spec = contract_of(Site).methods["raw"]
    request = aether.Request(verb="GET", path="/raw", client="c", query={"a": ["b"]})
    plain = spec.encode_arguments({"request": request})
    assert spec.decode_arguments(plain) == {"request": request}
    answer = aether.Response(b"x", status=201, headers={"X-A": "b"})
    assert spec.decode_result(spec.encode_result(answer)) == answer
    with pytest.raises(TypeError, match="without a stream"):
        spec.encode_result(aether.Response(stream=sent(b"x")))


@pytest.mark.parametrize(
    "make",
    [
        lambda: aether.Response(headers={"X-A": "a\r\nSet-Cookie: b"}),
        lambda: aether.Response(headers={"X A": "b"}),
        lambda: aether.Response(headers={"Transfer-Encoding": "chunked"}),
        lambda: aether.Response(headers={"Content-Type": "text/x"}),
        lambda: aether.Response(content_type="a\r\nb"),
        lambda: aether.Response(status=99),
        lambda: aether.Event(1, id="a\nb"),
        lambda: aether.Event(1, name="a\rb"),
    ],
)
def test_nothing_can_split_an_answer(make):
    with pytest.raises(ValueError, match=r"."):
        make()


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("", "#"),
        ("lines[0].qty", "#/lines/0/qty"),
        ("[2]", "#/2"),
        ("a['b/c~d']", "#/a/b~1c~0d"),
        ("käse", "#/k%C3%A4se"),
    ],
)
def test_a_path_is_a_json_pointer(path, shown):
    assert pointer(path) == shown


def slice_with(route, function):
    return lambda: contract_of(aether.slice(type("Bad", (), {"do": route(function)})))


async def two_requests(self, a: aether.Request, b: aether.Request) -> None: ...
async def body_and_fields(self, upload: aether.Body, name: Annotated[str, aether.Body()]) -> None: ...
async def messages_of_a_call(self, messages: AsyncIterator[str]) -> None: ...
async def upload_of_a_socket(self, upload: aether.Body) -> None: ...


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (slice_with(aether.get("/a"), two_requests), "both 'a' and 'b' take the request"),
        (slice_with(aether.post("/a"), body_and_fields), "takes as it comes"),
        (slice_with(aether.post("/a"), messages_of_a_call), "`aether.Body` for the body"),
        (slice_with(aether.websocket("/a"), upload_of_a_socket), "for a WebSocket"),
    ],
)
def test_what_no_route_can_give_is_refused_at_registration(make, words):
    with pytest.raises(aether.ContractError, match=words):
        make()
