"""The answers of the paths below /kv.

Knows: how rows and changes are shown, pages, how a watcher goes on where it stopped.
Never: access rules, where rows come from.
Holds: an answer is bounded in rows and bytes; whoever watches from the `revision` of an answer misses nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import trio

from aether.errors import BadInput
from aether.management.blueprint_queries import LIMIT_DEFAULT, PAGE_BYTES_MAX
from aether.management.facts import Answer
from aether.management.row_store import HIDDEN, RowStore, Wanted, key_of, row_of, wanted
from aether.management.shown import base64_of, shown_value
from aether.model.ids import Revision

Query = Mapping[str, object]


async def list_rows(rows: RowStore, query: Query) -> Answer:
    """Rows in the order of their keys' texts; `next` is the `after` of the following page, null at the end."""
    limit = _whole(query, "limit", LIMIT_DEFAULT)
    found = _visible(rows, _text(query, "prefix"), _text(query, "after"), limit + 1)
    page = list(_fitting(found[:limit]))
    following = page[-1]["key"] if page and len(page) < len(found) else None
    return {"rows": page, "next": following, "revision": rows.revision}


async def get_row(rows: RowStore, query: Query) -> Answer:
    """One row, its value also as base64: JSON does not show every byte."""
    key = key_of(_text(query, "key"))
    raw, version = row_of(rows, key)
    shown = {"key": key.text, "value": shown_value(raw), "version": version, "base64": base64_of(raw)}
    return shown | {"revision": rows.revision}


async def list_changes(rows: RowStore, query: Query) -> Answer:
    """What changed after `since`, the newest change of each key, by revision; without `since` only where to begin.

    Waits up to `wait` seconds when nothing has. Raises Compacted.
    """
    since, prefix = query.get("since"), _text(query, "prefix")
    if not isinstance(since, int):
        return {"changes": [], "revision": rows.revision}
    if since > rows.revision:
        problems = (f"since: revision {since} lies ahead; the newest here is {rows.revision}",)
        raise BadInput("the query does not fit", problems)
    waited = query.get("wait")
    async with rows.watch(prefix) as changes:
        found = _changes(rows, Revision(since), prefix)
        with trio.move_on_after(float(waited) if isinstance(waited, int | float) else 0.0):
            while not found:
                await changes.changed()
                found = _changes(rows, Revision(since), prefix)
    return _cut(found, _whole(query, "limit", LIMIT_DEFAULT), rows.revision)


async def put_row(rows: RowStore, wish: Wanted) -> Answer:
    revision = await rows.put(wish.key, wish.raw, wish.if_version)
    status = "deleted" if wish.raw is None else "written"
    return {"status": status, "key": wish.key.text, "revision": revision}


def put_wish(body: Mapping[str, object]) -> Wanted:
    return wanted(body)


def delete_wish(body: Mapping[str, object]) -> Wanted:
    return wanted(body, deletes=True)


def _visible(rows: RowStore, prefix: str, after: str, limit: int) -> list[tuple[str, bytes, Revision]]:
    """A page without rows that are not shown here; it goes on behind them."""
    found: list[tuple[str, bytes, Revision]] = []
    while len(found) < limit:
        page = rows.page(prefix, after, limit - len(found))
        shown = [row for row in page if row[0].partition("/")[0] not in HIDDEN]
        found += shown
        if len(shown) == len(page):
            break
        head = page[-1][0].partition("/")[0]
        after = f"{head}0" if head in HIDDEN else page[-1][0]  # `0` is next to `/`: behind all rows of that head
    return found


def _changes(rows: RowStore, since: Revision, prefix: str) -> list[tuple[int, str, bytes | None]]:
    """(revision, key, value or None when deleted), the oldest first."""
    found: list[tuple[int, str, bytes | None]] = []
    for key, at in rows.changed_after(since, prefix).items():
        if key.partition("/")[0] in HIDDEN:
            continue
        row = next(((raw, version) for text, raw, version in rows.page(key, "", 1) if text == key), None)
        if row is None:
            found.append((at, key, None))
        elif row[1] > since:
            found.append((row[1], key, row[0]))
    return sorted(found, key=lambda change: change[:2])


def _cut(found: list[tuple[int, str, bytes | None]], limit: int, revision: Revision) -> Answer:
    """At most `limit` changes and PAGE_BYTES_MAX, but never a part of those of one revision: it is where to go on."""
    changes: list[Answer] = []
    size, reached = 0, 0
    for at, key, raw in found:
        if at != reached and (len(changes) >= limit or size > PAGE_BYTES_MAX):
            return {"changes": changes, "revision": reached}
        reached = at
        size += len(key) + len(raw or b"")
        shown: Answer = {"key": key, "revision": at, "deleted": raw is None}
        changes.append(shown if raw is None else shown | {"value": shown_value(raw)})
    return {"changes": changes, "revision": revision}


def _fitting(found: Iterable[tuple[str, bytes, Revision]]) -> Iterable[Answer]:
    size = 0
    for key, raw, version in found:
        size += len(key) + len(raw)
        if size > PAGE_BYTES_MAX and size > len(key) + len(raw):
            return
        yield {"key": key, "value": shown_value(raw), "version": version}


def _text(query: Query, name: str) -> str:
    value = query.get(name)
    return value if isinstance(value, str) else ""


def _whole(query: Query, name: str, default: int) -> int:
    value = query.get(name)
    return value if isinstance(value, int) else default
