"""`aether recover`, `aether backup` and `aether restore`: what is done before and after a disaster.

Knows: what an operator must be told before a cluster is made out of what is left of another.
Never: how it is made (room node).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import click

from aether.cli.connection import Connection
from aether.cli.exits import CommandFailed, Exit
from aether.cli.options import Settings, settings, shared
from aether.cli.output import show

_FLAG = "--yes-i-lost-the-quorum"
_NO_MAJORITY = ("majority", "no quorum")  # in the words of a node, which knows nothing of our options
_JOIN = "then start the other nodes with empty data directories and --join HOST:PORT (the cluster port of this one)"


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option(_FLAG, "confirmed", is_flag=True, help="The majority of the voters is gone for ever; go on.")
@shared
@click.pass_context
def recover(context: click.Context, /, directory: Path, confirmed: bool, **_: Any) -> None:
    """Make a new cluster out of the data directory of one survivor, when the majority is lost for ever.

    Without the flag it says what would be kept and what may be lost, changes nothing, and exits with 4.
    """
    from aether.errors import DataDirectoryInUse
    from aether.node.refounding import prospect
    from aether.node.refounding import recover as recover_directory

    here = settings(context)
    try:
        if not confirmed:
            click.echo("\n".join(_prospect(prospect(directory))), err=True)
            hint = f"when that is what you want: aether recover {directory} {_FLAG}"
            raise CommandFailed(Exit.REFUSED, "nothing was changed", hint)
        refounded = recover_directory(directory)
    except DataDirectoryInUse as error:
        hint = "stop it first; a cluster whose majority answers needs no recovery, and must not get one"
        raise CommandFailed(Exit.REFUSED, f"a node runs on {directory}", hint) from error
    _show_refounded(here, refounded, directory)
    click.echo(f"the old files lie in {refounded.before}; delete them when all is well", err=True)
    click.echo("never start the other nodes on their old data directories: those are of the old cluster", err=True)


def _prospect(facts: Any) -> Iterator[str]:
    hard = facts.hard_state
    yield f"{facts.path} is node {facts.identity.node} of cluster {facts.identity.cluster}, term {hard.term}"
    yield f"  keeps    every entry up to {facts.last}, of term {facts.last_term}; it knows {hard.commit} as committed"
    if facts.last > hard.commit:
        yield f"           entries {hard.commit + 1} to {facts.last} may have been acknowledged or not; they are kept"
    yield f"  loses    whatever was acknowledged behind entry {facts.last} and is not on this disk"
    yield "  forgets  members, sessions and running instances: what was in flight has an unknown outcome"
    yield "  becomes  a new cluster with this node as its only voter; nodes of the old one are refused by it for ever"
    yield "Has another survivor more? Compare lastTerm, then lastIndex, of each (aether wal inspect) before you go on."


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--local", is_flag=True, help="Take what this node has, when no majority answers.")
@click.option("--force", is_flag=True, help="Replace FILE when it exists.")
@shared
@click.pass_context
def backup(context: click.Context, /, file: Path, local: bool, force: bool, **_: Any) -> None:
    """Save the state of the cluster to FILE, as it is at one revision, while it works."""
    here = settings(context)
    _check_target(file, force)
    partial = file.with_name(f".{file.name}.partial-{os.getpid()}")
    try:
        try:
            with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
                for part in _parts(here, local=local):
                    out.write(part)
                out.flush()
                os.fsync(out.fileno())
            header = _checked(partial)
            _put_in_place(partial, file, force)
        except OSError as error:
            raise CommandFailed(Exit.FAILED, f"{file} cannot be written: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)
    answer = {**attrs.asdict(header), "file": str(file), "bytes": file.stat().st_size}
    answer["takenAt"] = answer.pop("taken_at")
    show(here, answer, [answer], ["file", "bytes", "cluster", "revision", "node"])


def _parts(here: Settings, *, local: bool) -> Iterator[bytes]:
    try:
        yield from Connection(here).stream("/backup", consistent="false" if local else "true")
    except CommandFailed as failed:
        if local or not any(words in failed.message for words in _NO_MAJORITY):
            raise
        what = "no majority answers, and this node alone may lack the last writes: nothing was taken"
        hint = "start the missing nodes, or take what this node has: --local"
        raise CommandFailed(Exit.REFUSED, what, hint) from failed


def _check_target(file: Path, force: bool) -> None:
    if not file.parent.is_dir():
        raise CommandFailed(Exit.USAGE, f"{file.parent} is no directory; make it first")
    if file.exists() and not force:
        raise CommandFailed(Exit.REFUSED, f"{file} exists", "give another name, or --force to replace it")


def _checked(partial: Path) -> Any:
    from aether.errors import BadInput
    from aether.storage.backup import read_backup

    try:
        return read_backup(partial).header
    except BadInput as error:
        raise CommandFailed(
            Exit.FAILED, f"what arrived is no whole backup: {error.problems[0]}", "try again"
        ) from error


def _put_in_place(partial: Path, file: Path, force: bool) -> None:
    """By one rename or link, so that FILE is a whole backup or what it was before."""
    from aether.storage import files

    if force:
        partial.replace(file)
    else:
        os.link(partial, file)  # unlike a rename, it never replaces what somebody else has put there meanwhile
    files.sync_directory(file.parent)


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--data-dir", required=True, type=click.Path(path_type=Path), help="Of the new node; empty or not there.")
@click.option("--node-id", required=True, help="Name of the new node.")
@click.option("--cluster", default="", metavar="NAME", help="Name of the new cluster [that of the old one].")
@shared
@click.pass_context
def restore(context: click.Context, /, file: Path, data_dir: Path, node_id: str, cluster: str, **_: Any) -> None:
    """Make the data directory of a new cluster that begins with the backup in FILE."""
    from aether.errors import BadInput, Conflict, DataDirectoryInUse
    from aether.model.ids import is_name
    from aether.model.ids import node_id as checked_node_id
    from aether.node.refounding import restore as restore_file

    here = settings(context)
    node = checked_node_id(node_id)
    if cluster and not is_name(cluster):
        raise BadInput(f"cluster name {cluster!r}", ("use letters, digits and inner . _ -",))
    try:
        refounded = restore_file(file, data_dir, node, cluster)
    except (Conflict, DataDirectoryInUse) as error:
        raise CommandFailed(Exit.REFUSED, str(error)) from error
    _show_refounded(here, refounded, data_dir)


def _show_refounded(here: Settings, refounded: Any, directory: Path) -> None:
    answer = {**attrs.asdict(refounded), "dataDir": str(directory), "before": str(refounded.before or "")}
    answer |= {"storeId": answer.pop("store_id"), "fromRevision": answer.pop("from_revision")}
    show(here, answer, [answer], ["cluster", "uuid", "node", "fromRevision", "revision", "dataDir"])
    start = f"aether node --node-id {refounded.node} --cluster {refounded.cluster} --data-dir {directory}"
    click.echo(f"start it without --peers: {start}\n{_JOIN}", err=True)
