"""The steps of an update: how many instances of each version, and which share of the calls, at each.

Knows: what each strategy means in numbers.
Never: states, time, rows.
Holds: the last step of a strategy that ends by itself gives the old version nothing; of a rolling update each step has
       as many parts of the traffic for a version as it is to have instances.
"""

from __future__ import annotations

from typing import Final

import attrs

from aether.model.rollout import RolloutPlan, Strategy

CANARY_STEPS: Final = (1, 5, 25, 50, 100)
WHOLE: Final = 100

BY_HAND: Final = frozenset({Strategy.MANUAL, Strategy.AB})
"""Such an update stands where it is until somebody completes it or takes it back."""


@attrs.frozen
class Step:
    """Instances wanted of each version, and parts of the traffic. The old instances are the ones after the step."""

    new: int
    old: int
    weight_new: int
    weight_old: int


def count_steps(plan: RolloutPlan, wanted: int) -> int:
    """How many steps; at least one. `wanted` is what a deployment without an update would have."""
    if plan.strategy is Strategy.ROLLING:
        return max(1, -(-_total(plan, wanted) // plan.batch))
    if plan.strategy is Strategy.CANARY:
        return len(_percents(plan))
    return 1


def step_at(plan: RolloutPlan, wanted: int, index: int) -> Step:
    """The step of that number, from 0; beyond the last one it is the last one."""
    total = _total(plan, wanted)
    index = min(index, count_steps(plan, wanted) - 1)
    match plan.strategy:
        case Strategy.ROLLING:
            return _rolling(plan, wanted, total, index)
        case Strategy.CANARY:
            percent = _percents(plan)[max(0, index)]
            return Step(total, wanted, percent, WHOLE - percent)
        case Strategy.AB:
            percent = plan.steps[0] if plan.steps else 0
            return Step(total, wanted, percent, WHOLE - percent)
        case Strategy.MANUAL:
            return Step(total, wanted, 0, 1)
        case Strategy.IMMEDIATE | Strategy.BLUE_GREEN:
            return Step(total, wanted, 1, 0)


def old_before(plan: RolloutPlan, wanted: int, index: int) -> int:
    """How many old instances are wanted until the traffic of step `index` has moved."""
    return wanted if index <= 0 else step_at(plan, wanted, index - 1).old


def step_of_share(plan: RolloutPlan, wanted: int, weight_new: int, weight_old: int) -> int:
    """The last step that gives the new version no more than that share; 0 when all give more."""
    found = 0
    for index in range(count_steps(plan, wanted)):
        step = step_at(plan, wanted, index)
        if step.weight_new * (weight_new + weight_old) <= weight_new * (step.weight_new + step.weight_old):
            found = index
    return found


def _total(plan: RolloutPlan, wanted: int) -> int:
    return wanted if plan.instances is None else plan.instances


def _percents(plan: RolloutPlan) -> tuple[int, ...]:
    steps = plan.steps or CANARY_STEPS
    return steps if steps[-1] == WHOLE else (*steps, WHOLE)


def _rolling(plan: RolloutPlan, wanted: int, total: int, index: int) -> Step:
    if total == 0:
        return Step(0, wanted, 1, 0)
    new = min(total, (max(0, index) + 1) * plan.batch)
    if new == total:  # the last batch of the old version goes when the update completes
        return Step(new, old_before(plan, wanted, index), total, 0)
    return Step(new, -(-wanted * (total - new) // total), new, total - new)
