"""Every case of tests/web/corpus, by every parser, however the bytes are cut; and once more over a real socket."""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
import trio

from aether.web.checked_head import Refusal
from aether.web.config import WebConfig
from aether.web.connection import HttpConnection, Wait
from aether.web.fast_heads import HttptoolsHeads
from aether.web.ordinary import OrdinaryHeads
from aether.web.request import Request, Response
from aether.web.service import WebServer

BODY_BYTES_MAX = 2**20
HEADER_BYTES_MAX = WebConfig().header_bytes_max
READERS = {"ordinary": OrdinaryHeads, "httptools": HttptoolsHeads, "h11": lambda: None}


@attrs.frozen
class Case:
    """raw  bytes of one connection; outcomes  what the parser makes of them, in order."""

    raw: bytes
    outcomes: tuple[str, ...]


def plain(text: str) -> bytes:
    repeated = re.sub(r"\{(\d+)\*(.+?)\}", lambda m: m[2] * int(m[1]), text.replace("\n", ""))
    return repeated.replace(r"\0", r"\x00").encode("latin-1").decode("unicode_escape").encode("latin-1")


def cases() -> Iterator[tuple[str, Case]]:
    for path in sorted((Path(__file__).parent / "corpus").glob("*.txt")):
        for text in re.split(r"^--- ", path.read_text(), flags=re.M)[1:]:
            title, _, body = text.partition("\n")
            name, _, outcomes = title.partition(" -> ")
            yield (
                f"{path.stem}: {name}",
                Case(plain(body), tuple(plain(o).decode("latin-1") for o in outcomes.split(", "))),
            )


CASES = dict(cases())


def shown(request: Request) -> str:
    target = request.path + (f"?{request.query_text}" if request.query_text else "")
    return f"{request.verb} {target} {request.body.decode('latin-1')}".removesuffix(" ")


def outcomes(raw: bytes, size: int, reader: str) -> list[str]:
    """What comes out when `raw` arrives in pieces of `size`."""
    numbers = itertools.count()
    http = HttpConnection(
        header_bytes_max=HEADER_BYTES_MAX,
        body_bytes_max=BODY_BYTES_MAX,
        new_request_id=lambda: str(next(numbers)),
        heads=READERS[reader](),
    )
    found: list[str] = []
    at = 0
    while True:
        step = http.next()
        if isinstance(step, Request):
            found.append(shown(step))
            if not http.keep_alive:
                return found
        elif isinstance(step, Refusal):
            return [*found, str(step.status)]
        elif http.is_behind:
            continue
        elif at < len(raw):
            http.receive(raw[at : at + size])
            at += size
        else:
            return found if step is Wait.IDLE else [*found, "waits"]


def test_the_corpus_is_read():
    """A loader that finds nothing would let everything pass."""
    assert len(CASES) > 150
    assert len({case.raw for case in CASES.values()}) == len(CASES)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", CASES)
def test_bytes_mean_the_same_to_every_parser_however_they_are_cut(name, reader):
    """Two parsers that disagree about where a request ends let one request carry another (RFC 9112 11.2)."""
    case = CASES[name]
    sizes = (len(case.raw), 65_536, 1, 7) if len(case.raw) < 1_000 else (65_536, 16_384, 1_000)
    for size in sizes:
        assert tuple(outcomes(case.raw, size, reader)) == case.outcomes, size


@pytest.mark.parametrize("reader", READERS)
async def test_the_same_over_real_sockets(reader):
    """One server, every case on a connection of its own: answers in order, then a closed connection or none."""
    served: dict[str, list[str]] = {}

    async def handler(request: Request) -> Response:
        served[request.client].append(shown(request))
        return Response(204)

    server = WebServer(handler, WebConfig(body_bytes_max=BODY_BYTES_MAX))
    server.heads = READERS[reader]()

    async def play(name: str, address: str) -> None:
        """The client ends its half when it has its answers: who does so while a handler is at work has left."""
        case = CASES[name]
        wanted = [204 if " " in outcome else int(outcome) for outcome in case.outcomes if outcome != "waits"]
        host, _, port = address.rpartition(":")
        answer = b""
        async with await trio.open_tcp_stream(host, int(port)) as stream:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(send, stream, case.raw)
                with contextlib.suppress(trio.BrokenResourceError):  # refused in the middle
                    while len(statuses(answer)) < len(wanted) and (data := await stream.receive_some()):
                        answer += data
            with contextlib.suppress(trio.BrokenResourceError):
                await stream.send_eof()
                async for data in stream:
                    answer += data
        assert statuses(answer) == wanted, (name, answer[:300])

    async def send(stream: trio.SocketStream, raw: bytes) -> None:
        with contextlib.suppress(trio.BrokenResourceError):  # refused in the middle, as it should be
            await stream.send_all(raw)

    def statuses(answer: bytes) -> list[int]:
        return [int(code) for code in re.findall(rb"^HTTP/1\.1 (\d{3}) ", answer, re.M) if code != b"100"]

    async with trio.open_nursery() as nursery:
        address = await nursery.start(server.run)
        with trio.fail_after(50):
            for name in CASES:
                served["127.0.0.1"] = []
                await play(name, address)
                requests = [outcome for outcome in CASES[name].outcomes if " " in outcome]
                assert served["127.0.0.1"] == requests, name
        nursery.cancel_scope.cancel()
