"""The next revision of a blueprint as part of a batch.

Knows: how texts are numbered, how many are kept.
Never: what a text wants.
Holds: a text that was applied is never overwritten; of two that come at once one is refused.
"""

from __future__ import annotations

from aether.kv import keys
from aether.kv.commands import Batch, Change, Compare, Delete, Put
from aether.kv.service import KvService
from aether.model.artifact import Artifact
from aether.model.limits import BLUEPRINTS_KEPT
from aether.model.rows import BlueprintRow


def current_revision(kv: KvService, identity: str) -> BlueprintRow | None:
    """The text in force; None for a blueprint without one."""
    number = kv.get(keys.blueprint_current(identity))
    return kv.get(keys.blueprint(identity, number)) if number else None


def revisions(kv: KvService, identity: str) -> list[BlueprintRow]:
    """Every text that is kept, the newest first."""
    return sorted(kv.rows(keys.blueprints_of(identity)), key=lambda row: -row.number)


def next_revision(
    kv: KvService,
    identity: str,
    text: str,
    *,
    by: str = "",
    at: float = 0.0,
    reason: str = "",
    slices: tuple[Artifact, ...] = (),
) -> tuple[int, Batch]:
    """The number of `text` as the newest of blueprint `identity`, and what is to be written; compared with what is
    known here. at  wall-clock seconds; slices  as resolved
    """
    current = keys.blueprint_current(identity)
    number = (kv.get(current) or 0) + 1
    row = BlueprintRow(
        id=identity, number=number, text=text, applied_by=by, applied_at=at, reason=reason, slices=slices
    )
    changes: list[Change] = [Put(current, number), Put(keys.blueprint(identity, number), row)]
    if number > BLUEPRINTS_KEPT:
        changes.append(Delete(keys.blueprint(identity, number - BLUEPRINTS_KEPT)))
    return number, Batch((Compare(current, kv.version(current)),), tuple(changes))
