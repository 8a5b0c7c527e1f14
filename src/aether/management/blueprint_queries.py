"""The answers about blueprints and replicated maps.

Knows: the shape of each answer.
Never: waiting, mutations.
Holds: what queries.py says of every answer.
"""

from __future__ import annotations

import heapq
import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

from aether.errors import NotFound
from aether.management.facts import Answer, Facts, said
from aether.management.shown import cursor_bytes, shown_row
from aether.model.ids import Revision
from aether.model.rows import BlueprintRow

LIMIT_DEFAULT: Final = 100
PAGE_BYTES_MAX: Final = 2 * 2**20  # of keys and values in one answer of /maps: values may have half a megabyte each


def blueprints(facts: Facts, query: Mapping[str, object]) -> Answer:
    owned: dict[str, list[str]] = defaultdict(list)
    for row in facts.view.desired():
        owned[row.blueprint].append(str(row.artifact))
    found = [_blueprint(row) | {"slices": sorted(owned.pop(row.id, []))} for row in facts.view.blueprints()]
    # `app` of an opening process and `adhoc` own slices without a text: number 0.
    textless = (BlueprintRow(id=identity, number=0, text="") for identity in sorted(owned))
    found += [_blueprint(row) | {"slices": sorted(owned[row.id])} for row in textless]
    return {"blueprints": found, "revision": facts.view.revision}


def blueprint(facts: Facts, query: Mapping[str, object], identity: str) -> Answer:
    number = query.get("number")
    row = facts.view.blueprint(identity, number if isinstance(number, int) else None)
    if row is None:
        if number is None and any(wish.blueprint == identity for wish in facts.view.desired()):
            raise NotFound("text of blueprint", identity, "its slices are wanted by `deploy` or an opening process")
        raise NotFound("blueprint", identity if number is None else f"{identity}/{number}", "see /blueprints")
    return _blueprint(row) | {"toml": row.text, "revision": facts.view.revision}


def _blueprint(row: BlueprintRow) -> Answer:
    return {"id": row.id, "number": row.number, "appliedBy": said(row.applied_by), "appliedAt": row.applied_at}


def _fitting(rows: Sequence[tuple[bytes, bytes, Revision]]) -> int:
    """How many of the first rows one answer may hold: one at least, then up to PAGE_BYTES_MAX."""
    sizes = itertools.accumulate(len(key) + len(value) for key, value, _ in rows)
    return max(1, sum(size <= PAGE_BYTES_MAX for size in sizes))


def map_page(facts: Facts, query: Mapping[str, object], name: str) -> Answer:
    """Entries after the cursor `after`, in key order; `next` is the cursor of the following page, null at the end."""
    rows = facts.view.map_rows(name)
    if rows is None:
        raise NotFound("map", name, "maps appear with their first entry")
    after = query.get("after")
    start = cursor_bytes(after) if isinstance(after, str) else None
    asked = query.get("limit")
    limit = asked if isinstance(asked, int) else LIMIT_DEFAULT
    page = heapq.nsmallest(limit + 1, (row for row in rows if start is None or row[0] > start))
    fitting = _fitting(page[:limit])
    entries = [shown_row(key, value, revision) for key, value, revision in page[:fitting]]
    following = entries[-1]["cursor"] if len(page) > fitting else None
    return {"map": name, "entries": entries, "next": following, "revision": facts.view.revision}
