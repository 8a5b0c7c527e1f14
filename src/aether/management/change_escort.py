"""What a change of the admin API sends along with its batches: its audit, its condition, or the order to stop.

Knows: rows and their versions; `If-Match`; how a batch that is only rehearsed is shown.
Never: HTTP beyond that field; which changes there are.
Holds: the audit of a change is part of the batch that makes it, so there is no change without it and no entry of a
       change that was not made; a change under `If-Match` happens only while every row that it reads as a condition or
       writes stands as it did at that revision; a rehearsal writes nothing.
Paper: RFC 9110 13.1.1 (If-Match), 15.5.13 (412).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from aether.errors import BadInput, Rejected
from aether.kv import keys
from aether.kv.commands import Batch, Compare, Put
from aether.kv.history import Compacted
from aether.kv.key_kinds import Key
from aether.management.access import Caller
from aether.management.facts import Answer
from aether.management.row_store import HIDDEN, RowStore
from aether.management.shown import shown_value
from aether.model.access import AuditRow
from aether.model.ids import Revision
from aether.security.audit import audit_row
from aether.web.request import Request

_REVISION: Final = re.compile(r'"([0-9]{1,18})"')


class Rehearsed(Exception):
    """The batch that a change comes to, which was not to be written."""

    def __init__(self, batch: Batch) -> None:
        super().__init__("a rehearsal ends before its first batch")
        self.batch = batch


@attrs.define(eq=False)
class Outdated(Rejected):
    """The rows `changed` are not as they were at revision `since`. HTTP 412."""

    since: Revision
    changed: tuple[str, ...]

    def __str__(self) -> str:
        named = ", ".join(self.changed[:8])
        return f"what this change is about has changed after revision {self.since} ({named}); look at it, then repeat"


@attrs.frozen
class Recorder:
    """Makes the audit of a change. node  that answers; wall  seconds since the epoch; mark  draws a random text"""

    node: str
    wall: Callable[[], float]
    mark: Callable[[], str]

    def row(self, caller: Caller, request: Request, body: Mapping[str, object]) -> AuditRow:
        return audit_row(
            at=self.wall(),
            mark=self.mark(),
            actor=caller.name,
            role=caller.role,
            verb=request.verb,
            path=request.path,
            request_id=request.request_id,
            node=self.node,
            body=body,
        )


@attrs.frozen(kw_only=True)
class ChangeEscort:
    """Of one request.

    audit  rides in each of its batches; None: nobody keeps any
    since  the revision of `If-Match`; None: there is no condition
    rehearses  the first batch is raised as Rehearsed
    """

    rows: RowStore
    audit: AuditRow | None = None
    since: Revision | None = None
    rehearses: bool = False

    def __call__(self, batch: Batch) -> Batch:
        """The batch to propose instead. Raises Outdated, Rehearsed."""
        if self.since is not None:
            batch = self._unchanged(batch, self.since)
        if self.rehearses:
            raise Rehearsed(batch)
        if self.audit is None or not batch.changes:
            return batch
        return Batch(batch.compares, (*batch.changes, Put(keys.audit(self.audit.id), self.audit)))

    def _unchanged(self, batch: Batch, since: Revision) -> Batch:
        """`batch`, which also compares what it writes. Raises Outdated when any of it changed after `since`."""
        compared = {compare.key.text for compare in batch.compares}
        written: dict[str, Key[Any]] = {change.key.text: change.key for change in batch.changes}
        versions = {text: self._version(text) for text in sorted(compared | written.keys())}
        gone = self._changed_after(since)
        outdated = [text for text, at in versions.items() if at > since or (not at and (gone is None or text in gone))]
        if outdated:
            raise Outdated(since, tuple(outdated))
        beside = tuple(Compare(key, versions[text]) for text, key in written.items() if text not in compared)
        return Batch((*batch.compares, *beside), batch.changes)

    def _version(self, text: str) -> Revision:
        found = self.rows.page(text, "", 1)
        return found[0][2] if found and found[0][0] == text else Revision(0)

    def _changed_after(self, since: Revision) -> Mapping[str, Revision] | None:
        """What changed, deletions included; None when that is not remembered any more."""
        try:
            return self.rows.changed_after(since, "")
        except Compacted:
            return None


def read_if_match(request: Request) -> Revision | None:
    """The revision of `If-Match`; None without one. Raises BadInput."""
    text = request.header("if-match")
    if text is None:
        return None
    found = _REVISION.fullmatch(text.strip())
    if found is None:
        shown = text[:80]
        problems = (f'If-Match: {shown} is not understood; give the `revision` of an answer in quotes, such as "42"',)
        raise BadInput("the header fields do not fit", problems)
    return Revision(int(found.group(1)))


def shown_rehearsal(batch: Batch, revision: Revision) -> Answer:
    """What would be written, row by row, and which rows must stand as they do."""
    writes = [_shown(change.key, change.value if isinstance(change, Put) else None) for change in batch.changes]
    depends = sorted({compare.key.text for compare in batch.compares})
    return {"status": "rehearsed", "dryRun": True, "writes": writes, "dependsOn": depends, "revision": revision}


def _shown(key: Key[Any], value: object) -> Answer:
    if value is None:
        return {"key": key.text, "action": "delete"}
    shown = None if key.head in HIDDEN else shown_value(key.encode(value))
    return {"key": key.text, "action": "put", "value": shown}
