"""`aether dev --reload`: which files of a folder changed, and what the changed code says of its slices.

Knows: names, times and sizes of files; the command line that describes slices.
Never: importing what changed: a process of its own does, so that each look sees all of the new code.
Holds: at most FILES_MAX files are watched, each LOOK_S; a change counts once nothing changed for one further look.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import trio

from aether.cli.exits import CommandFailed, Exit
from aether.work import Work

LOOK_S: Final = 0.5
FILES_MAX: Final = 10_000
DESCRIBED_S: Final = 60.0
ENDINGS: Final = (".py", ".toml")
_SKIPPED: Final = frozenset({"__pycache__", "node_modules", "build", "dist"})


class Stamp(NamedTuple):
    """Of one file: nanoseconds and bytes."""

    changed_ns: int
    size: int


def stamps(folder: Path, without: Path) -> Mapping[str, Stamp]:
    """Of the source files below `folder` but those below `without`, hidden ones and environments, by relative path.

    Blocks. Raises CommandFailed: there are more than FILES_MAX.
    """
    found: dict[str, Stamp] = {}
    for path in _files(folder, without):
        try:
            seen = path.stat()
        except OSError:  # gone between two looks
            continue
        found[str(path.relative_to(folder))] = Stamp(seen.st_mtime_ns, seen.st_size)
        if len(found) > FILES_MAX:
            raise CommandFailed(
                Exit.USAGE,
                f"--reload: {folder} has more than {FILES_MAX:,} source files",
                "--app-dir names a smaller one",
            )
    return found


def _files(folder: Path, without: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        here = Path(place)
        folders[:] = [name for name in folders if _is_watched(here / name, without)]
        yield from (here / name for name in names if name.endswith(ENDINGS) and not name.startswith("."))


def _is_watched(folder: Path, without: Path) -> bool:
    name = folder.name
    return not (name.startswith(".") or name in _SKIPPED or folder == without or (folder / "pyvenv.cfg").exists())


def differing(before: Mapping[str, Stamp], after: Mapping[str, Stamp]) -> list[str]:
    """The files that came, went or changed, sorted."""
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


async def until_changed(work: Work, folder: Path, without: Path, before: Mapping[str, Stamp]) -> Mapping[str, Stamp]:
    """The stamps as soon as they differ from `before` and stand still. Raises CommandFailed: too many files."""
    last = before
    while True:
        now = await work.run(stamps, folder, without)
        if now != before and now == last:
            return now
        last = now
        await trio.sleep(LOOK_S)


async def blueprint_of(apps: Sequence[str], app_dir: Path) -> str:
    """The blueprint of what `apps` define now. Raises CommandFailed, with what is wrong with the code."""
    line = [sys.executable, "-m", "aether", "blueprint", "init", "--app-dir", str(app_dir)]
    for app in apps:
        line += ["--app", app]
    with trio.move_on_after(DESCRIBED_S):
        done = await trio.run_process(
            line, capture_stdout=True, capture_stderr=True, check=False, env={**os.environ, **PLAIN}
        )
        if done.returncode == 0:
            return done.stdout.decode()
        raise CommandFailed(Exit.FAILED, done.stderr.decode(errors="replace").strip())
    raise CommandFailed(Exit.TIMED_OUT, f"the import of {', '.join(apps)} takes longer than {DESCRIBED_S:g} s")


PLAIN: Final[Mapping[str, str]] = {"PYTHONDONTWRITEBYTECODE": "1"}
"""For every process that imports what may change twice in a second: compiled files are told apart by whole seconds."""
