"""What must be so before an update begins.

Knows: plans that make sense, versions that exist, room for two versions, one update at a time.
Never: writes; decides the steps of an update.
Holds: each guard is a pure function that raises Rejected with the numbers or names it judged by.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from aether.deployment.rollout_steps import count_steps, old_before, step_at
from aether.errors import BadInput, Conflict, NotFound
from aether.model.artifact import Artifact, ArtifactBase
from aether.model.limits import (
    INSTANCES_MAX,
    ROLLOUT_FIGURE_MAX,
    ROLLOUT_HOLD_S_MAX,
    ROLLOUT_STEPS_MAX,
    TRAFFIC_RULE_CHARS_MAX,
)
from aether.model.rollout import TERMINAL, Gates, RolloutPlan, RolloutRow, Strategy
from aether.model.rows import DesiredRow
from aether.model.traffic_rules import rule_problems
from aether.model.version import Version

_STEPS_SHOWN_MAX: Final = 10


def open_rollout(rollouts: Iterable[RolloutRow]) -> RolloutRow | None:
    """The update that is not over; there is at most one for each artifact."""
    return next((row for row in rollouts if row.state not in TERMINAL), None)


def check_none_open(base: ArtifactBase, rollouts: Iterable[RolloutRow]) -> None:
    """Raises Conflict that names the update under way."""
    row = open_rollout(rollouts)
    if row is not None:
        by = f" by {row.by}" if row.by else ""
        raise Conflict(
            str(base),
            f"update {row.id} to {row.new}{by} is under way ({row.state}); "
            f"complete it or roll it back first: aether rollout rollback {row.id}",
        )


def check_version(base: ArtifactBase, desired: DesiredRow | None, new: Version, offered: Iterable[Artifact]) -> None:
    """Raises NotFound (nothing is deployed), Conflict (the version is in force), BadInput (no member offers it)."""
    if desired is None:
        raise NotFound("deployment", str(base), "deploy it first; an update needs a version to come from")
    if desired.artifact.version == new:
        raise Conflict(str(base), f"version {new} is in force already")
    versions = sorted(a.version for a in offered if a.base == base)
    if new not in versions:
        known = ", ".join(map(str, versions)) or "none"
        fix = "copy its tree into the --slices of nodes, or start a node with its code"
        problem = f"version: {new} is not among those that members can load: {known}; {fix}"
        raise BadInput(f"no member offers {base.at(new)}", (problem,))


def check_plan(plan: RolloutPlan) -> None:
    """Raises BadInput with every problem of the plan at once."""
    problems = list(_problems(plan))
    if problems:
        raise BadInput("the plan of the update does not fit", problems)


def check_room(
    base: ArtifactBase, plan: RolloutPlan, wanted: int, needed: int, places: int | None, *, once: bool = False
) -> None:
    """Raises Conflict when the members have no room for both versions, with how much is short.

    once  a singleton: two versions have no place beside each other on any number of nodes

    A rolling update may take the place of old instances, as far as `needed` ACTIVE ones (min_available) are left.
    """
    if places is None:
        return
    most = max(
        step_at(plan, wanted, index).new + old_before(plan, wanted, index) for index in range(count_steps(plan, wanted))
    )
    if most <= places:
        return
    if plan.strategy is not Strategy.ROLLING:
        if once:
            why = f"it runs once, and {plan.strategy} has two versions run beside each other; use the strategy rolling"
            raise Conflict(str(base), why)
        raise Conflict(
            str(base),
            f"{most} instances of two versions do not fit: the members have room for {places}; "
            f"add nodes, or use the strategy rolling",
        )
    left = min(old_before(plan, wanted, 0), places - step_at(plan, wanted, 0).new)
    if left < needed or left < 0:
        raise Conflict(
            str(base),
            f"{most} instances of two versions do not fit, the members have room for {places}, and replacing "
            f"{plan.batch} at a time leaves {max(0, left)} ACTIVE where min_available wants {needed}; add nodes",
        )


def _problems(plan: RolloutPlan) -> Iterator[str]:
    steps = plan.steps
    if len(steps) > ROLLOUT_STEPS_MAX:
        yield f"steps: {len(steps)} of them, at most {ROLLOUT_STEPS_MAX}"
    wrong = [step for step in steps if type(step) is not int or not 0 < step <= 100]
    yield from (f"steps: {_short(step)} is no whole percentage from 1 to 100" for step in wrong[:_STEPS_SHOWN_MAX])
    if not wrong and list(steps) != sorted(set(steps)):
        yield f"steps: {', '.join(map(str, steps[:_STEPS_SHOWN_MAX]))} do not rise"
    if steps and plan.strategy not in (Strategy.CANARY, Strategy.AB):
        yield f"steps: belong to canary and ab, not to {plan.strategy}"
    if plan.strategy is Strategy.AB and not plan.rules and not steps:
        yield "rules: an A/B update needs rules (header:NAME=VALUE or key=VALUE), or one step as its share"
    if plan.strategy is Strategy.AB and len(steps) > 1:
        yield f"steps: an A/B update has one share, not {len(steps)}"
    yield from _rules(plan)
    if len(plan.sticky) > TRAFFIC_RULE_CHARS_MAX:
        yield f"sticky: {len(plan.sticky)} characters, at most {TRAFFIC_RULE_CHARS_MAX}"
    if type(plan.batch) is not int or not 1 <= plan.batch <= INSTANCES_MAX:
        yield f"batch: {_short(plan.batch)} is no whole number from 1 to {INSTANCES_MAX}"
    count = plan.instances
    if count is not None and (type(count) is not int or not 1 <= count <= INSTANCES_MAX):
        yield f"instances: {_short(count)} is no whole number from 1 to {INSTANCES_MAX}"
    yield from _seconds("hold_s", plan.hold_s)
    yield from _seconds("grace_s", plan.grace_s)
    yield from _gates(plan.gates)


def _rules(plan: RolloutPlan) -> Iterator[str]:
    if plan.rules and plan.strategy is not Strategy.AB:
        yield f"rules: belong to the strategy ab, not to {plan.strategy}"
    yield from (f"rules: {problem}" for problem in rule_problems(plan.rules))


def _seconds(name: str, value: float) -> Iterator[str]:
    if not _is_number(value, 0, ROLLOUT_HOLD_S_MAX):
        yield f"{name}: {_short(value)} is no time from 0 to {ROLLOUT_HOLD_S_MAX:.0f} s"


def _gates(gates: Gates) -> Iterator[str]:
    most = ROLLOUT_FIGURE_MAX
    if gates.error_rate is not None and not _is_number(gates.error_rate, 0, 1):
        yield f"error_rate: {_short(gates.error_rate)} is no share of calls from 0 to 1; 0.01 is one in a hundred"
    if gates.p99_ms is not None and not _is_number(gates.p99_ms, 0, most):
        yield f"p99_ms: {_short(gates.p99_ms)} is no latency from 0 to {most:.0f} milliseconds"
    if gates.against_old is not None and not _is_number(gates.against_old, 1, most):
        yield f"against_old: {_short(gates.against_old)} is no factor from 1 to {most:.0f}; 1.0 allows no worse figures"
    if type(gates.requests_min) is not int or not 1 <= gates.requests_min <= most:
        yield f"requests_min: {_short(gates.requests_min)} is no whole number from 1 to {most:.0f}"


def _is_number(value: object, low: float, high: float) -> bool:
    """Whether it can be reckoned with and written: no text, no truth, no NaN, nothing endless."""
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def _short(value: object) -> str:
    """What came from outside, in at most 40 characters; a number of thousands of digits has no text at all."""
    return "a huge number" if isinstance(value, int) and abs(value) >= 10**40 else f"{value!r:.40}"
