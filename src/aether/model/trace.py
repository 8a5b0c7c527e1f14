"""Where a request stands in a distributed trace, as W3C Trace Context spells it.

Knows: the headers `traceparent` and `tracestate`: how each is read, checked and written.
Never: randomness (ids are given), sampling decisions, exporters.
Holds: what does not fit the specification is no trace at all, and whoever finds none begins a new one; a `tracestate`
       never survives its `traceparent`.
Paper: W3C Trace Context Level 1 (Recommendation of 2021), sections 3.2, 3.3 and 4.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

STATE_MEMBERS_MAX: Final = 32
STATE_CHARS_MAX: Final = 512

_HEAD: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)
_KEY: Final = r"[a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13}"
_VALUE: Final = r"[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
_MEMBER: Final = re.compile(rf"({_KEY})={_VALUE}", re.ASCII)
_FORBIDDEN_VERSION: Final = "ff"
_NO_TRACE: Final = "0" * 32
_NO_SPAN: Final = "0" * 16
_SAMPLED: Final = 0x01


class TraceContext(NamedTuple):
    """One span of a trace. A NamedTuple: many calls make one.

    trace_id  32 hexadecimal digits; span_id  16, of the span that the next ones have as parent
    sampled   whether it may have been recorded; state  `tracestate`, "" = none
    """

    trace_id: str
    span_id: str
    sampled: bool = False
    state: str = ""

    @property
    def traceparent(self) -> str:
        """The header, in version 00."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"


def parse_trace(traceparent: str, tracestate: str = "") -> TraceContext | None:
    """The trace that two headers name; None when `traceparent` is none, so that a new trace begins.

    A header given twice arrives joined by a comma: twice `traceparent` is none; `tracestate` is a list anyway.
    """
    match = _HEAD.fullmatch(traceparent.strip(" \t"))
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    if version == _FORBIDDEN_VERSION or (version == "00" and more is not None):
        return None
    if trace_id == _NO_TRACE or span_id == _NO_SPAN:
        return None
    return TraceContext(trace_id, span_id, bool(int(flags, 16) & _SAMPLED), _state(tracestate))


def _state(text: str) -> str:
    """`tracestate` with optional spaces and empty members left out; "" when a member does not fit, or a key is double.

    Longer than what every system has to pass on, it loses whole members: first those over 128 characters, then the
    oldest, which stand at the end.
    """
    members = [member for member in (part.strip(" \t") for part in text.split(",")) if member]
    keys = [match.group(1) for match in map(_MEMBER.fullmatch, members) if match is not None]
    if len(keys) < len(members) or len(set(keys)) < len(keys) or len(members) > STATE_MEMBERS_MAX:
        return ""
    while len(joined := ",".join(members)) > STATE_CHARS_MAX:
        long = [i for i, member in enumerate(members) if len(member) > 128]
        del members[long[-1] if long else -1]
    return joined
