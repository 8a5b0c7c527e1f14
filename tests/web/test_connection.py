"""The pure connection: however bytes are cut, the same requests come out."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from aether.web.connection import HttpConnection, Refusal, Wait, encode_response
from aether.web.request import Request, Response


def connection(**limits: int) -> HttpConnection:
    numbers = itertools.count(1)
    bounds = {"header_bytes_max": 65536, "body_bytes_max": 2**20, **limits}
    return HttpConnection(new_request_id=lambda: f"r{next(numbers)}", **bounds)


def read(raw: bytes, sizes: list[int], **limits: int) -> list[Request | Refusal]:
    """Everything that comes out when `raw` arrives in pieces of `sizes`, the last size for ever."""
    http = connection(**limits)
    found: list[Request | Refusal] = []
    at = 0
    for size in itertools.chain(sizes, itertools.repeat(sizes[-1] if sizes else len(raw) or 1)):
        while not isinstance(step := http.next(), Wait):
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
