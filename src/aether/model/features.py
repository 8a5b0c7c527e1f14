"""What the members of one cluster must all be able to do before anybody does it.

Knows: the levels of features and what each brings.
Never: who is a member, which level is in force.
Holds: a level is never taken back, and each contains the ones below it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

FEATURES: Final[Mapping[int, str]] = {1: "the commands of the first release"}
"""level -> what it brings. A release that writes something new into the log, so that older ones could not apply it,
adds a level; until every member has it, the new thing is not proposed."""

FEATURE_LEVEL: Final = max(FEATURES)
"""Of this release."""


def decide_feature_level(in_force: int, advertised: Iterable[int]) -> int:
    """The level that all members have, never below the one in force. advertised  by each member, none left out."""
    return max(in_force, min(advertised, default=in_force))
