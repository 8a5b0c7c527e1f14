"""Where an instance of a slice may live, by name.

Knows: the names that are built in, and which options go with which.
Never: how an instance is started there (room hosting).
Holds: a name that is not built in may belong to a host that another distribution brings.
"""

from __future__ import annotations

import re
from typing import Final

from aether.model.limits import WORKER_MEMORY_MB_MAX, WORKER_MEMORY_MB_MIN

IN_PROCESS: Final = "node"
"""In the process of its node, in the same loop."""

WORKER: Final = "process"
"""In a worker process of its own."""

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")


def host_problem(host: object, memory_mb: object) -> str:
    """What is wrong with the two options, with the fix; "" when nothing is. memory_mb  None = not given"""
    if not isinstance(host, str) or _NAME.fullmatch(host) is None:
        return f'give host="{IN_PROCESS}" or host="{WORKER}"'
    if memory_mb is None:
        return ""
    if type(memory_mb) is not int or not WORKER_MEMORY_MB_MIN <= memory_mb <= WORKER_MEMORY_MB_MAX:
        return f"memory_mb is a whole number of MiB, {WORKER_MEMORY_MB_MIN} to {WORKER_MEMORY_MB_MAX}"
    if host == IN_PROCESS:
        return f'memory_mb needs host="{WORKER}": the memory of a node is shared by all that lives in it'
    return ""
