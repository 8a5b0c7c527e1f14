"""One call while it is tried.

Knows: what was asked, how long its caller waits, what the tries so far came to.
Never: endpoints, waiting.
"""

from __future__ import annotations

import math
from typing import Final

import attrs

from aether.invocation.endpoints import Endpoint
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

    began       when; within_s  the default deadline of its contract, from then on
    waits       `wait` told it what is in force where it is made; of a call that is answered at once nobody asks
    deadline    when the caller stops waiting; own  by the contract's default, no scope of the caller's
    give_up_at  a little earlier: what callees get, so that they can answer in time
    chosen      who is asked first, once that is decided
    at          the instance asked last; ended_at  when that try ended, 0.0 = no try ended
    full        every try so far was refused as full
    held        it waited for a slice that may sleep: a full instance then means wait on, as many were let go at once
    cut_off     where it may have run in part, "" = nowhere
    recorded    somebody looks at traces: a span is made of each try
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
    began: float
    within_s: float
    waits: bool = False
    deadline: float = math.inf
    own: bool = False
    give_up_at: float = math.inf
    attempt: int = 0
    chosen: Endpoint | None = None
    at: InstanceId | None = None
    ended_at: float = 0.0
    excluded: frozenset[InstanceId] = frozenset()
    full: bool = True
    held: bool = False
    cut_off: str = ""
    recorded: bool = False
    version: Version | None = None
    opening: Opening | None = None

    def wait(self, in_force: float) -> None:
        """Whoever made it begins to wait, where the deadline `in_force` is in force."""
        self.waits = True
        deadline = self.began + self.within_s
        self.own = deadline < in_force
        self.deadline = deadline = deadline if self.own else in_force
        self.give_up_at = deadline - reserve_s(deadline - self.began)
