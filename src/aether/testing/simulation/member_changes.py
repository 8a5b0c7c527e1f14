"""Which change of the membership is asked for next, in a simulation.

Knows: the configuration in force where it is asked, spare nodes, damaged disks.
Never: whether it is granted.
Holds: a change that is asked for leaves voters with whole disks a quorum, so the fault atlas stays true.
"""

from __future__ import annotations

import random
from typing import TypeAlias

from aether.consensus.quorum import Configuration
from aether.model.ids import NodeId
from aether.testing.simulation.site import Site

VOTERS_MAX = 5
Change: TypeAlias = dict[str, tuple[NodeId, ...]]
"""add, promote, demote, remove, as `MembershipChange` names them."""


def next_change(site: Site, now: Configuration, dice: random.Random) -> Change | None:
    """One step; None when there is nothing to do for these dice."""
    kinds = ("add", "promote", "promote", "demote", "remove", "replace", "replace", "swap")
    change = _draw(dice.choice(kinds), site, now, dice)
    if change is None:
        return None
    voters = {*now.voters, *change.get("promote", ())} - {*change.get("demote", ()), *change.get("remove", ())}
    return change if voters and site.atlas.tolerates(voters) else None


def _draw(kind: str, site: Site, now: Configuration, dice: random.Random) -> Change | None:
    spare = [n for n, node in site.nodes.items() if n not in now.members() and node.core is not None and node.is_spare]
    learners, voters = sorted(now.learners), sorted(now.voters)
    weak = [voter for voter in voters if site.nodes[voter].core is None or voter in site.atlas.damaged] or voters
    match kind:
        case "add" if spare:
            return {"add": (dice.choice(spare),)}
        case "promote" if learners and len(voters) < VOTERS_MAX:
            return {"promote": (dice.choice(learners),)}
        case "demote" if len(voters) > 1:
            return {"demote": (dice.choice(voters),)}
        case "remove" if len(voters) > 2:
            return {"remove": (dice.choice(weak),)}
        case "replace" if learners:
            return {"promote": (dice.choice(learners),), "remove": (dice.choice(weak),)}
        case "swap" if learners:
            return {"promote": (dice.choice(learners),), "demote": (dice.choice(voters),)}
        case _:
            return None
