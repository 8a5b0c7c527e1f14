"""What a node shows of itself to Prometheus, as one frozen value.

Knows: figures, calls, counts of what is deployed.
Never: formats; where it comes from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from aether.metrics.call_snapshot import MethodKey, MethodRow
from aether.metrics.slow_calls import SlowCall
from aether.model.artifact import Artifact


@attrs.frozen(kw_only=True)
class Exposed:
    """At one moment.

    figures    of this node, by name
    calls      made by this node, with their latencies; slow  the newest slow calls of each, at_s since the epoch
    tries      further tries of its calls, by artifact and kind
    instances  in the cluster, by version and state; alerts  by severity
    """

    node: str
    cluster: str
    release: str
    figures: Mapping[str, float] = attrs.field(factory=dict[str, float])
    calls: Sequence[MethodRow] = ()
    slow: Mapping[MethodKey, Sequence[SlowCall]] = attrs.field(factory=dict[MethodKey, Sequence[SlowCall]])
    tries: Mapping[tuple[str, str], int] = attrs.field(factory=dict[tuple[str, str], int])
    nodes: int = 0
    members: int = 0
    instances: Mapping[tuple[Artifact, str], int] = attrs.field(factory=dict[tuple[Artifact, str], int])
    desired: Mapping[Artifact, int] = attrs.field(factory=dict[Artifact, int])
    rollouts: int = 0
    alerts: Mapping[str, int] = attrs.field(factory=dict[str, int])
