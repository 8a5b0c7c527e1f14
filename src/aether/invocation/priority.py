"""Which calls go first, and are refused last, when an instance is full.

Knows: three classes and how a request spells them beside its arguments.
Never: queues (hosting).
Holds: a call made while another is served has that one's class unless it says its own; an unknown class is "normal".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aether.slice_api.call import PRIORITIES, CallOptions
from aether.slice_api.current import NORMAL, RUNNING

PRIORITY: Final = "prio"


def priority_of(options: CallOptions) -> str:
    """Of a call made by the current task."""
    if options.priority is not None:
        return options.priority
    running = RUNNING.get()
    return NORMAL if running is None else running.priority


def read_priority(extra: Mapping[str, object]) -> str:
    """Of a request that came."""
    said = extra.get(PRIORITY)
    return said if isinstance(said, str) and said in PRIORITIES else NORMAL
