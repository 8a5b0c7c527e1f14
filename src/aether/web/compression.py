"""Which answers are worth compressing, and what must be said of one that was.

Knows: media types that shrink, the size from which it pays, ETag and Vary.
Never: compressing (compression_service does, in pieces).
Holds: what is compressed already, a range of something, or without a body is left alone; so is a stream, whose parts
       would wait for each other.
Paper: RFC 9110 8.4 (Content-Encoding), 8.8.3 (weak validators), 12.5.5 (Vary).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import attrs

from aether.slice_api.negotiation import choose_coding, media_type
from aether.web.cors import varying
from aether.web.request import Request, Response

LEAST_BYTES: Final = 1_024
GZIP: Final = "gzip"
_SHRINKS: Final = re.compile(
    r"text/.+|application/(?:json|javascript|xml|wasm|msgpack|x-ndjson|manifest\+json|.+\+json|.+\+xml)|image/svg\+xml"
)
_FINAL: Final = frozenset({"content-encoding", "content-range"})


def may_shrink(response: Response) -> bool:
    """Whether another client might get this answer compressed."""
    return (
        len(response.body) >= LEAST_BYTES
        and response.parts is None
        and response.stream is None
        and response.status not in (204, 206, 304)
        and _SHRINKS.fullmatch(media_type(response.content_type)) is not None
        and not any(name.lower() in _FINAL for name in response.headers)
        and "no-transform" not in response.headers.get(_spelling(response.headers, "Cache-Control"), "").lower()
    )


def wants_gzip(request: Request) -> bool:
    return choose_coding(request.header("accept-encoding") or "", (GZIP,)) == GZIP


def compressed(response: Response, body: bytes) -> Response:
    """`response` with its body replaced by the compressed `body`. A strong ETag becomes weak: the bytes differ."""
    headers = dict(response.headers)
    name = _spelling(headers, "ETag")
    tag = headers.get(name, "")
    if tag and not tag.startswith("W/"):
        headers[name] = f"W/{tag}"
    headers["Content-Encoding"] = GZIP
    varying(headers, "Accept-Encoding")
    return attrs.evolve(response, body=body, headers=headers)


def with_vary(response: Response) -> Response:
    """`response`, which says that it depends on Accept-Encoding."""
    headers = dict(response.headers)
    varying(headers, "Accept-Encoding")
    return attrs.evolve(response, headers=headers)


def _spelling(headers: Mapping[str, str], name: str) -> str:
    """How `headers` spell `name`: a method, or an ASGI application, may have its own way."""
    return next((spelt for spelt in headers if spelt.lower() == name.lower()), name)
