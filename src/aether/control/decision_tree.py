"""The controller that every cluster has: gates first, then rules over windows, then steps and cool-downs.

Knows: in which order a slice is judged, and what is said at each turn.
Never: clocks, memory: everything is in the context, so the same context gives the same decisions.
Holds: up only when all of the short window asks for it, or a clear trend does; down only when nothing in the long one
       speaks against; so a load of any period turns the count round at most twice in `cool_down_down_s`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs

from aether.control.context import ControlContext, SliceView
from aether.control.decisions import Decision
from aether.control.figures import FAILURE_RATE, SliceFigures, covered_s, newest, widest_gap_s
from aether.control.rules import most, opinions
from aether.control.steps import since_last_s, step_down, step_up
from aether.control.trending import rising
from aether.model.decision import Reason
from aether.model.owner import OPERATOR

LOOKS_MIN: Final = 2
"""Of a window: one figure alone says nothing of how long it was so."""

LOOKS_MISSED_MAX: Final = 3
"""In a row: nobody knows what was in a longer gap."""


class DecisionTreeController:
    """Decides by rules over CPU, call rate, slots, queue, p95, loop lag, failures and trend. Needs nothing else."""

    name: str = "decision_tree"

    def decide(self, context: ControlContext, /) -> tuple[Decision, ...]:
        """One decision for each slice of `context`, in its order; those that change nothing say why."""
        return tuple(_decide(context, each) for each in context.slices)


def _decide(context: ControlContext, view: SliceView) -> Decision:
    for gate in (_asked_not_to, _not_at_rest, _blind):
        for reason in gate(context, view):
            return _stay(view, (reason,))
    return _weigh(context.now, view)


def _stay(view: SliceView, reasons: tuple[Reason, ...]) -> Decision:
    return Decision(artifact=view.base, before=view.instances, after=view.instances, reasons=reasons)


# --- gates: whether there is anything to decide ----------------------------------------------------------------------


def _asked_not_to(context: ControlContext, view: SliceView) -> Iterator[Reason]:
    """What other owners of the count say."""
    override = view.override
    if not view.settings.enabled:
        yield Reason(rule="disabled", text="the controller is switched off for it")
    if view.instances == 0:
        yield Reason(rule="asleep", text="it has no instance; the next call wakes it")
    if override is not None and override.owner == OPERATOR:  # what is over is taken back, with the count, by others
        left_s = max(0.0, override.until - context.now)
        end = f"for {left_s:.0f} s more" if override.until else "until it is taken back"
        text = f"{override.by or 'an operator'} wants {override.instances} {end}"
        yield Reason(rule="operator", text=text, count=override.instances)
    if view.update:
        yield Reason(rule="update", text=f"its update {view.update} is under way")


def _not_at_rest(context: ControlContext, view: SliceView) -> Iterator[Reason]:
    """What must come to rest first."""
    began_s = context.now - context.leader_since
    if began_s < view.settings.warm_up_s:
        text = f"{context.leader} leads for {began_s:.0f} s only"
        yield Reason(rule="leader-warm-up", text=text, value=began_s, threshold=view.settings.warm_up_s)
    if view.moving:
        yield Reason(rule="transition", text=f"{view.moving} instances are on their way to another state")
    if 2 * view.failed >= view.instances > 0:
        text = f"{view.failed} of {view.instances} instances are FAILED: more of them would not help"
        yield Reason(rule="failed", text=text, value=view.failed)
    if view.active + view.failed + view.missing < view.instances:
        text = f"{view.active} of {view.instances} instances are ACTIVE; the rest is not placed yet"
        yield Reason(rule="transition", text=text)
    if view.active and view.youngest_s < view.settings.instance_warm_up_s:
        text = f"its newest instance is ACTIVE for {view.youngest_s:.0f} s only"
        limit = view.settings.instance_warm_up_s
        yield Reason(rule="instance-warm-up", text=text, value=view.youngest_s, threshold=limit)


def _blind(context: ControlContext, view: SliceView) -> Iterator[Reason]:
    """Figures that are not there, or too old to go by."""
    s = view.settings
    if not view.window:
        yield Reason(rule="no-figures", text="there are no figures of it yet")
        return
    last = view.window[-1]
    age_s = context.now - last.at + last.age_s
    if age_s > s.stale_s:
        text = f"its newest figures are {age_s:.0f} s old: metrics are stuck"
        yield Reason(rule="stuck-metrics", text=text, value=age_s, threshold=s.stale_s)
    seen = newest(view.window, context.now, s.up_window_s)
    if len(seen) < LOOKS_MIN or covered_s(seen) < s.up_window_s - 1.5 * s.interval_s:
        text = f"{covered_s(seen):.0f} s of figures without a gap; {s.up_window_s:g} s say enough"
        yield Reason(rule="short-window", text=text, value=covered_s(seen), threshold=s.up_window_s)
    elif widest_gap_s(seen) > LOOKS_MISSED_MAX * s.interval_s:
        text = f"nobody looked for {widest_gap_s(seen):.0f} s within the last {s.up_window_s:g} s"
        yield Reason(rule="short-window", text=text, value=widest_gap_s(seen))
    elif any(each.active < 1 for each in seen):
        yield Reason(rule="no-figures", text="no instance of it was ACTIVE a moment ago")


# --- rules over windows ----------------------------------------------------------------------------------------------


@attrs.frozen
class _Wish:
    """Of one window: the count that all of it allows, who says so now, how many moments agree."""

    count: int
    reasons: tuple[Reason, ...]
    agreeing: float


def _weigh(now: float, view: SliceView) -> Decision:
    s, at = view.settings, view.instances
    failing = tuple(_failing(view, newest(view.window, now, s.up_window_s)))
    trend = rising(view, now)
    more = _wish_for_more(now, view, trend)
    fewer = _wish_for_fewer(now, view, trend)
    if failing and (more.count > at or fewer.count < at):
        return _stay(view, (*failing, *(more if more.count > at else fewer).reasons))
    if more.count > at:
        return _go_up(now, view, more)
    if fewer.count < at:
        return _go_down(now, view, fewer)
    return _stay(view, fewer.reasons)


def _failing(view: SliceView, seen: tuple[SliceFigures, ...]) -> Iterator[Reason]:
    """Errors block: more instances do not heal them, and they falsify the other figures."""
    last, limit = seen[-1], view.settings.errors_block
    if last.failure_rate > limit:
        text = f"{last.failure_rate:.0%} of its calls fail, above {limit:.0%}: the count stays until they do not"
        yield Reason(rule="failures", signal=FAILURE_RATE, value=last.failure_rate, threshold=limit, text=text)


def _wish_for_more(now: float, view: SliceView, trend: Reason | None) -> _Wish:
    """The least that any moment of the short window asks for; or what a clear trend does."""
    s, slots = view.settings, view.concurrency
    seen = newest(view.window, now, s.up_window_s)
    asked = [most(opinions(each, s, slots)) or 0 for each in seen]
    count = min(asked)
    said = tuple(o.reason(s.up_window_s) for o in opinions(seen[-1], s, slots) if o.wanted > view.instances)
    if trend is not None and trend.count > max(count, view.instances):
        return _Wish(trend.count, (trend, *said), 1.0)
    return _Wish(count, said, sum(each > view.instances for each in asked) / len(asked))


def _wish_for_fewer(now: float, view: SliceView, trend: Reason | None) -> _Wish:
    """The most that any moment of the long window asks for; the count itself while that window is not full."""
    s, slots = view.settings, view.concurrency
    seen = newest(view.window, now, s.down_window_s)
    said = tuple(each.reason(s.down_window_s) for each in opinions(seen[-1], s, slots))
    asked = [most(opinions(each, s, slots)) for each in seen]
    if None in asked:
        return _Wish(view.instances, (Reason(rule="no-figures", text="none was ACTIVE within the window down"),), 1.0)
    counts = [each for each in asked if each is not None]
    wanted = max(counts)
    if wanted < view.instances and covered_s(seen) < s.down_window_s - 1.5 * s.interval_s:
        text = f"fewer are asked for since {covered_s(seen):.0f} s; {s.down_window_s:g} s say enough"
        short = Reason(rule="window-down", text=text, value=covered_s(seen), threshold=s.down_window_s, count=wanted)
        return _Wish(view.instances, (short, *said), 1.0)
    if wanted < view.instances and widest_gap_s(seen) > LOOKS_MISSED_MAX * s.interval_s:
        text = f"nobody looked for {widest_gap_s(seen):.0f} s within the last {s.down_window_s:g} s"
        return _Wish(view.instances, (Reason(rule="window-down", text=text, count=wanted), *said), 1.0)
    if counts[-1] < view.instances <= wanted:
        text = f"{wanted} were asked for within the last {s.down_window_s:g} s"
        said = (Reason(rule="window-down", text=text, threshold=s.down_window_s, count=wanted), *said)
    if wanted < view.instances and trend is not None and trend.count >= view.instances:
        return _Wish(view.instances, (trend, *said), 1.0)
    return _Wish(wanted, said, sum(each < view.instances for each in counts) / len(counts))


# --- steps, cool-downs, bounds ---------------------------------------------------------------------------------------


def _go_up(now: float, view: SliceView, wish: _Wish) -> Decision:
    s, at = view.settings, view.instances
    passed_s = since_last_s(view.decisions, now)
    if passed_s < s.cool_down_up_s:
        return _stay(view, (_cool_down("up", passed_s, s.cool_down_up_s), *wish.reasons))
    if view.missing:
        text = f"{view.missing} instances find no place already: {view.unsatisfied}"
        return _stay(view, (Reason(rule="unsatisfied", text=text, value=view.missing), *wish.reasons))
    if view.ceiling <= at:
        return _stay(view, (_bound(view), *wish.reasons))
    after = min(wish.count, at + step_up(at, s), view.ceiling)
    limits = tuple(_limited(view, wish.count, after, at + step_up(at, s)))
    return _go(view, after, (*wish.reasons, *limits), wish.agreeing)


def _go_down(now: float, view: SliceView, wish: _Wish) -> Decision:
    s, at = view.settings, view.instances
    passed_s = since_last_s(view.decisions, now)
    if view.floor >= at:
        text = f"{view.floor} is the fewest that its range allows" if view.low else "only its sleep ends the last one"
        return _stay(view, (Reason(rule="min", text=text, count=view.floor), *wish.reasons))
    if passed_s < s.cool_down_down_s:
        return _stay(view, (_cool_down("down", passed_s, s.cool_down_down_s), *wish.reasons))
    after = max(wish.count, at - step_down(at, s), view.floor)
    return _go(view, after, wish.reasons, wish.agreeing)


def _go(view: SliceView, after: int, reasons: tuple[Reason, ...], confidence: float) -> Decision:
    return Decision(
        artifact=view.base, before=view.instances, after=after, reasons=reasons, confidence=round(confidence, 3)
    )


def _cool_down(way: str, passed_s: float, limit_s: float) -> Reason:
    text = f"the last change was {passed_s:.0f} s ago; {limit_s:g} s pass before one {way}"
    return Reason(rule="cool-down", text=text, value=passed_s, threshold=limit_s)


def _bound(view: SliceView) -> Reason:
    if view.capacity is not None and view.capacity < view.high:
        text = f"the members can hold {view.capacity}"
        return Reason(rule="capacity", text=text, value=view.capacity, count=view.ceiling)
    return Reason(rule="max", text=f"{view.high} is the most that its range allows", count=view.high)


def _limited(view: SliceView, wanted: int, after: int, stepped: int) -> Iterator[Reason]:
    if after < wanted and after == stepped:
        yield Reason(
            rule="step", text=f"{wanted} are asked for; {after - view.instances} are added at once", count=after
        )
    elif after < wanted:
        yield _bound(view)
