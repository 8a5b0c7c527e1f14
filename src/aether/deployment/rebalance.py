"""Which running instance should live somewhere else, for the sake of balance.

Knows: what "better" means to each strategy: shares of a label, then instances of the slice, then the load of members.
Never: whether the slice may be touched now (reconcile asks only about settled ones), how a move is carried out.
Holds: a move improves by two, or is even in one thing and improves a later one by two. Each move so makes the sum of
       squares smaller in that order, wherefore moves come to an end and never go back: a balanced fleet gets none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import attrs

from aether.deployment.fleet import Choice, Fleet, Standing
from aether.deployment.placement import Placement, least_loaded, round_robin, spread
from aether.model.rows import InstanceRow

Weight = tuple[int, ...]

_BY_STRATEGY: Final[Mapping[Placement, Callable[[int, int], Weight]]] = {
    spread: lambda same, load: (same, load),
    round_robin: lambda same, load: (same,),
    least_loaded: lambda same, load: (load,),
}
"""What counts after the shares of the label. Strategies that are not here leave everything where it is."""

_IMPROVES: Final = 2  # by one would only change places


@attrs.frozen
class Exchange:
    """`row` should go, once another one is ACTIVE on the better member."""

    row: InstanceRow
    better: Standing


def is_rebalanced(placement: Placement) -> bool:
    """Whether this strategy has a notion of balance."""
    return placement in _BY_STRATEGY


def ranked_by(placement: Placement) -> Placement:
    """The strategy that finds the members where something is missing: turns tell nothing about that."""
    return spread if placement is round_robin else placement


def next_move(
    rows: Sequence[InstanceRow], fleet: Fleet, choice: Choice, placement: Placement, label: str
) -> Exchange | None:
    """The best exchange of one of `rows`, all ACTIVE and staying, or None. choice  by ranked_by(placement)."""
    best = choice.best_of_each()
    if not best:
        return None
    weigh = _BY_STRATEGY[placement]
    same = Counter(row.node for row in rows)
    value_of = {row.node: fleet.standings[row.node].row.labels.get(label, "") if label else "" for row in rows}
    shares = Counter(value_of[row.node] for row in rows)

    def weight(standing: Standing, value: str) -> Weight:
        return shares[value], *weigh(same[standing.node], standing.staying)

    def worst(among: Sequence[InstanceRow]) -> InstanceRow:
        return max(among, key=lambda row: (*weight(fleet.standings[row.node], value_of[row.node]), row.instance))

    value, first = min(best.items(), key=lambda pair: (*weight(pair[1], pair[0]), pair[1].order))
    last = worst(rows)
    if _is_better(
        weight(fleet.standings[last.node], value_of[last.node]), weight(first, value), value_of[last.node] == value
    ):
        return Exchange(last, first)
    if len(best) > 1:
        for value, first in best.items():
            among = [row for row in rows if value_of[row.node] == value]
            if among:
                last = worst(among)
                if _is_better(weight(fleet.standings[last.node], value), weight(first, value), True):
                    return Exchange(last, first)
    return None


def _is_better(from_: Weight, to: Weight, is_same_share: bool) -> bool:
    for position, (much, little) in enumerate(zip(from_, to, strict=True)):
        if position == 0 and is_same_share:
            continue
        if much - little >= _IMPROVES:
            return True
        if much - little != 1:
            return False
    return False
