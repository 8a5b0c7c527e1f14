"""Where the instances of one slice may live, as an operator says it.

Knows: labels, spread, pinning, kinds of member; what makes such a wish valid.
Never: which nodes exist, which of them is chosen (room deployment).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final

import attrs

from aether.model.ids import NodeId


class Kind(enum.StrEnum):
    """Members by their part in the group."""

    ANY = "any"
    CORE = "core"  # voters
    WORKERS = "workers"  # learners


@attrs.frozen(kw_only=True)
class Placing:
    """Part of a desired row; the empty one leaves everything to the placement strategy of the cluster.

    strategy      name of a placement strategy (deployment.plugins), "" = that of the cluster
    labels        only members with all of these labels
    spread        label whose values share the instances evenly, such as `zone`; "" = nodes
    pin           only these nodes; () = any
    kind          voters, workers, or any
    rebalance     whether running instances move to members that come, for the sake of balance
    """

    strategy: str = ""
    labels: Mapping[str, str] = attrs.field(factory=dict[str, str])
    spread: str = ""
    pin: tuple[NodeId, ...] = ()
    kind: Kind = Kind.ANY
    rebalance: bool = True


ANYWHERE: Final = Placing()
