"""The pure connection: however bytes are cut, the same requests come out."""

from __future__ import annotations

import itertools
import tracemalloc

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aether.web.answer import encode_response
from aether.web.checked_head import Refusal, checked_head
from aether.web.connection import HttpConnection, Wait
from aether.web.fast_heads import HttptoolsHeads
from aether.web.ordinary import BLOCK_BYTES_MAX, BLOCKS_MAX, OrdinaryHeads
from aether.web.request import Request, Response

READERS = {"ordinary": OrdinaryHeads, "httptools": HttptoolsHeads, "h11": lambda: None}


def connection(reader: str = "ordinary", **limits: int) -> HttpConnection:
    numbers = itertools.count(1)
    bounds = {"header_bytes_max": 65536, "body_bytes_max": 2**20, **limits}
    return HttpConnection(new_request_id=lambda: f"r{next(numbers)}", heads=READERS[reader](), **bounds)


def read(raw: bytes, sizes: list[int], reader: str = "ordinary", **limits: int) -> list[Request | Refusal]:
    """Everything that comes out when `raw` arrives in pieces of `sizes`, the last size for ever."""
    http = connection(reader, **limits)
    found: list[Request | Refusal] = []
    at = 0
    for size in itertools.chain(sizes, itertools.repeat(sizes[-1] if sizes else len(raw) or 1)):
        while not isinstance(step := http.next(), Wait) or http.is_behind:
            if isinstance(step, Wait):
                continue
            found.append(step)
            if isinstance(step, Refusal):
                return found
        if at >= len(raw):
            return found
        http.receive(raw[at : at + size])
        at += size
    raise AssertionError


token = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=8).map(lambda t: f"x{t}x")
value = st.text("abcdefgh ,;=\"'", max_size=20).map(str.strip)
requests = st.builds(
    lambda verb, path, headers, body, chunked: (verb, path, headers, body, chunked),
    st.sampled_from(["GET", "POST", "PUT", "BREW"]),
    st.text("abc/%?=&", max_size=20).map(lambda t: f"/{t}"),
    st.lists(st.tuples(token, value), max_size=5),
    st.binary(max_size=200),
    st.booleans(),
)


def spelt(verb: str, path: str, headers: list[tuple[str, str]], body: bytes, chunked: bool) -> bytes:
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"
    lines = [f"{verb} {path} HTTP/1.1", "Host: h", *(f"{n}: {v}" for n, v in headers), framing, "", ""]
    pieces = [body[i : i + 7] for i in range(0, len(body), 7)]
    coded = b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n" if chunked else body
    return "\r\n".join(lines).encode() + coded


@given(st.lists(requests, max_size=4), st.lists(st.integers(1, 300), min_size=1, max_size=5))
def test_requests_survive_any_cutting_of_the_stream(conversation, sizes):
    """TCP keeps no boundaries, and pipelined requests share buffers."""
    found = read(b"".join(spelt(*parts) for parts in conversation), sizes)
    assert len(found) == len(conversation)
    for request, (verb, path, headers, body, _) in zip(found, conversation, strict=True):
        assert isinstance(request, Request)
        target = request.path + (f"?{request.query_text}" if "?" in path else "")
        assert (request.verb, target, request.body) == (verb, path, body)
        assert [(n, v) for n, v in request.headers if n.startswith("x")] == headers


@given(st.binary(max_size=300), st.lists(st.integers(1, 50), min_size=1, max_size=5))
def test_no_bytes_can_break_the_parser(noise, sizes):
    """Whatever arrives: requests, waiting, or one refusal. Never an exception."""
    for start in (
        b"",
        b"GET / HTTP/1.1\r\nHost: x\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
    ):
        for step in read(start + noise, sizes):
            assert isinstance(step, Request | Refusal)
            if isinstance(step, Refusal):
                assert 400 <= step.status <= 599


ORDINARY = b"POST /a?b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nA: b c\r\n\r\nabc"
EXTRA = [
    b"Host: y", b"Content-Length: 3", b"content-length:\t4", b"Content-Length: 03", b"Content-Length: +3",
    b"Content-Length: 3, 3", b"Content-Length:", b"Content-Length: 99999999999", b"Content-Length: 300",
    b"Content-Length: 0000000000003",
    b"Content-Length: 0000000000000000000000000000003",
    b"Transfer-Encoding: chunked", b"Connection: close", b"Connection: Keep-Alive", b"Connection: x, close",
    b"Expect: 100-continue", b"Upgrade: h2c", b" folded", b"\tfolded", b"B : b", b"B: b\rc",
    b"B: b\nContent-Length: 9",
    b"B: \x00", b"B: \xe4", b"B:\x0bb", b"B: b\x0b", b"B: b\x7fc", b"B: \x1f", b"B", b": b", b"B:", b"B: b c\td \t",
    b"X-Request-Id: q", b"X-Request-Id: q q", b"Cookie: a=b", b"Trailer: x", b"\xe4: b", b"B(: b", b"A: again",
    b"a: again",
]  # fmt: skip
VERBS = [b"GET", b"PUT", b"get", b"M-SEARCH", b"G@T", b"CONNECT", b"OPTIONS", b"", b"GET "]
TARGETS = [
    b"/",
    b"/#a",
    b"http://h/",
    b"*",
    b"/\xc3\xa4",
    b"/a\tb",
    b"/\x7f",
    b"/~!",
    b"//",
    b"/?",
    b"/a b",
    b"a",
    b'/"<>',
]
BYTES = [b"", b"\r", b"\n", b"\r\n", b" ", b"\t", b"\x00", b"\xff", b":", b"\x0b"]
VERSIONS = [b"HTTP/1.0", b"HTTP/2.0", b"HTTP/1.1 ", b"http/1.1", b"HTTP/1.2", b"HTTP/1,1"]


@st.composite
def suspicious(draw: st.DrawFn) -> bytes:
    """An ordinary request with at most a few changes, of words or of bytes, in the ways that smuggling has used."""
    head, _, body = ORDINARY.partition(b"\r\n\r\n")
    line, *fields = head.split(b"\r\n")
    words = line.split(b" ")
    for at, others in enumerate((VERBS, TARGETS, VERSIONS)):
        if draw(st.integers(0, 5)) == 0:
            words[at] = draw(st.sampled_from(others))
    for extra in draw(st.lists(st.sampled_from(EXTRA), max_size=2)):
        fields.insert(draw(st.integers(0, len(fields))), extra)
    for _ in range(draw(st.sampled_from([0, 0, 0, 1]))):
        del fields[draw(st.integers(0, len(fields) - 1))]
    raw = bytearray(b"\r\n".join([b" ".join(words), *fields, b"", body]))
    for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
        at = draw(st.integers(0, len(raw) - 1))
        raw[at : at + draw(st.integers(0, 1))] = draw(
            st.sampled_from([b"", b"\r", b"\n", b"\r\n", b" ", b"\x00", b"\xff", b":"])
        )
    return bytes(raw)


@settings(max_examples=400, deadline=None)
@given(st.lists(suspicious(), min_size=1, max_size=3), st.sampled_from([[1000], [1000], [130, 7], [300], [1]]))
def test_what_is_read_without_h11_means_the_same_to_h11(conversation, sizes):
    """The fast way may only be faster. h11 is the oracle: same requests, same refusals, same place of the next one."""
    raw = b"".join(conversation)
    limits = {"header_bytes_max": 400, "body_bytes_max": 250}
    oracle = read(raw, sizes, "h11", **limits)
    assert read(raw, sizes, "ordinary", **limits) == oracle
    assert read(raw, sizes, "httptools", **limits) == oracle


@pytest.mark.parametrize("extra", EXTRA)
@pytest.mark.parametrize("without", [b"", b"Host: x\r\n", b"Content-Length: 3\r\n"])
def test_each_unusual_field_means_the_same_to_h11(extra, without):
    """The table behind the fuzzing above, tried whole: as one more field, and in the place of an ordinary one."""
    head, mark, body = ORDINARY.replace(without, b"").partition(b"\r\n\r\n")
    line, _, fields = head.partition(b"\r\n")
    for raw in (
        line + b"\r\n" + extra + b"\r\n" + fields + mark + body,
        line + b"\r\n" + fields + b"\r\n" + extra + mark + body,
    ):
        oracle = read(raw, [1000], "h11")
        assert read(raw, [1000], "ordinary") == oracle
        assert read(raw, [1000], "httptools") == oracle


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(EXTRA), max_size=6), st.lists(st.sampled_from(BYTES), max_size=2), st.data())
def test_fields_that_are_read_quickly_are_those_that_h11_reads(extra, inserted, data):
    """Straight at the readers: a block of fields that one of them accepts means the same to h11, to the last space."""
    block = bytearray(b"\r\n".join([b"Host: x", *extra, b""]))
    for piece in inserted:
        at = data.draw(st.integers(0, len(block)))
        block[at:at] = piece
    raw = b"GET / HTTP/1.1\r\n%b\r\n" % block
    for quick in (OrdinaryHeads(), HttptoolsHeads()):
        found = quick.read(bytearray(raw), 65536)
        assert found == quick.read(bytearray(raw), 65536)  # what is remembered is what was read
        if found is not None and found[1] == len(raw):
            parser = h11.Connection(h11.SERVER)
            parser.receive_data(raw)
            event = parser.next_event()
            assert isinstance(event, h11.Request)
            assert checked_head(event) == found[0]


def test_what_is_remembered_of_fields_is_bounded():
    """Fields that never come twice, a trace id in each, must not fill the memory."""
    for quick in (OrdinaryHeads(), HttptoolsHeads()):
        for number in range(3 * BLOCKS_MAX):
            raw = b"GET / HTTP/1.1\r\nHost: x\r\nTraceparent: %d\r\nCookie: %b\r\n\r\n" % (
                number,
                b"x" * (number % 2_000),
            )
            found = quick.read(bytearray(raw), 65536)
            assert found is not None
            assert found[0].fields.headers[1] == ("traceparent", str(number))
        assert len(quick._known) <= BLOCKS_MAX
        assert max(map(len, quick._known)) <= BLOCK_BYTES_MAX


@pytest.mark.parametrize("reader", ["ordinary", "httptools"])
@pytest.mark.parametrize("sizes", [[10_000], [1], [60, 1, 200]])
def test_an_ordinary_request_does_not_need_h11(sizes, reader, monkeypatch):
    """Otherwise the fast way could be dead without anybody seeing it."""
    monkeypatch.setattr("h11.Connection", None)
    body = b"\r\n" + b"x" * 300
    raw = b"POST /a?b HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\nAccept: */*\r\n\r\n%b" % (len(body), body)
    http = connection(reader)
    http.receive(raw[: raw.index(b"\r\n\r\n") + 4])
    assert http.next() is Wait.BODY
    assert http.buffered == 0
    for at in range(0, len(body), sizes[-1]):
        http.receive(body[at : at + sizes[-1]])
        assert http.buffered == 0  # else the server would stop reading in the middle of a large body
        step = http.next()
    assert isinstance(step, Request)
    assert (step.path, step.query_text, step.body) == ("/a", "b", body)
    assert http.next() is Wait.IDLE


@given(st.integers(0, 40), st.integers(1, 60))
def test_the_header_limit_holds_wherever_the_pieces_fall(over, size):
    """A limit that depends on timing is no limit: exactly at it passes, one byte more does not."""
    head = b"GET / HTTP/1.1\r\nHost: x\r\nA: %b\r\n\r\n"
    limit = 200
    raw = head % (b"b" * (limit - len(head % b"") + over))
    (found,) = read(raw, [size], header_bytes_max=limit)
    assert isinstance(found, Request) if over == 0 else found == Refusal(431, found.detail)


def test_a_refusal_is_final():
    """Later bytes, however innocent, are never read as a request."""
    http = connection()
    http.receive(b"nonsense\r\n\r\n")
    first = http.next()
    http.receive(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert isinstance(first, Refusal)
    assert http.next() == first
    assert http.keep_alive is False


def test_empty_lines_before_a_request_are_skipped():
    """RFC 9112 2.2: old clients end a body with one line break too many."""
    (found,) = read(b"\r\n\r\nGET /a HTTP/1.1\r\nHost: x\r\n\r\n", [3])
    assert isinstance(found, Request)
    assert found.path == "/a"


def test_a_response_is_spelt_with_its_length_and_own_fields():
    """One place decides framing."""
    raw = encode_response(
        Response(409, b"{}", headers={"Retry-After": "1"}), verb="GET", request_id="r", date="D", keep_alive=False
    )
    assert raw == (
        b"HTTP/1.1 409 Conflict\r\nContent-Type: application/json\r\nContent-Length: 2\r\nDate: D\r\n"
        b"X-Request-Id: r\r\nRetry-After: 1\r\nConnection: close\r\n\r\n{}"
    )


def test_a_body_in_tiny_chunks_weighs_little_more_than_what_is_counted_of_it():
    """Counted are the bytes that came: an object for each chunk would weigh six times as much, of many clients."""
    http, count = connection(), 30_000
    http.receive(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert http.next() is Wait.BODY
    part = b"2\r\nab\r\n" * 500
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(count // 500):
            http.receive(part)
            assert http.next() is Wait.BODY
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 7 * count
    http.receive(b"0\r\n\r\n")
    whole = http.next()
    assert isinstance(whole, Request)
    assert whole.body == b"ab" * count


@pytest.mark.parametrize("reader", READERS)
def test_one_call_takes_a_piece_of_a_body_in_tiny_chunks(reader):
    """A chunk of one byte costs h11 as much as one of a kilobyte: 64 KiB at once would hold the loop for 0.1 s."""
    http = connection(reader)
    chunks = 8_000
    http.receive(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
    http.receive(b"1\r\nx\r\n" * chunks + b"0\r\n\r\nGET /next HTTP/1.1\r\nHost: h\r\n\r\n")
    turns = 0
    while isinstance(step := http.next(), Wait):
        assert http.is_behind
        turns += 1

    assert isinstance(step, Request)
    assert step.body == b"x" * chunks
    assert turns > 8, "the whole body was taken apart in a few calls"
    assert not http.is_behind
    after = http.next()
    assert isinstance(after, Request)
    assert after.path == "/next"
