"""Whoever carries mutations out, gathered for the endpoints.

Knows: one protocol for each subject.
Never: HTTP; what an endpoint asks for.
"""

from __future__ import annotations

import attrs

from aether.management.rollout_wish import Rollouts
from aether.management.view import Blueprints, Duties, Members, Operator, Placements, Trees


@attrs.frozen(kw_only=True)
class Actors:
    """Whoever carries mutations out, each for its own subject."""

    operator: Operator
    members: Members
    duties: Duties
    trees: Trees
    blueprints: Blueprints
    placements: Placements
    rollouts: Rollouts
