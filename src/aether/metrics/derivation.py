"""Events of the cluster, made of the changes of rows.

Knows: which kinds of rows tell something, and the rule of each.
Never: the log of events, tasks; rows of other kinds.
Holds: the same changes, after the same beginning, tell the same on every node; a row that cannot be read is told of,
       and hides no other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from aether.errors import BadInput
from aether.kv import keys
from aether.kv.key_kinds import Key
from aether.kv.store import RowChange
from aether.metrics import cluster_rules, slice_rules
from aether.metrics.events import EventType, Told, told
from aether.metrics.slice_standing import SliceStanding

Rule = Callable[[tuple[Any, ...], Any, Any], Iterator[Told]]
"""(the parts of the key, the value before, the value after; None for no row)"""

_RULES: Final[dict[str, Rule]] = {
    "members": lambda parts, old, new: cluster_rules.member_changed(str(parts[0]), old, new),
    "removed": lambda parts, old, new: cluster_rules.removed_changed(str(parts[0]), old, new),
    "duty": lambda parts, old, new: cluster_rules.duty_changed(str(parts[0]), old, new),
    "leadership": lambda _, old, new: cluster_rules.leadership_changed(old, new),
    "cluster": lambda _, __, new: cluster_rules.cluster_changed(new),
    "feature-level": lambda _, old, new: cluster_rules.feature_level_changed(old, new),
    "alerts": lambda _, old, new: cluster_rules.alert_changed(old, new),
    "thresholds": lambda parts, old, new: cluster_rules.threshold_changed(parts[0], old, new),
    "settings": lambda parts, _, new: cluster_rules.setting_changed(parts[0], new),
    "alert-sinks": lambda _, __, new: cluster_rules.alert_sinks_changed(new),
    "tokens": lambda _, old, new: cluster_rules.token_changed(old, new),
    "overrides": lambda parts, old, new: slice_rules.override_changed(parts[0], old, new),
    "unsatisfied": lambda parts, old, new: slice_rules.unsatisfied_changed(parts[0], old, new),
    "rollouts": lambda parts, old, new: slice_rules.rollout_changed(parts[0], old, new),
    "blueprints": lambda _, old, new: slice_rules.blueprint_changed(old, new),
    "blueprint-current": lambda parts, _, new: slice_rules.blueprint_current_changed(parts[0], new),
    "applies": lambda _, old, new: slice_rules.apply_changed(old, new),
}
_STANDING: Final = ("desired", "instances")
"""Rows that a beginning is made of."""

_WHOLE: Final = frozenset({"leadership", "cluster", "feature-level", "alert-sinks"})
OBSERVED: Final = tuple(head if head in _WHOLE else f"{head}/" for head in (*_RULES, *_STANDING))
"""Prefixes of the keys whose changes tell something."""

BEGINNING: Final = tuple(f"{head}/" for head in _STANDING)
"""Prefixes of the rows that `Derivation` wants to know at its beginning."""


class Derivation:
    """`derive` follows the changes one by one. rows  key and value of each row under BEGINNING, as they are before"""

    def __init__(self, rows: Iterable[tuple[str, bytes]] = ()) -> None:
        self._standing = SliceStanding()
        for text, raw in rows:
            try:
                key = keys.parse(text)
                self._put(key, key.decode(raw))
            except BadInput:
                continue  # told of when it changes

    def derive(self, change: RowChange) -> list[Told]:
        """What the change of one row tells: mostly nothing, sometimes more than one thing."""
        try:
            key = keys.parse(change.key)
            new = None if change.new is None else key.decode(change.new)
            if key.head == "desired":
                old = _before(key, change.old)
                return list(slice_rules.desired_changed(_base(key), old, new, self._standing))
            if key.head == "instances":
                return list(slice_rules.instance_changed(key.text, _base(key), new, self._standing))
            old = _before(key, change.old)
            return list(_RULES[key.head](key.parts, old, new))
        except BadInput as error:
            text = f"row {change.key} cannot be read by this version: {error}"
            return [told(EventType.ROW_UNREADABLE, change.key, text[:500])]

    def _put(self, key: Key[Any], value: Any) -> None:
        if key.head == "desired":
            self._standing.put_desired(_base(key), value)
        else:
            self._standing.put_instance(key.text, value)


def _before(key: Key[Any], raw: bytes | None) -> Any:
    """What a row was; None also when that cannot be read: its mending is told as its beginning."""
    try:
        return None if raw is None else key.decode(raw)
    except BadInput:
        return None


def _base(key: Key[Any]) -> Any:
    return key.parts[0]
