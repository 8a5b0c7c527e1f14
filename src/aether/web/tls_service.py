"""Connections under TLS: the handshake, and who the client's certificate says it is.

Knows: trio's TLS stream, time for a handshake.
Never: which certificates are good (told by functions that are passed in), HTTP.
Holds: a client that is not wanted learns the reason as the answer to its first request; a plain one costs as little as
       a stranger may.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

import attrs
import trio

from aether.errors import BadInput
from aether.model.limits import HANDSHAKE_S, HTTP_LINGER_S
from aether.web.problem import problem
from aether.web.request import Handler, Request, Response

Described = Mapping[str, Any]
"""A certificate as `ssl.SSLObject.getpeercert` describes it, and as bytes under "der"; empty without one."""

BROKEN: Final = (OSError, trio.BrokenResourceError, trio.ClosedResourceError)


@attrs.frozen
class Tls:
    """How a listener speaks TLS.

    context   for the next connection: certificates change while the server runs
    identify  who the owner of a certificate is, as text; raises BadInput: such a client is not served
    """

    context: Callable[[], ssl.SSLContext]
    identify: Callable[[Described], str]


@attrs.frozen
class Secured:
    """A connection after its handshake. refusal  why its requests are not served, "" = they are"""

    stream: trio.SSLStream[trio.abc.Stream]
    described: Described
    identity: str = ""
    refusal: str = ""


async def secure(stream: trio.abc.Stream, tls: Tls) -> Secured | None:
    """`stream` under TLS; None when the peer does not speak it, or not in time."""
    # Not `https_compatible`: then trio would close without a word. A client that does so is at its end all the same.
    secured = trio.SSLStream(stream, tls.context(), server_side=True)
    try:
        with trio.fail_after(HANDSHAKE_S):
            await secured.do_handshake()
    except (*BROKEN, trio.TooSlowError):
        return None
    # trio hands attributes of the ssl module's object on, without types
    described = cast("Described", secured.getpeercert() or {})  # pyright: ignore[reportUnknownMemberType]
    if described:
        raw = cast("bytes", secured.getpeercert(True))  # pyright: ignore[reportUnknownMemberType]
        described = {**described, "der": raw}
    try:
        return Secured(secured, described, identity=tls.identify(described))
    except BadInput as error:
        return Secured(secured, described, refusal="; ".join([error.what, *error.problems]))


async def part(stream: trio.SSLStream[trio.abc.Stream]) -> None:
    """Say goodbye, so that the end of an answer without a length is told from a cut, and close."""
    with trio.move_on_after(HTTP_LINGER_S):
        try:
            await stream.aclose()
        except BROKEN:
            return


def refusing(reason: str) -> Handler:
    """Answers every request with 403 and `reason`."""

    async def refuse(request: Request) -> Response:
        return problem(403, reason, request.request_id, kind="certificate")

    return refuse
