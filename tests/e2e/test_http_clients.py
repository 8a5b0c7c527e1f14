"""What requests mean to other people's clients: curl, and bytes typed by hand, against a node."""

import json
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import attrs
import pytest
import trio

import aether
from aether.kv import keys
from aether.web.config import WebConfig
from aether.web.request import Response
from aether.web.service import WebServer

CURL = shutil.which("curl")
FILES = Path(__file__).parent / "apps"


@attrs.frozen
class Line:
    sku: str
    qty: int


@aether.slice(artifact="test.clients:desk:1.0.0")
class Desk:
    files = aether.static(FILES, ".", at="/files")

    @aether.post("/lines", status=201)
    async def line(self, line: Line) -> Line:
        return line

    @aether.get("/lines/{number}")
    async def lines(self, number: int) -> list[Line]:
        return [Line("a", n) for n in range(number)]

    @aether.put("/uploads/{name}")
    async def upload(self, name: str, body: aether.Body) -> int:
        return len(await body.read())

    @aether.get("/ticks")
    async def ticks(self) -> AsyncIterator[int]:
        for number in range(3):
            yield number

    @aether.get("/slow", deadline_s=0.2)
    async def slow(self) -> None:
        await trio.sleep_forever()

    @aether.get("/once", rate=aether.RateLimit(1, per_s=3_600))
    async def once(self) -> None: ...


async def curl(*words: str) -> tuple[int, dict[str, str], bytes]:
    done = await trio.run_process([CURL, "-s", "-S", "-i", "--noproxy", "*", *words], capture_stdout=True)
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    while head.startswith(b"HTTP/1.1 100"):
        head, _, body = body.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return int(first.split()[1]), {n.lower(): v for n, _, v in (x.partition(": ") for x in lines)}, body


@pytest.mark.process
@pytest.mark.skipif(CURL is None, reason="no curl here")
async def test_curl(tmp_path):
    async with aether.Cluster.open(Desk, http=0) as cluster:
        url = cluster.http_url
        with trio.fail_after(40):
            json_type = ("-H", "Content-Type: application/json")
            status, headers, body = await curl(*json_type, "-d", '{"sku": "a", "qty": 2}', f"{url}/lines")
            assert (status, json.loads(body)) == (201, {"sku": "a", "qty": 2})
            assert headers["x-aether-version"] == "1.0.0"
            status, headers, _ = await curl("-I", f"{url}/lines/3")
            assert (status, headers["content-length"]) == (200, "61")
            status, headers, _ = await curl("-X", "OPTIONS", f"{url}/lines/3")
            assert (status, headers["allow"]) == (204, "GET, HEAD, OPTIONS")
            big = tmp_path / "big"
            big.write_bytes(b"x" * 3_000_000)
            assert (await curl("-T", str(big), f"{url}/uploads/a"))[2] == b"3000000"
            chunked = ("-H", "Transfer-Encoding: chunked", "-H", "Expect: 100-continue")
            assert (await curl("-T", str(big), *chunked, f"{url}/uploads/a"))[2] == b"3000000"
            assert (await curl("-N", "-H", "Accept: text/event-stream", f"{url}/ticks"))[2] == (
                b"data: 0\n\ndata: 1\n\ndata: 2\n\n"
            )
            status, headers, body = await curl("--compressed", f"{url}/lines/200")
            assert (headers["content-encoding"], len(json.loads(body))) == ("gzip", 200)
            name = next(path.name for path in FILES.glob("*.py"))
            whole = (FILES / name).read_bytes()
            status, headers, body = await curl("-r", "3-9", f"{url}/files/{name}")
            assert (status, body) == (206, whole[3:10])
            tag = headers["etag"]
            assert (await curl("-H", f"If-None-Match: {tag}", f"{url}/files/{name}"))[0] == 304
            assert (await curl("--path-as-is", f"{url}/files/../conftest.py"))[0] == 404


def request(line: str, *fields: str, body: bytes = b"") -> bytes:
    return "\r\n".join((f"{line} HTTP/1.1", "Host: h", *fields, "", "")).encode() + body


JSON, LENGTH = "Content-Type: application/json", "Content-Length: 2"


@pytest.mark.parametrize(
    ("status", "raw"),
    [
        (200, request("GET /lines/1")),
        (200, request("HEAD /lines/1")),
        (204, request("OPTIONS /lines/1")),
        (204, request("OPTIONS *")),
        (400, b"GET /lines/1 HTTP/1.1\r\n\r\n"),
        (400, request("GET lines")),
        (400, request("POST /lines", JSON, LENGTH, body=b"{]")),
        (404, request("GET /nothing")),
        (404, request("GET /files/../conftest.py")),
        (404, request("GET /files/%2e%2e/conftest.py")),
        (405, request("POST /lines/1", "Content-Length: 0")),
        (406, request("GET /lines/1", "Accept: text/html")),
        (411, b"POST /lines HTTP/1.0\r\nHost: h\r\n\r\n"),
        (413, request("POST /lines", JSON, "Content-Length: 99999999")),
        (415, request("POST /lines", "Content-Type: text/csv", LENGTH, body=b"a;")),
        (422, request("POST /lines", JSON, LENGTH, body=b"{}")),
        (422, request("GET /lines/x")),
        (429, request("GET /once") + request("GET /once")),
        (431, request("GET /lines/1", "X-Long: " + "x" * 70_000)),
        (504, request("GET /slow")),
        (505, b"GET / HTTP/2.0\r\nHost: h\r\n\r\n"),
    ],
)
async def test_each_status_on_a_socket(status, raw):
    """An error is a problem document that says its own status, whatever refused the request."""
    async with aether.Cluster.open(Desk, http=0) as cluster:
        answer = await last_answer(cluster.addresses.http_address, raw)
    assert answer[0] == status
    if status >= 400:
        assert answer[1]["content-type"] == "application/problem+json"
        assert json.loads(answer[2])["status"] == status
        assert json.loads(answer[2])["title"]


async def test_a_route_that_nobody_serves_now_is_503():
    async with aether.Cluster.open(Desk, http=0) as cluster:
        await cluster.scale(Desk, 0)
        async with cluster.kv.watch(keys.INSTANCES) as watch:
            while list(cluster.kv.rows(keys.INSTANCES)):
                await watch.changed()
        answer = await last_answer(cluster.addresses.http_address, request("GET /lines/1"))
    assert (answer[0], answer[1]["retry-after"], json.loads(answer[2])["status"]) == (503, "1", 503)


async def test_a_header_that_does_not_end_is_408():
    async def handler(_):
        return Response(200)

    server = WebServer(handler, WebConfig(header_s=0.2))
    async with trio.open_nursery() as nursery:
        address = await nursery.start(server.run)
        answer = await last_answer(address, b"GET / HTTP/1.1\r\nHost:")
        nursery.cancel_scope.cancel()
    assert (answer[0], json.loads(answer[2])["status"]) == (408, 408)


async def last_answer(address: str, raw: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send `raw` and read until the server closes, or says no more for a moment; the last answer."""
    host, _, port = address.rpartition(":")
    received = b""
    async with await trio.open_tcp_stream(host, int(port)) as stream:
        await stream.send_all(raw)
        with trio.move_on_after(1.0):
            while data := await stream.receive_some(65_536):
                received += data
    head, _, body = received[list(re.finditer(rb"HTTP/1\.1 \d{3} ", received))[-1].start() :].partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    return int(first.split()[1]), {n.lower(): v for n, _, v in (x.partition(": ") for x in lines)}, body
