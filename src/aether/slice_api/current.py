"""The call that runs: who it is for, where it runs, how much time it has left.

Knows: one context variable that follows the call through its tasks, and what user code may read of it.
Never: clocks, how calls travel: the runtime fills the variable in.
Holds: code outside of any call, such as a unit test, reads an empty value and never an error.
"""

from __future__ import annotations

import contextvars
import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import attrs

from aether.model.trace import TraceContext

NORMAL: Final = "normal"
NOTHING_CARRIED: Final[Mapping[str, bytes]] = MappingProxyType({})


@attrs.frozen(kw_only=True)
class CurrentCall:
    """What `aether.current_call()` shows. All texts are "" outside of a call.

    request_id   one for all that is done for one request, from the HTTP edge to the last hop
    trace_id     of the W3C trace, 32 hexadecimal digits; span_id  of this call in it, 16
    traceparent  both as the header to send to others; tracestate  its companion
    slice        name of the class, as in `PlaceOrder`; method  of it
    instance     id; node  that it runs on
    remaining_s  until the deadline of the scope that asks, infinity when there is none
    """

    request_id: str = ""
    trace_id: str = ""
    span_id: str = ""
    traceparent: str = ""
    tracestate: str = ""
    slice: str = ""
    method: str = ""
    instance: str = ""
    node: str = ""
    remaining_s: float = math.inf


class Running(NamedTuple):
    """What a task passes on to the calls that it makes.

    span      of the call that it serves, the runtime's own; None outside of a call
    carried   values of context variables, packed, by name
    incoming  where the request stands in a trace, when it comes from outside
    describe  makes a CurrentCall of it
    priority  "low", "normal" or "high": of the calls that it makes, unless they say their own
    """

    span: Any = None
    request_id: str = ""
    carried: Mapping[str, bytes] = NOTHING_CARRIED
    incoming: TraceContext | None = None
    describe: Callable[[Running], CurrentCall] | None = None
    priority: str = NORMAL


RUNNING: Final[contextvars.ContextVar[Running | None]] = contextvars.ContextVar("aether_running_call", default=None)
_OUTSIDE: Final = CurrentCall()


def current_call() -> CurrentCall:
    """The call that the current task serves, as it is now: a frozen value. Outside of a call all of it is empty.

    Also in tasks started by a method, and in the thread of a blocking one.
    """
    running = RUNNING.get()
    if running is None:
        return _OUTSIDE
    return CurrentCall(request_id=running.request_id) if running.describe is None else running.describe(running)
