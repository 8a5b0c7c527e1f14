"""Files of a package: what can be reached, what a client that has them already gets, which part it wants."""

import gzip
import os
from email.utils import formatdate

import pytest

import aether
from aether.slice_api.conditional import Validators, precondition, wanted_range
from aether.slice_api.contract import contract_of
from aether.slice_api.static_service import FileMissing

MADE_S = 1_700_000_000


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "static"
    (root / "css").mkdir(parents=True)
    (root / "css" / "a.css").write_text("body {}")
    (root / "index.html").write_text("<h1>")
    (root / ".secret").write_text("s")
    (root / "big.bin").write_bytes(bytes(range(256)) * 4_000)
    (root / "app.js").write_text("plain()")
    (root / "app.js.gz").write_bytes(gzip.compress(b"packed()"))
    (tmp_path / "outside.txt").write_text("o")
    (root / "link.txt").symlink_to(tmp_path / "outside.txt")
    for path in root.rglob("*"):
        if not path.is_symlink():
            os.utime(path, (MADE_S, MADE_S))
    return tmp_path


@pytest.fixture
def served(folder):
    class Site:
        files = aether.static(folder, at="/assets")

    site = aether.slice(Site)()

    async def fetch(rest, **headers):
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = await site.files(aether.Request(verb="GET", path=f"/assets/{rest}", headers=given), rest)
        body = answer.body
        if answer.stream is not None:
            body += b"".join([piece async for piece in answer.stream])
        return answer, body

    return fetch


async def test_files_come_with_their_type_and_validators(served):
    answer, body = await served("css/a.css")
    assert (answer.status, body, answer.content_type) == (200, b"body {}", "text/css; charset=utf-8")
    assert answer.headers["Last-Modified"] == formatdate(MADE_S, usegmt=True)
    assert answer.headers["Cache-Control"] == "public, max-age=3600"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert (await served(""))[0].content_type == "text/html; charset=utf-8"
    assert len((await served("big.bin"))[1]) == 1_024_000


@pytest.mark.parametrize(
    "rest",
    [
        "nothing", "css", "../outside.txt", "css/../../outside.txt", "..\\outside.txt", ".secret", "css/.secret",
        "link.txt", "/etc/passwd", "css//a.css", "./index.html", "a\0b", "x" * 5_000, "C:/x", "css/",
    ],
)  # fmt: skip
async def test_nothing_outside_and_nothing_hidden_is_found(served, rest):
    with pytest.raises(FileMissing):
        await served(rest)


async def test_a_client_that_has_the_file_gets_304(served):
    tag = (await served("css/a.css"))[0].headers["ETag"]
    for headers in ({"if_none_match": tag}, {"if_none_match": f'"x", W/{tag}'}, {"if_none_match": "*"}):
        answer, body = await served("css/a.css", **headers)
        assert (answer.status, body, answer.headers["ETag"]) == (304, b"", tag)
    assert (await served("css/a.css", if_modified_since=formatdate(MADE_S, usegmt=True)))[0].status == 304
    assert (await served("css/a.css", if_modified_since=formatdate(MADE_S - 1, usegmt=True)))[0].status == 200
    later = formatdate(MADE_S + 9, usegmt=True)
    assert (await served("css/a.css", if_none_match='"other"', if_modified_since=later))[0].status == 200
    assert (await served("css/a.css", if_match='"other"'))[0].status == 412


async def test_a_part_of_a_file(served):
    tag = (await served("big.bin"))[0].headers["ETag"]
    whole = (await served("big.bin"))[1]
    for text, start, stop in (
        ("0-0", 0, 1), ("10-19", 10, 20), ("1023990-", 1_023_990, 1_024_000), ("-5", 1_023_995, 1_024_000),
        ("0-99999999", 0, 1_024_000), ("-9999999", 0, 1_024_000), ("100-700000", 100, 700_001),
    ):  # fmt: skip
        answer, body = await served("big.bin", range=f"bytes={text}")
        assert (answer.status, body) == (206, whole[start:stop])
        assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/1024000"
    behind = (await served("big.bin", range="bytes=1024000-"))[0]
    assert (behind.status, behind.headers["Content-Range"]) == (416, "bytes */1024000")
    assert (await served("big.bin", range="bytes=-0"))[0].status == 416
    for text in ("bytes=5-1", "bytes=a-b", "lines=1-2", "bytes=0-1,5-6", "bytes=-"):
        assert (await served("big.bin", range=text))[0].status == 200
    assert (await served("big.bin", range="bytes=0-1", if_range=tag))[0].status == 206
    assert (await served("big.bin", range="bytes=0-1", if_range='"old"'))[0].status == 200
    assert (await served("big.bin", range="bytes=0-1", if_range=f"W/{tag}"))[0].status == 200


async def test_the_packed_file_beside_it_goes_to_who_takes_gzip(served):
    packed, body = await served("app.js", accept_encoding="gzip")
    assert (packed.headers["Content-Encoding"], gzip.decompress(body)) == ("gzip", b"packed()")
    assert (packed.content_type, packed.headers["Vary"]) == ("text/javascript; charset=utf-8", "Accept-Encoding")
    plain, body = await served("app.js", accept_encoding="gzip;q=0")
    assert (body, plain.headers["Vary"]) == (b"plain()", "Accept-Encoding")
    assert plain.headers["ETag"] != packed.headers["ETag"]
    part, body = await served("app.js", accept_encoding="gzip", range="bytes=0-4")
    assert (part.status, body) == (206, b"plain")


def test_the_declaration_is_a_route_and_wrong_ones_say_so(folder):
    @aether.slice
    class Site:
        files = aether.static(folder, at="/assets")

    assert [(route.verb, route.template) for route in contract_of(Site).routes] == [("GET", "/assets/{rest:path}")]
    with pytest.raises(aether.ContractError, match="no package"):
        aether.static("no_such_package_here", at="/x")
    with pytest.raises(aether.ContractError, match="no directory"):
        aether.static(folder, "absent", at="/x")
    with pytest.raises(aether.ContractError, match="without a slash"):
        aether.static(folder, at="/x/")


def test_unreadable_dates_are_as_if_unsent():
    now = Validators('"a"', MADE_S)
    assert precondition({"if-modified-since": "yesterday"}, now) == 200
    assert precondition({"if-unmodified-since": formatdate(MADE_S - 1, usegmt=True)}, now) == 412
    assert wanted_range({"range": "bytes=0-1", "if-range": "yesterday"}, now, 10) is None
