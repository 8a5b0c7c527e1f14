"""An update of one slice from one version to another, as a table and a row.

Knows: the states, who may move to which; what an operator may ask for; what is remembered of an update.
Never: when a step is due, what it writes (room deployment).
Holds: a move that is absent from NEXT_ROLLOUT is illegal; terminal states are never left.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final

import attrs

from aether.errors import AetherError
from aether.model.artifact import ArtifactBase
from aether.model.version import Version


class RolloutState(enum.StrEnum):
    """Where an update stands."""

    PENDING = "PENDING"
    DEPLOYING = "DEPLOYING"  # the new version starts, at no traffic
    DEPLOYED = "DEPLOYED"  # all its instances are ACTIVE
    ROUTING = "ROUTING"  # traffic moves
    VALIDATING = "VALIDATING"  # a step holds while its health is judged
    COMPLETING = "COMPLETING"  # all traffic is on the new version; the old one goes
    COMPLETED = "COMPLETED"
    ROLLING_BACK = "ROLLING_BACK"  # traffic first, instances afterwards
    ROLLED_BACK = "ROLLED_BACK"
    FAILED = "FAILED"


R = RolloutState
NEXT_ROLLOUT: Final[Mapping[RolloutState, frozenset[RolloutState]]] = {
    R.PENDING: frozenset({R.DEPLOYING, R.ROLLING_BACK, R.FAILED}),
    R.DEPLOYING: frozenset({R.DEPLOYED, R.ROLLING_BACK, R.FAILED}),
    R.DEPLOYED: frozenset({R.ROUTING, R.ROLLING_BACK, R.FAILED}),
    R.ROUTING: frozenset({R.ROUTING, R.VALIDATING, R.COMPLETING, R.ROLLING_BACK, R.FAILED}),
    R.VALIDATING: frozenset({R.ROUTING, R.COMPLETING, R.ROLLING_BACK, R.FAILED}),
    R.COMPLETING: frozenset({R.COMPLETED, R.ROLLING_BACK, R.FAILED}),
    R.ROLLING_BACK: frozenset({R.ROLLED_BACK, R.FAILED}),
    R.COMPLETED: frozenset(),
    R.ROLLED_BACK: frozenset(),
    R.FAILED: frozenset(),
}
assert NEXT_ROLLOUT.keys() == set(RolloutState)

TERMINAL: Final = frozenset(state for state, after in NEXT_ROLLOUT.items() if not after)


@attrs.define(eq=False)
class IllegalRolloutMove(AetherError):
    """An update was moved against the table."""

    current: RolloutState
    wanted: RolloutState

    def __str__(self) -> str:
        allowed = ", ".join(sorted(NEXT_ROLLOUT[self.current])) or "nothing: it is over"
        return f"a rollout is {self.current} and cannot become {self.wanted}; allowed: {allowed}"


def advance_rollout(current: RolloutState, wanted: RolloutState) -> RolloutState:
    """`wanted`, when the table allows it from `current`. Raises IllegalRolloutMove."""
    if wanted not in NEXT_ROLLOUT[current]:
        raise IllegalRolloutMove(current, wanted)
    return wanted


class Strategy(enum.StrEnum):
    """How traffic moves once the new version runs."""

    IMMEDIATE = "immediate"
    ROLLING = "rolling"
    CANARY = "canary"
    BLUE_GREEN = "blue_green"
    AB = "ab"
    MANUAL = "manual"  # as an operator says it, step by step


class Cleanup(enum.StrEnum):
    """When the old version goes after the new one has all the traffic."""

    IMMEDIATE = "IMMEDIATE"
    GRACE_PERIOD = "GRACE_PERIOD"
    MANUAL = "MANUAL"


@attrs.frozen(kw_only=True)
class Gates:
    """What the new version must keep, for its update to go on by itself; None = not judged.

    error_rate      share of failed calls, 0 to 1; p99_ms  milliseconds
    against_old     how many times the old version's error rate and p99 are allowed as well
    requests_min    fewer calls than this say nothing
    """

    error_rate: float | None = None
    p99_ms: float | None = None
    against_old: float | None = None
    requests_min: int = 50

    @property
    def are_set(self) -> bool:
        """Whether any of them judges: `requests_min` alone does not."""
        return self.error_rate is not None or self.p99_ms is not None or self.against_old is not None


@attrs.frozen(kw_only=True)
class RolloutPlan:
    """What an operator asks for.

    steps        percent of the traffic for the new version, rising to 100; hold_s  how long each step stands
    batch        of a rolling update: how many instances are replaced at a time
    instances    of the new version; None = as many as the old one has
    rules        A/B: `header:NAME=VALUE` or `key=VALUE` -> the new version, whatever the weights say
    grace_s      of Cleanup.GRACE_PERIOD
    """

    strategy: Strategy = Strategy.ROLLING
    steps: tuple[int, ...] = ()
    hold_s: float = 0.0
    batch: int = 1
    instances: int | None = None
    rules: tuple[str, ...] = ()
    sticky: str = ""
    gates: Gates = Gates()
    manual_approval: bool = False
    cleanup: Cleanup = Cleanup.IMMEDIATE
    grace_s: float = 300.0
    force: bool = False


@attrs.frozen(kw_only=True)
class RolloutRow:
    """One update. Key `rollouts/{group:artifact}/{id}`; finished ones stay, the newest few.

    old, new         versions; instances_old  how many the old one had when it began
    once             with it the slice became a singleton, and is none any more when the update is taken back
    state, since     and the wall-clock second of the last move; reason  of it, in words
    step             index into plan.steps; weight_old, weight_new  parts of the traffic now
    paused           goes on only when told; approved  the step that was approved by hand last, -1 = none
    by               who began it; created_at, updated_at  wall-clock seconds
    health           the last judgement: name -> text
    """

    id: str
    artifact: ArtifactBase
    old: Version
    new: Version
    plan: RolloutPlan = RolloutPlan()
    instances_old: int = 0
    state: RolloutState = RolloutState.PENDING
    since: float = 0.0
    reason: str = ""
    step: int = -1
    weight_old: int = 1
    weight_new: int = 0
    paused: bool = False
    approved: int = -1
    by: str = ""
    created_at: float = 0.0
    updated_at: float = 0.0
    once: bool = False
    health: Mapping[str, str] = attrs.field(factory=dict[str, str])
