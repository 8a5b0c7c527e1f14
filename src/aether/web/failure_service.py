"""What a handler raised, as the problem that its client sees.

Knows: errors of the tree, time-outs; what is logged because a stranger must not read it.
Never: who answers.
"""

from __future__ import annotations

import logging
from typing import cast

import trio

from aether.errors import AetherError, BadInput, CallFailed
from aether.web.checked_head import Refusal
from aether.web.problem import problem, problem_of
from aether.web.request import Request, Response

_log = logging.getLogger("aether.web")


class BodyRefused(BadInput):
    """The rest of a streamed body cannot be had; the answer says so unless the handler has another."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.detail)
        self.status: int = refusal.status


def _lone_leaf(error: Exception) -> Exception:
    """What a nursery wrapped: the one exception inside groups of one; any other error as it is."""
    while isinstance(error, ExceptionGroup):
        inside = cast("ExceptionGroup[Exception]", error).exceptions
        if len(inside) != 1:
            return cast("Exception", error)
        error = inside[0]
    return error


def problem_for(error: Exception, request: Request) -> Response:
    """The problem that a client sees for `error`; what it must not see is logged."""
    error = _lone_leaf(error)
    if isinstance(error, BodyRefused):
        return problem(error.status, str(error), request.request_id)
    if isinstance(error, CallFailed):
        where = f"{request.verb} {request.path}"
        _log.error("%s failed (request %s): %s\n%s", where, request.request_id, error, error.remote_traceback)
    if isinstance(error, AetherError):
        return problem_of(error, request.request_id)
    if isinstance(error, trio.TooSlowError):
        # Where the time went: set by whoever made the call, absent when the request itself was too slow.
        hops: object = getattr(error, "hops", None)
        detail = "the deadline passed before the answer was there; it may have happened"
        if hops is not None:
            detail = f"{detail}: {error}"
        return problem(504, detail, request.request_id, kind="too-slow", members={"hops": hops} if hops else {})
    _log.error("%s %s failed (request %s)", request.verb, request.path, request.request_id, exc_info=error)
    detail = f"an unexpected error; the log of this node has it under request {request.request_id}"
    return problem(500, detail, request.request_id, kind="unexpected")
