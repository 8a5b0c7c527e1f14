"""Identifiers: who a node is, which instance runs, which position of the log.

Knows: the spelling of each id and how it is checked.
Never: randomness (callers bring the bytes), clocks, I/O.
"""

from __future__ import annotations

import re
from typing import Final, NewType

from aether.errors import BadInput

NodeId = NewType("NodeId", str)
InstanceId = NewType("InstanceId", str)
StoreId = NewType("StoreId", str)
ClusterUuid = NewType("ClusterUuid", str)

Incarnation = NewType("Incarnation", str)
"""Random per process start: rows of an older incarnation of a node are lost at once."""

Term = NewType("Term", int)
LogIndex = NewType("LogIndex", int)

Revision = NewType("Revision", int)
"""The log index at which a change of the replicated store was applied."""

NAME_CHARS_MAX: Final = 63
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")


def is_name(text: str) -> bool:
    """Whether `text` may name a node or a cluster: letters, digits, inner `.`, `_`, `-`; at most 63 characters."""
    return len(text) <= NAME_CHARS_MAX and _NAME.fullmatch(text) is not None


def node_id(text: str) -> NodeId:
    """`text` as a NodeId. Raises BadInput that shows the rule."""
    if not is_name(text):
        raise BadInput(f"{text!r} is no node id", ("use letters, digits, and inner . _ - ; at most 63 characters",))
    return NodeId(text)
