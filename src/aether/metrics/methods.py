"""How the calls to each method of each version go, in the whole cluster: the figures, and who has them.

Knows: what is told of one method.
Never: who counts, how it travels between nodes, what is done about it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import attrs

from aether.metrics.slow_calls import SlowCall
from aether.model.artifact import Artifact
from aether.model.ids import NodeId
from aether.model.sketch import Sketch


@attrs.frozen(kw_only=True)
class MethodFigures:
    """Calls to one method of one version, as their callers on all nodes saw them.

    artifact   with its version; None together with the method `other`: what lies beyond the limit of methods
    calls, failures, slow, seconds   since the processes that counted them started; seconds  how long they took together
    in_flight  now, as far as this node was told
    rate       calls a second, over the last CALLS_RECENT_S, as all that follow
    failure_rate             share of those calls, 0 to 1
    p50_s, p95_s, p99_s, p999_s   latencies in seconds, within 1 %; 0.0 when none was answered
    """

    artifact: Artifact | None
    method: str
    calls: int = 0
    failures: int = 0
    slow: int = 0
    seconds: float = 0.0
    in_flight: int = 0
    rate: float = 0.0
    failure_rate: float = 0.0
    p50_s: float = 0.0
    p95_s: float = 0.0
    p99_s: float = 0.0
    p999_s: float = 0.0


@attrs.frozen(kw_only=True)
class SlowFigures:
    """One slow call. node  that made it; at  when it ended, in seconds since the epoch"""

    node: NodeId
    artifact: Artifact | None
    method: str
    at: float
    call: SlowCall


class CallFigures(Protocol):
    """Of the whole cluster, on every node, from memory: never waits."""

    def methods(self) -> Sequence[MethodFigures]:
        """The newest of every node added up, by method and version."""
        ...

    def latencies(self, artifact: Artifact | None, method: str) -> Sketch:
        """Of all calls of a method since the processes that counted them started."""
        ...

    def slow_calls(self) -> Sequence[SlowFigures]:
        """The last slow calls of every method, the newest first."""
        ...

    def local_snapshot(self) -> bytes:
        """What this node counted, for the others, at most CALL_SNAPSHOT_BYTES_MAX; made every CALL_SNAPSHOT_EVERY_S."""
        ...

    def take(self, node: NodeId, snapshot: bytes) -> None:
        """What `node` counted, as it was told. Raises BadInput for what is no snapshot."""
        ...
