"""Trees of code in a directory: `DIR/{name}/{version}/`, each with an `aether.toml` that says which slices are in it.

Knows: the layout, the metadata, what makes a tree unfit: foreign files, links that lead out, too much of it.
Never: imports; what is in a module. Every function blocks: call it through Work.
Holds: nothing in a tree can make a scan fail; it becomes a problem of that tree. Names that begin with a dot are not
       looked at, so that a tree may be built beside the others and moved in whole.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, cast

import attrs
import tomli

from aether.errors import BadInput
from aether.model.artifact import Artifact
from aether.model.limits import TREE_BYTES_MAX, TREE_FILES_MAX, TREE_METADATA_BYTES_MAX, TREE_SLICES_MAX, TREES_MAX

METADATA: Final = "aether.toml"
_COMPILED: Final = "__pycache__"
_DEPTH_MAX: Final = 32
_CLASS: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


@attrs.frozen(kw_only=True)
class TreeSlice:
    """One slice that a tree says it has. module, qualname  of its class"""

    artifact: Artifact
    module: str
    qualname: str


@attrs.frozen(kw_only=True)
class Tree:
    """One tree as it was found.

    name       `{name}/{version}`, below DIR; folder  absolute
    path       folders to import from, absolute, in order
    stamp      equal while no file of it changes; touched_s  wall-clock seconds of the last change that can be seen
    problem    why it is not used, "" = it may be; note  what is odd and harmless
    """

    name: str
    folder: str = ""
    slices: tuple[TreeSlice, ...] = ()
    path: tuple[str, ...] = ()
    stamp: str = ""
    touched_s: float = 0.0
    problem: str = ""
    note: str = ""


class _Unfit(Exception):
    """What is wrong with a tree, as a sentence."""


def check_directory(root: Path) -> None:
    """Raise BadInput when `root` is no directory, or one that anybody may write to. Blocks."""
    try:
        found = root.stat()
    except OSError as error:
        raise BadInput(f"--slices {root}", (f"{error.strerror}: create the directory, or name another",)) from error
    if not stat.S_ISDIR(found.st_mode):
        raise BadInput(f"--slices {root}", ("it is no directory",))
    if found.st_mode & stat.S_IWOTH:
        raise BadInput(f"--slices {root}", ("everybody may write to it, so anybody's code would run: chmod o-w",))


def scan_trees(root: Path) -> tuple[Tree, ...]:
    """Every tree below `root`, sorted by name. Blocks. Raises OSError when `root` itself cannot be read."""
    root = _real(root)
    owners = frozenset({0, root.stat().st_uid})
    found: list[Tree] = []
    for folder in _places(root):
        name = f"{folder.parent.name}/{folder.name}"
        if len(found) == TREES_MAX:
            problem = f"{TREES_MAX} trees are the most; it is left out"
            found.append(Tree(name=_legible(name), folder=str(folder), problem=problem))
            break
        tree = _tree(root, folder, name, owners)
        if tree is not None:
            name, problem, note = map(_legible, (tree.name, tree.problem, tree.note))
            found.append(attrs.evolve(tree, name=name, problem=problem, note=note))
    return tuple(found)


def _places(root: Path) -> Iterator[Path]:
    for outer in sorted(root.iterdir()):
        if outer.name.startswith(".") or not _may_be_folder(outer):
            continue
        try:
            inner = sorted(outer.iterdir())
        except OSError:  # it went meanwhile, or is not ours to read
            inner = [outer / "?"]
        yield from (folder for folder in inner if not folder.name.startswith(".") and _may_be_folder(folder))


def _may_be_folder(place: Path) -> bool:
    """True also for what cannot be told: whoever looks into it is told why."""
    try:
        return place.name == "?" or place.is_dir()
    except OSError:
        return True


def _real(place: Path | str) -> Path:
    """Without links; of links that lead in a circle, as far as they lead."""
    return Path(os.path.realpath(place))


def _legible(text: str) -> str:
    """Names of files are bytes; reports and log lines are text, a line each."""
    spelt = text.encode(errors="backslashreplace").decode()
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in spelt)


def _tree(root: Path, folder: Path, name: str, owners: frozenset[int]) -> Tree | None:
    """None for another name of a tree that is in `root` anyway."""
    try:
        real = _real(folder)
        if real != folder:
            if real.is_relative_to(root):
                return None
            return Tree(name=name, folder=str(folder), problem=f"it is a link that leads out of {root}")
        stamp, touched_s = _stamped(root, folder, owners)
        slices, path = _metadata(folder)
        note = _odd_name(folder, slices)
        return Tree(
            name=name, folder=str(folder), slices=slices, path=path, stamp=stamp, touched_s=touched_s, note=note
        )
    except _Unfit as unfit:
        return Tree(name=name, folder=str(folder), problem=str(unfit))
    except BadInput as error:
        return Tree(name=name, folder=str(folder), problem=f"{METADATA}: {'; '.join(error.problems) or error.what}")
    except OSError as error:
        return Tree(name=name, folder=str(folder), problem=f"{error.strerror or error}: {error.filename or folder}")


# --- files --------------------------------------------------------------------------------------------------------


def _stamped(root: Path, folder: Path, owners: frozenset[int]) -> tuple[str, float]:
    """A digest of names, sizes and times of all files, and the time of the last change. Raises _Unfit, OSError."""
    digest, files, size, touched_s = hashlib.sha256(), 0, 0, 0.0
    for entry in _entries(folder, 0):
        where = os.path.relpath(entry.path, folder)
        _check_entry(entry, where, root, owners)
        if entry.name == _COMPILED or entry.is_dir(follow_symlinks=False):
            continue
        facts = entry.stat(follow_symlinks=False)
        files, size, touched_s = files + 1, size + facts.st_size, max(touched_s, facts.st_ctime)
        if files > TREE_FILES_MAX or size > TREE_BYTES_MAX:
            raise _Unfit(f"a tree has at most {TREE_FILES_MAX} files and {TREE_BYTES_MAX >> 20} MiB; it has more")
        digest.update(f"{where}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode(errors="surrogateescape"))
    return digest.hexdigest(), touched_s


def _entries(folder: Path | str, depth: int) -> Iterator[os.DirEntry[str]]:
    if depth > _DEPTH_MAX:
        raise _Unfit(f"folders in folders, more than {_DEPTH_MAX} deep")
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        yield entry
        if entry.name != _COMPILED and entry.is_dir(follow_symlinks=False):
            yield from _entries(entry.path, depth + 1)


def _check_entry(entry: os.DirEntry[str], where: str, root: Path, owners: frozenset[int]) -> None:
    facts = entry.stat(follow_symlinks=False)
    if entry.is_symlink():
        if not _real(entry.path).is_relative_to(root):
            raise _Unfit(f"{where} is a link that leads out of {root}")
    elif facts.st_mode & stat.S_IWOTH:
        raise _Unfit(f"everybody may write to {where}, so anybody's code would run: chmod -R o-w")
    elif not (stat.S_ISREG(facts.st_mode) or stat.S_ISDIR(facts.st_mode)):
        raise _Unfit(f"{where} is neither a file nor a folder")
    if facts.st_uid not in owners:
        raise _Unfit(f"{where} belongs to user {facts.st_uid}, and not to the owner of {root}: chown -R")


# --- metadata -----------------------------------------------------------------------------------------------------


def _metadata(folder: Path) -> tuple[tuple[TreeSlice, ...], tuple[str, ...]]:
    """Slices and search path. Raises _Unfit, BadInput, OSError."""
    file = folder / METADATA
    if not file.exists():
        raise _Unfit(f"no {METADATA} (yet)")
    raw = _read_start(file, TREE_METADATA_BYTES_MAX + 1)
    if len(raw) > TREE_METADATA_BYTES_MAX:
        raise _Unfit(f"{METADATA} has more than {TREE_METADATA_BYTES_MAX} bytes")
    slices, entries = read_metadata(raw)
    path = [_real(folder / entry) for entry in entries]
    for entry, resolved in zip(entries, path, strict=True):
        if not resolved.is_relative_to(folder) or not resolved.is_dir():
            raise _Unfit(f"{METADATA}: path {entry!r} is no folder of the tree")
    return slices, tuple(map(str, path))


def _read_start(file: Path, bytes_max: int) -> bytes:
    """Raises _Unfit for what a link may lead to and nobody may ever end: a pipe, a device. Raises OSError."""
    with os.fdopen(os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as opened:
        if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
            raise _Unfit(f"{METADATA} is no file")
        return opened.read(bytes_max)


def read_metadata(raw: bytes) -> tuple[tuple[TreeSlice, ...], tuple[str, ...]]:
    """The slices and the relative search path that an `aether.toml` names. Raises BadInput with every problem."""
    try:
        table = tomli.loads(raw.decode())
    except (ValueError, RecursionError) as error:  # no text, no TOML, a number or a nesting beyond all measure
        raise BadInput(METADATA, (str(error),)) from error
    problems = [f"{key}: unknown key" for key in table.keys() - {"artifact", "slice", "slices", "path"}]
    listed: Any = table.get("slices", [])
    if not isinstance(listed, list):
        raise BadInput(METADATA, ("slices: write [[slices]], each with artifact and slice",))
    entries: list[object] = list(cast("list[object]", listed))
    if "artifact" in table or "slice" in table or not entries:
        entries.insert(0, {key: table[key] for key in ("artifact", "slice") if key in table})
    if len(entries) > TREE_SLICES_MAX:
        raise BadInput(METADATA, (f"{TREE_SLICES_MAX} slices of one tree are the most",))
    slices = [found for entry in entries if (found := _slice(entry, problems)) is not None]
    artifacts = [each.artifact for each in slices]
    problems += (f"{artifact}: named twice" for artifact in sorted({a for a in artifacts if artifacts.count(a) > 1}))
    path: Any = table.get("path", ["."])
    folders: list[object] = cast("list[object]", path) if isinstance(path, list) else []
    if not folders or not all(isinstance(entry, str) and "\0" not in entry for entry in folders):
        problems.append('path: write a list of folders in the tree, such as ["."]')
    if problems:
        raise BadInput(METADATA, tuple(problems))
    return tuple(slices), tuple(map(str, folders))


def _slice(entry: object, problems: list[str]) -> TreeSlice | None:
    part = cast("dict[str, object]", entry) if isinstance(entry, dict) else {}
    artifact, named = part.get("artifact"), part.get("slice")
    before = len(problems)
    problems += (f"slices.{key}: unknown key" for key in part.keys() - {"artifact", "slice"})
    if not isinstance(named, str) or _CLASS.fullmatch(named) is None:
        problems.append(f'slice = {named!r:.80}: write "module:Class"')
    try:
        found = Artifact.parse(artifact) if isinstance(artifact, str) else None
    except BadInput as error:
        found = None
        problems.append(f"artifact: {error}")
    else:
        if found is None:
            problems.append(f'artifact = {artifact!r:.80}: write "group:name:version"')
    if len(problems) > before or found is None or not isinstance(named, str):
        return None
    module, _, qualname = named.partition(":")
    return TreeSlice(artifact=found, module=module, qualname=qualname)


def _odd_name(folder: Path, slices: Iterable[TreeSlice]) -> str:
    """The metadata decides; a folder that says something else misleads people."""
    names = {each.artifact.base.name for each in slices}
    versions = {str(each.artifact.version) for each in slices}
    if folder.name not in versions:
        return f"the folder is called {folder.name}, and {METADATA} says {', '.join(sorted(versions))}"
    if len(names) == 1 and folder.parent.name not in names:
        return f"it is in {folder.parent.name}, and {METADATA} says {', '.join(names)}"
    return ""
