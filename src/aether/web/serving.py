"""What one connection asks its server for.

Knows: names.
Never: who stands behind them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from aether.web.config import WebConfig
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

    draining: bool
    retiring: bool
    held: int
    new_request_id: Callable[[], str]
    streams_body: Callable[[str, str], bool] | None

    handler: Handler

    def problem_for(self, error: Exception, request: Request) -> Response: ...
    def http_date(self) -> str: ...
