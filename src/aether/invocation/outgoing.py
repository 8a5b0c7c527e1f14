"""One call while it is tried.

Knows: what was asked, how long its caller waits, what the tries so far came to.
Never: endpoints, waiting.
"""

from __future__ import annotations

from typing import Final

import attrs

from aether.invocation.reply import Form
from aether.invocation.span import Span
from aether.invocation.streaming import Opening
from aether.model.artifact import ArtifactBase
from aether.model.ids import InstanceId
from aether.model.version import Version
from aether.slice_api.call import CallOptions

RESERVE_MAX_S: Final = (
    0.005  # a callee gets this much less than its caller has, so that its account of the time arrives
)
RESERVE_SHARE: Final = 0.01
RESERVE_FULL_S: Final = RESERVE_MAX_S / RESERVE_SHARE  # with more time than this, the reserve is RESERVE_MAX_S


def reserve_s(left_s: float) -> float:
    """How much earlier than its caller a callee gives up, so that it can say so in time."""
    return RESERVE_MAX_S if left_s > RESERVE_FULL_S else RESERVE_SHARE * max(left_s, 0.0)


@attrs.define(eq=False, kw_only=True)
class OutgoingCall:
    """Owned by the task that makes the call.

    deadline    when the caller stops waiting; own  it is the contract's default, no scope of the caller ends the wait
    give_up_at  a little earlier: what callees get, so that they can answer in time
    at          the instance asked last
    full        every try so far was refused as full
    held        it waited for a slice that may sleep: a full instance then means wait on, as many were let go at once
    cut_off     where it may have run in part, "" = nowhere
    opening     of a stream; None for a call
    """

    target: ArtifactBase
    method: str
    payload: object
    form: Form
    request_id: str
    options: CallOptions
    span: Span
    idempotent: bool
    deadline: float
    own: bool
    give_up_at: float
    began: float
    attempt: int = 0
    at: InstanceId | None = None
    excluded: frozenset[InstanceId] = frozenset()
    full: bool = True
    held: bool = False
    cut_off: str = ""
    version: Version | None = None
    opening: Opening | None = None
