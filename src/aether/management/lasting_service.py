"""Answers that last no longer than the right to have them.

Knows: how often the admin API looks.
Never: who may ask what (told by a function), how an answer is ended (web.right_service).
Holds: a stream looks before each part, of which it has one at least each heartbeat; a WebSocket each RIGHT_LOOK_S.
"""

from __future__ import annotations

from collections.abc import Callable

from aether.model.limits import RIGHT_LOOK_S
from aether.web import right_service
from aether.web.request import Response


def lasting(response: Response, may: Callable[[], bool]) -> Response:
    """`response`, which ends when `may()` is False. One that is whole is left alone."""
    every_s = RIGHT_LOOK_S if response.upgrade is not None else 0.0

    async def look() -> float | None:
        return every_s if may() else None

    return right_service.lasting(response, look, silent=False, first_s=every_s)
