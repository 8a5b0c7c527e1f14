"""How a state looks in a table on a terminal: a sign, a weight and a colour beside its word.

Knows: the words of states, duties, severities and verdicts; colours that colour-blind readers can tell apart.
Never: saying anything by colour alone: the word is always there, and the sign differs with it.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final

import attrs


@attrs.frozen
class Look:
    """sign, its spelling where only ASCII can be printed, and a style as rich spells it."""

    sign: str
    ascii_sign: str
    style: str


class Mood(enum.Enum):
    """What a state means to whoever looks for trouble."""

    GOOD = Look("●", "+", "bright_blue")
    MOVING = Look("◐", "~", "yellow")
    BAD = Look("✗", "!", "bold reverse")  # no hue: red is what most colour-blind readers cannot tell
    RESTING = Look("○", "-", "dim")


COLUMNS: Final = frozenset({"state", "status", "duty", "severity", "finding", "verdict"})
"""The columns whose words are states."""

_WORDS: Final[Mapping[Mood, str]] = {
    Mood.GOOD: "ACTIVE ON_DUTY COMPLETED HEALTHY RUNNING RESOLVED OK PASS INFO",
    Mood.MOVING: (
        "LOAD LOADING LOADED ACTIVATE ACTIVATING DEACTIVATE DEACTIVATING UNLOAD UNLOADING JOINING DRAINING LEAVING "
        "SHUTTING_DOWN PENDING DEPLOYING DEPLOYED ROUTING VALIDATING COMPLETING ROLLING_BACK DEGRADED WARNING "
        "PARTIAL TOO_FEW"
    ),
    Mood.BAD: "FAILED LOST UNREACHABLE UNHEALTHY CRITICAL TRIGGERED UNSATISFIED UNFIT FAIL",
    Mood.RESTING: "DECOMMISSIONED STOPPED ROLLED_BACK ASLEEP SLEEPING SKIPPED UNKNOWN",
}
_MOODS: Final = {word: mood for mood, words in _WORDS.items() for word in words.split()}


def mood_of(column: str, cell: str) -> Mood | None:
    """Of a cell; None when it is no state that is known."""
    return _MOODS.get(cell.upper()) if column.lower() in COLUMNS else None
