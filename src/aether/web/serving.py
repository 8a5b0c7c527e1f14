"""What one connection asks its server for, and how its answers are spelt.

Knows: names.
Never: who stands behind them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from aether.web.answer import encode_response
from aether.web.config import WebConfig
from aether.web.connection import HttpConnection
from aether.web.ordinary import HeadReader
from aether.web.request import Handler, Request, Response


class Gate(Protocol):
    """May hold requests up before they begin."""

    closed: bool

    async def passed(self) -> bool: ...


class Server(Protocol):
    """What a connection asks its server for."""

    config: WebConfig
    heads: HeadReader | None

    @property
    def gate(self) -> Gate: ...

    @property
    def leaves(self) -> bool:
        """Whether clients shall come back by another connection, perhaps to another node."""
        ...

    draining: bool
    held: int
    new_request_id: Callable[[], str]
    streams_body: Callable[[str, str], bool] | None

    handler: Handler

    def problem_for(self, error: Exception, request: Request) -> Response: ...
    def http_date(self) -> str: ...


def spelt(server: Server, http: HttpConnection, response: Response, request: Request, *, keep_alive: bool) -> bytes:
    """`response` to the request that `http` returned last, on the wire; of one with parts the beginning."""
    return encode_response(
        response,
        verb=request.verb,
        request_id=request.request_id,
        date=server.http_date(),
        keep_alive=keep_alive,
        chunked=http.speaks_1_1,
    )
