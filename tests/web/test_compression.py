"""Which answers shrink, and what is said of them."""

import gzip

import pytest

from aether.web.compression_service import shrunk
from aether.web.request import Request, Response

BODY = b'{"a": 1}' * 20_000


def asked(coding="gzip"):
    return Request(verb="GET", path="/", headers=(("accept-encoding", coding),))


async def test_a_large_text_is_compressed_and_says_so():
    got = await shrunk(asked(), Response(200, BODY, headers={"ETag": '"a"', "Vary": "Origin"}))
    assert gzip.decompress(got.body) == BODY
    assert got.headers == {"ETag": 'W/"a"', "Vary": "Origin, Accept-Encoding", "Content-Encoding": "gzip"}
    plain = await shrunk(asked("identity"), Response(200, BODY, headers={"ETag": '"a"'}))
    assert (plain.body, plain.headers) == (BODY, {"ETag": '"a"', "Vary": "Accept-Encoding"})


@pytest.mark.parametrize(
    "response",
    [
        Response(200, b"x" * 500),
        Response(200, BODY, "image/png"),
        Response(200, BODY, "application/octet-stream"),
        Response(200, BODY, headers={"Content-Encoding": "br"}),
        Response(206, BODY, headers={"Content-Range": "bytes 0-1/2"}),
        Response(200, BODY, headers={"Cache-Control": "public, no-transform"}),
        Response(200, BODY, parts=iter((b"x",))),
    ],
)
async def test_what_is_small_packed_partial_or_streamed_is_left_alone(response):
    assert await shrunk(asked(), response) is response


async def test_what_does_not_shrink_stays_as_it_is():
    import secrets

    noise = secrets.token_bytes(5_000)
    assert (await shrunk(asked(), Response(200, noise, "text/x"))).body == noise
