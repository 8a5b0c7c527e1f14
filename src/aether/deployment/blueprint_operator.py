"""What people ask of blueprints, from any node.

Knows: how a text becomes one compare-and-set batch; revisions, who wrote which.
Never: decides (blueprint_wishes does); instances.
Holds: of two who apply at once one is told whose change won; the same text again writes nothing but what was scaled
       since; every text that was in force can be read and put back, the newest BLUEPRINTS_KEPT of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

import attrs

from aether.deployment.blueprint_plan import BlueprintPlan, plan_of
from aether.deployment.blueprint_wishes import Applying, Wish, decide_apply, decide_delete
from aether.deployment.revisions import current_revision, next_revision, revisions
from aether.deployment.writing import TRIES_MAX, WishRows, busy
from aether.errors import Conflict, NotFound, TakenBack
from aether.kv import keys
from aether.kv.commands import Batch, Change, Compare, Delete
from aether.model.artifact import Artifact, ArtifactBase
from aether.model.blueprint import APP, BACK, TAKEN_BACK, Blueprint
from aether.model.blueprint_toml import parse_blueprint
from aether.model.ids import Revision
from aether.model.rollout import TERMINAL
from aether.model.rows import Applied, ApplyRow, BlueprintRow, LeadershipRow

LEADER: Final = "the leader"
"""`applied_by` of a text that was put back because an atomic apply did not come off."""

REASON_CHARS_MAX: Final = 500


@attrs.frozen
class BlueprintApplied(Applied):
    """`slices` as resolved; `number` of the blueprint in force.

    rollouts  artifact -> id of the update that brings its new version
    warnings  what was not asked for and may surprise: circles of dependencies, instances that find no place
    missing   what is under way still; raises Conflict when another text is in force by now
    """

    id: str
    number: int
    slices: tuple[Artifact, ...]
    rollouts: Mapping[ArtifactBase, str] = attrs.field(factory=dict[ArtifactBase, str])
    warnings: tuple[str, ...] = ()
    missing: Callable[[], list[str]] = attrs.field(default=list, eq=False, repr=False)


@attrs.frozen
class BlueprintDeleted(Applied):
    """slices  that are wanted no more"""

    id: str
    slices: tuple[Artifact, ...]


class BlueprintOperator:
    """Each wish answers once this node has applied it.

    All raise NoQuorum or OutcomeUnknown as the store does, and Conflict when others keep changing the same rows.
    Cancelled, a wish may or may not happen.
    """

    def __init__(self, rows: WishRows) -> None:
        self._rows = rows
        self._kv = rows.kv

    async def revision(self) -> Revision:
        """Everything that was acknowledged before is applied here."""
        return await self._kv.barrier()

    async def plan(self, text: str, *, default_id: str = APP, force: bool = False) -> BlueprintPlan:
        """What applying `text` would change. Raises what applying it would raise; changes nothing."""
        blueprint = parse_blueprint(text, default_id)
        await self._kv.barrier()
        standing = self._rows.standing()
        row = current_revision(self._kv, blueprint.id)
        applying = decide_apply(blueprint, standing, self._wish(row, text, Wish(force=force)))
        return plan_of(blueprint.id, applying, standing, row, text)

    async def apply(
        self,
        text: str,
        applied_by: str = "",
        default_id: str = APP,
        *,
        force: bool = False,
        if_number: int | None = None,
    ) -> BlueprintApplied:
        """Put a blueprint in force; slices that it named before and no longer does are wanted no more.

        if_number  of the text that must be in force; 0 = none
        Raises BadInput (every problem at once), Conflict (another blueprint owns a slice, somebody else applied
        another text meanwhile, ...). The same text gets no new number; counts that were scaled since come back to
        what it says.
        """
        blueprint = parse_blueprint(text, default_id)
        await self._kv.barrier()
        row = current_revision(self._kv, blueprint.id)
        known = 0 if row is None else row.number
        if if_number is not None and if_number != known:
            raise _overtaken(blueprint.id, row, f"not {if_number}")
        wish = Wish(by=applied_by, force=force)
        return await self._apply(blueprint, text, wish, known, "", None)

    async def rollback(self, identity: str, number: int | None = None, by: str = "") -> BlueprintApplied:
        """Put an earlier text back, as a new number. number  None = the one before that in force.

        Raises NotFound, Conflict (it is in force), and what apply raises.
        """
        await self._kv.barrier()
        kept = revisions(self._kv, identity)
        if not kept:
            raise NotFound("blueprint", identity, "aether blueprint list shows those in force")
        current = kept[0]
        wanted = current.number - 1 if number is None else number
        found = next((row for row in kept if row.number == wanted), None)
        if found is None:
            have = ", ".join(str(row.number) for row in kept[:10])
            raise NotFound("number", f"{identity}:{wanted}", f"kept are {have}")
        if found.text == current.text:
            raise Conflict(
                f"blueprint {identity}", f"the text of number {wanted} is in force already, as {current.number}"
            )
        wish = Wish(by=by, force=True, prefer={a.base: a for a in found.slices})
        blueprint = parse_blueprint(found.text, identity)
        return await self._apply(blueprint, found.text, wish, current.number, f"{BACK}{wanted}", None)

    async def take_back(self, row: ApplyRow, fence: LeadershipRow) -> BlueprintApplied:
        """Put back, as a new number, what stood before an atomic apply that did not come off.

        Raises Conflict when another text is in force by now, and what a fenced proposal raises.
        """
        before = self._kv.get(keys.blueprint(row.id, row.previous)) if row.previous else None
        text = f'id = "{row.id}"\nslices = []\n' if before is None else before.text
        prefer = {a.base: a for a in (*(() if before is None else before.slices), *row.before)}
        wish = Wish(by=LEADER, force=True, prefer=prefer, taking_back=True)
        reason = f"number {row.number}{TAKEN_BACK}{row.reason}"[:REASON_CHARS_MAX]
        return await self._apply(parse_blueprint(text, row.id), text, wish, row.number, reason, fence)

    async def delete(self, identity: str, by: str = "", *, force: bool = False) -> BlueprintDeleted:
        """Want nothing of the blueprint any more, and forget its texts.

        Raises NotFound, Conflict (slices of other blueprints need one of its; not with force).
        """
        await self._kv.barrier()
        for _ in range(TRIES_MAX):
            standing = self._rows.standing()
            kept = revisions(self._kv, identity)
            owned = tuple(sorted(r.artifact for r in standing.desired.values() if r.blueprint == identity))
            if not kept and not owned:
                raise NotFound("blueprint", identity, "aether blueprint list shows those in force")
            decision = decide_delete(identity, standing, force=force)
            current = keys.blueprint_current(identity)
            texts: list[Change] = [Delete(keys.blueprint(identity, row.number)) for row in kept]
            extra = Batch((Compare(current, self._kv.version(current)),), (Delete(current), *texts))
            revision = await self._rows.write(decision, extra)
            if revision is not None:
                return BlueprintDeleted(revision, identity, owned)
        raise busy(f"blueprint {identity!r}")

    # --- inside -----------------------------------------------------------------------------------------------------

    async def _apply(
        self, blueprint: Blueprint, text: str, wish: Wish, known: int, reason: str, fence: LeadershipRow | None
    ) -> BlueprintApplied:
        for _ in range(TRIES_MAX):
            row = current_revision(self._kv, blueprint.id)
            number = 0 if row is None else row.number
            if number != known and (row is None or row.text != text):
                raise _overtaken(blueprint.id, row, f"as it was not when you began ({known})")
            standing = self._rows.standing()
            applying = decide_apply(blueprint, standing, self._wish(row, text, wish))
            extra = Batch()
            if row is None or row.text != text:
                number, extra = next_revision(
                    self._kv,
                    blueprint.id,
                    text,
                    by=wish.by,
                    at=standing.now,
                    reason=reason,
                    slices=tuple(a for a in applying.slices if a not in applying.expansion.added),
                )
            revision = await self._rows.write(applying.decision, extra, fence)
            if revision is not None:
                return self._applied(revision, blueprint.id, number, applying)
        raise busy(f"blueprint {blueprint.id!r}")

    def _wish(self, row: BlueprintRow | None, text: str, wish: Wish) -> Wish:
        number = 0 if row is None else row.number
        same = row is not None and row.text == text
        return attrs.evolve(wish, number=number if same else number + 1, previous=number - 1 if same else number)

    def _applied(self, revision: Revision, identity: str, number: int, applying: Applying) -> BlueprintApplied:
        updates = {row.artifact: row.id for row in applying.decision.rollouts}
        return BlueprintApplied(
            revision,
            identity,
            number,
            applying.slices,
            updates,
            applying.surprises,
            lambda: self._missing(identity, number, updates),
        )

    def _missing(self, identity: str, number: int, updates: Mapping[ArtifactBase, str]) -> list[str]:
        row = current_revision(self._kv, identity)
        if row is None or row.number != number:
            reason = f": {row.reason}" if row is not None and row.reason else ""
            is_back = row is not None and row.reason.startswith(f"number {number}{TAKEN_BACK}")
            kind = TakenBack if is_back else Conflict
            raise kind(f"blueprint {identity}", f"number {number} is in force no more{reason}")
        found = [self._kv.get(keys.rollout(base, update)) for base, update in updates.items()]
        under_way = [
            f"update {r.id} of {r.artifact} is {r.state}" for r in found if r is not None and r.state not in TERMINAL
        ]
        watched = self._kv.get(keys.atomic_apply(identity))
        if watched is not None and watched.number == number:
            under_way.append(f"blueprint {identity} is atomic, and {watched.state} still")
        return under_way


def _overtaken(identity: str, row: BlueprintRow | None, beside: str) -> Conflict:
    if row is None:
        return Conflict(f"blueprint {identity}", f"no text is in force, {beside}; look at it, then apply again")
    when = datetime.fromtimestamp(row.applied_at, UTC).isoformat(" ", "seconds")
    return Conflict(
        f"blueprint {identity}",
        f"number {row.number} by {row.applied_by or 'somebody'} at {when} is in force, {beside}; look at it with "
        f"aether blueprint show {identity}, then apply again",
    )
