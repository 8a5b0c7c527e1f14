"""`aether wal inspect` and `aether wal verify`: what lies in the data directory of a stopped node.

Knows: which facts people want to see, exit codes.
Never: changing a byte of the directory; reading one in which a node runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import attrs
import click

from aether.cli.exits import CommandFailed, Exit
from aether.cli.options import settings, shared
from aether.cli.output import show, table

LIMIT_DEFAULT = 20
LIMIT_MAX = 100_000
_DIRECTORY = click.Path(path_type=Path)
_json = click.option("--json", "as_json", is_flag=True, help="The same as -o json.")


@click.group()
def wal() -> None:
    """Look into the data directory of a stopped node. Nothing is changed."""


@wal.command()
@click.argument("directory", type=_DIRECTORY)
@click.option("--from", "first", type=click.IntRange(1), help="Show entries from this index on [the last ones].")
@click.option(
    "--limit", type=click.IntRange(0, LIMIT_MAX), default=LIMIT_DEFAULT, show_default=True, help="How many entries."
)
@_json
@shared
@click.pass_context
def inspect(context: click.Context, /, directory: Path, first: int | None, limit: int, as_json: bool, **_: Any) -> None:
    """Identity, hard state, configuration, segments, snapshots and entries in DIRECTORY."""
    here = settings(context)
    here = attrs.evolve(here, output="json") if as_json else here
    answer = _examined(directory, first, limit)
    if here.output != "table":
        show(here, answer, answer["entries"], [])
        return
    click.echo("\n\n".join(_sections(answer)))


@wal.command()
@click.argument("directory", type=_DIRECTORY)
@_json
@shared
@click.pass_context
def verify(context: click.Context, /, directory: Path, as_json: bool, **_: Any) -> None:
    """Check every checksum in DIRECTORY. Exit 0 when a node may start on it, 1 when something is damaged."""
    here = settings(context)
    here = attrs.evolve(here, output="json") if as_json else here
    answer = _examined(directory, None, 0)
    if here.output != "table":
        show(here, answer, answer["findings"], [])
    else:
        click.echo("\n".join(_verdict(answer)))
    if not answer["sound"]:
        context.exit(int(Exit.FAILED))


def _examined(directory: Path, first: int | None, limit: int) -> dict[str, Any]:
    """Everything about `directory` as plain values."""
    from aether.errors import DataDirectoryInUse, StorageCorrupt
    from aether.node.founders import read_founders
    from aether.storage.directory import read_only
    from aether.storage.examination import examine
    from aether.storage.findings import REPLACE, Finding

    founders: list[Any] | None = None
    try:
        with read_only(directory):
            facts = examine(directory, first, limit)
            try:
                founders = read_founders(directory)
            except StorageCorrupt as error:
                finding = Finding(error.path, error.offset, error.what, REPLACE)
                facts = attrs.evolve(facts, findings=[*facts.findings, finding])
    except DataDirectoryInUse as error:
        hint = "its log changes while it is read: stop the node first; `aether status` asks a running one"
        raise CommandFailed(Exit.REFUSED, f"a node runs on {directory}", hint) from error
    except OSError as error:
        raise CommandFailed(Exit.FAILED, f"{error.filename or directory} cannot be read: {error.strerror}") from error
    return _plain(facts, founders)


def _plain(facts: Any, founders: list[Any] | None) -> dict[str, Any]:
    identity, hard = facts.identity, facts.hard_state
    return {
        "directory": str(facts.path),
        "cluster": identity.cluster if identity else None,
        "node": identity.node if identity else None,
        "storeId": identity.store_id if identity else None,
        "founders": founders,
        "term": hard.term,
        "vote": hard.vote,
        "commitIndex": hard.commit,
        "firstIndex": facts.first,
        "lastIndex": facts.last,
        "lastTerm": facts.last_term,
        "snapshotIndex": facts.snapshot[0],
        "snapshotTerm": facts.snapshot[1],
        "configuration": facts.configuration,
        "configurationIndex": facts.configuration_index,
        "segments": [_row(each) for each in facts.segments],
        "snapshots": [_snapshot(each) for each in facts.snapshots],
        "entries": [_row(each) for each in facts.entries],
        "sound": facts.is_sound,
        "findings": [_row(each) for each in facts.findings],
    }


def _row(facts: Any) -> dict[str, Any]:
    """Fields by their names in JSON: sizeBytes for size_bytes."""
    row: dict[str, Any] = {}
    for name, value in attrs.asdict(facts).items():
        head, *rest = name.split("_")
        plain: Any = list(cast("tuple[Any, ...]", value)) if isinstance(value, tuple) else value
        row[head + "".join(map(str.capitalize, rest))] = str(value) if isinstance(value, Path) else plain
    return row


def _snapshot(facts: Any) -> dict[str, Any]:
    index, term = facts.position
    row = {"index": index, "term": term, "sizeBytes": facts.size_bytes, "sound": facts.meta is not None}
    return row | {"inForce": facts.in_force, "path": str(facts.path)}


def _sections(answer: dict[str, Any]) -> Iterator[str]:
    yield table([answer], ["node", "cluster", "storeId", "founders"])
    yield table(
        [answer],
        ["term", "vote", "commitIndex", "firstIndex", "lastIndex", "lastTerm", "snapshotIndex", "snapshotTerm"],
    )
    if answer["configuration"]:
        yield table([answer], ["configuration", "configurationIndex"])
    columns = ["number", "sizeBytes", "usedBytes", "records", "entries", "first", "last", "terms", "tail", "path"]
    yield table(answer["segments"], columns)
    if answer["snapshots"]:
        yield table(answer["snapshots"], ["index", "term", "sizeBytes", "sound", "inForce", "path"])
    if answer["entries"]:
        yield table(answer["entries"], ["index", "term", "kind", "sizeBytes", "segment", "offset", "members"])
    yield "\n".join(_verdict(answer))


def _verdict(answer: dict[str, Any]) -> Iterator[str]:
    for finding in answer["findings"]:
        kind = "DAMAGED" if finding["isDamage"] else "note"
        yield f"{kind}: {finding['path']} at byte {finding['offset']}: {finding['what']}"
        yield f"  do: {finding['todo']}"
    counts = f"{len(answer['segments'])} segments, {len(answer['snapshots'])} snapshots"
    held = f"entries {answer['firstIndex']} to" if answer["firstIndex"] else "no entries behind"
    counts += f", {held} {answer['lastIndex']}"
    if answer["sound"]:
        yield f"sound: {counts}, commit index {answer['commitIndex']} in term {answer['term']}"
    else:
        yield f"damaged: of {counts}, not everything can be trusted; nothing was changed"
