"""The opening of a WebSocket and the words of its end.

Knows: which requests open one, the answer that accepts them, what each close code means here.
Never: frames (wsproto's), sockets, who answers.
Holds: a page of another origin connects only where its origin was named: a browser sends cookies with it unasked.
Paper: RFC 6455 (4.2 opening, 7.4 close codes); WHATWG Fetch on origins.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from typing import Final, cast
from urllib.parse import urlsplit

import attrs

from aether.errors import AetherError, Overloaded, TryAgain
from aether.slice_api.route_options import Cors
from aether.web.problem import problem
from aether.web.request import Request, Response
from aether.web.slices import Faulting

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_REASON_BYTES_MAX: Final = 123
_PROTOCOL: Final = "sec-websocket-protocol"

NORMAL: Final = 1000
GOING_AWAY: Final = 1001
UNREADABLE: Final = 1007
NOT_ALLOWED: Final = 1008
TOO_BIG: Final = 1009
FAILED: Final = 1011
AGAIN: Final = 1013
FAULT: Final = 4000
"""A Fault of the method closes with 4000 + its HTTP status, its name as the reason."""


def refusal(request: Request, cors: Cors | None) -> Response | None:
    """Why `request` opens no WebSocket; None when it does."""
    tokens = {token.strip().lower() for token in (request.header("connection") or "").split(",")}
    if (request.header("upgrade") or "").lower() != "websocket" or "upgrade" not in tokens or request.verb != "GET":
        detail = "this path is a WebSocket; connect to it with ws:// or wss://"
        return problem(426, detail, request.request_id, headers={"Upgrade": "websocket"})
    if request.header("sec-websocket-version") != "13":
        detail = "this node speaks version 13 of the WebSocket protocol"
        return problem(426, detail, request.request_id, headers={"Upgrade": "websocket", "Sec-WebSocket-Version": "13"})
    if not _is_key(request.header("sec-websocket-key") or ""):
        return problem(400, "Sec-WebSocket-Key is not 16 bytes in base64", request.request_id)
    if request.header("transfer-encoding") is not None or (request.header("content-length") or "").strip("0"):
        return problem(400, "what opens a WebSocket has no body: its bytes would be read as frames", request.request_id)
    origin = request.header("origin")
    if origin is not None and not (_is_own(origin, request.host) or (cors is not None and cors.allows(origin))):
        detail = f"pages of {origin[:80]} may not connect here; name the origin in aether.Cors"
        return problem(403, detail, request.request_id, kind="foreign-origin")
    return None


def agreed(request: Request, subprotocols: Sequence[str]) -> Request:
    """`request` as its method sees it: of the subprotocols that it offers, the first of `subprotocols`, if any."""
    if not subprotocols:
        return request
    offered = {text.strip() for text in request.combined_headers().get(_PROTOCOL, "").split(",")}
    choice = next((name for name in subprotocols if name in offered), "")
    others = tuple((name, value) for name, value in request.headers if name.lower() != _PROTOCOL)
    return attrs.evolve(request, headers=(*others, (_PROTOCOL, choice)))


def accept_headers(request: Request, subprotocol: str = "") -> dict[str, str]:
    """What the 101 says besides `Connection`."""
    key = (request.header("sec-websocket-key") or "").strip().encode()
    digest = hashlib.sha1(key + _GUID, usedforsecurity=False).digest()
    fields = {"Upgrade": "websocket", "Sec-WebSocket-Accept": base64.b64encode(digest).decode()}
    return fields | ({"Sec-WebSocket-Protocol": subprotocol} if subprotocol else {})


def close_of(error: Exception) -> tuple[int, str]:
    """The close code and reason for what ended the method."""
    if isinstance(error, Faulting):
        answer = error.answer
        if answer.name == "BadMessage":
            return UNREADABLE, _short(_listed(answer.fields.get("problems")) or answer.detail)
        return FAULT + answer.status, _short(answer.name)
    if isinstance(error, Overloaded | TryAgain):
        return AGAIN, _short(str(error))
    return FAILED, type(error).__name__ if isinstance(error, AetherError) else ""


def _listed(problems: object) -> str:
    return "; ".join(map(str, cast("list[object]", problems))) if isinstance(problems, list) else ""


def _short(text: str) -> str:
    return text.encode()[:_REASON_BYTES_MAX].decode(errors="ignore")


def _is_key(key: str) -> bool:
    try:
        return len(base64.b64decode(key.strip(), validate=True)) == 16
    except binascii.Error:
        return False


def _is_own(origin: str, host: str) -> bool:
    try:
        return urlsplit(origin).netloc.lower() == host.lower() != ""
    except ValueError:
        return False
