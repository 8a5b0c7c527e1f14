"""What a node's Invoker has counted, as frozen values.

Knows: names of counters.
Never: who reads them.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from aether.model.call_counts import CallCounts


@attrs.frozen(kw_only=True)
class TargetStatistics:
    """This node's calls to one artifact, since the node started.

    calls    made by callers; moved  tries that did not start there and were sent elsewhere, outside the budget
    repeats  of calls that may have run; refused  those that the retry budget did not allow
    hedges   second tries beside a slow first; hedges_won  those that answered first
    """

    calls: int = 0
    moved: int = 0
    repeats: int = 0
    refused: int = 0
    hedges: int = 0
    hedges_won: int = 0


@attrs.frozen(kw_only=True)
class InvokerStatistics:
    """in_flight  calls to other nodes that wait for a reply; serving  calls that run here, co-located ones included

    targets  by `group:artifact`; versions  by `group:artifact:version`: tries of calls that ended
    """

    in_flight: int = 0
    serving: int = 0
    targets: Mapping[str, TargetStatistics] = attrs.field(factory=dict[str, TargetStatistics])
    versions: Mapping[str, CallCounts] = attrs.field(factory=dict[str, CallCounts])
