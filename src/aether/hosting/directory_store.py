"""Slices from a directory of trees, looked at again and again while the node runs.

Knows: which trees are complete, what each was described as, which artifact comes from which tree.
Never: imports of what it finds; instances; the cluster's rows.
Holds: a tree is described once for each state of its files. Whatever is wrong with one tree leaves the others alone; a
       tree that changes under a running node is told of, and used as it was until it keeps still.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import attrs
import trio

from aether.errors import NotFound
from aether.hosting.trees import Tree, scan_trees
from aether.hosting.worker_describing import describe_tree
from aether.model.artifact import Artifact
from aether.model.limits import TREE_RETRY_MAX_S, TREE_RETRY_MIN_S, TREES_RESCAN_S
from aether.slice_api.described import DescribedSlice
from aether.work import Work

Describe = Callable[[Tree, Sequence[str]], Awaitable[Mapping[Artifact, DescribedSlice | str]]]

_log = logging.getLogger("aether.hosting")


@attrs.frozen(kw_only=True)
class TreeReport:
    """What became of one tree.

    artifacts  that this node offers from it; problems  why others, or all, are not offered; notes  what is odd
    """

    tree: str
    artifacts: tuple[Artifact, ...] = ()
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    copying: bool = False


@attrs.frozen(kw_only=True)
class _Shelved:
    """A tree as it was described. retry_at  trio time for another try, None = it needs none"""

    tree: Tree
    slices: Mapping[Artifact, DescribedSlice] = attrs.field(factory=dict[Artifact, DescribedSlice])
    problems: tuple[str, ...] = ()
    tries: int = 0
    retry_at: float | None = None


class DirectoryStore:
    """Implements SliceStore with artifacts that run in worker processes. `run` looks for changes until cancelled.

    base  search path of workers behind that of the tree; wall  seconds since the epoch, as files are stamped
    """

    def __init__(
        self,
        root: Path,
        work: Work,
        *,
        base: Sequence[str],
        wall: Callable[[], float],
        describe: Describe = describe_tree,
        rescan_s: float = TREES_RESCAN_S,
    ) -> None:
        self.root: Path = root.absolute()
        self._work = work
        self._base = tuple(base)
        self._wall = wall
        self._describe = describe
        self._rescan_s = rescan_s
        self._shelved: dict[str, _Shelved] = {}
        self._seen: dict[str, Tree] = {}
        self._offered: dict[Artifact, tuple[str, DescribedSlice]] = {}
        self._doubles: dict[str, tuple[str, ...]] = {}
        self._unreadable = ""
        self._busy = trio.Lock()
        self._changed = trio.lowlevel.ParkingLot()

    def available(self) -> tuple[Artifact, ...]:
        """As SliceStore promises; what no complete tree offers any more is missing."""
        return tuple(sorted(self._offered))

    async def load(self, artifact: Artifact) -> DescribedSlice:
        """What the slice is, and where a worker finds it. Raises NotFound."""
        found = self.known(artifact)
        if found is None:
            offered = ", ".join(map(str, self.available())) or "nothing"
            raise NotFound("slice", str(artifact), f"{self.root} offers {offered}")
        return found

    def known(self, artifact: Artifact) -> DescribedSlice | None:
        """As `load`, at once; None when it is not offered."""
        found = self._offered.get(artifact)
        return None if found is None else found[1]

    def report(self) -> tuple[TreeReport, ...]:
        """Every tree of the last look, good or bad."""
        found = [self._report(tree) for tree in self._seen.values()]
        return (TreeReport(tree=".", problems=(self._unreadable,)), *found) if self._unreadable else tuple(found)

    async def changed(self) -> None:
        """Return at the next change of what is available."""
        await self._changed.park()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Until cancelled. `started` when every tree that was there has been looked at once.

        A tree that was new at the first look keeps still, or does not, at the second: only then is that said.
        """
        await self.rescan()
        if any(tree.copying for tree in self.report()):
            await trio.sleep(self._rescan_s)
            await self.rescan()
        task_status.started()
        while True:
            await trio.sleep(self._rescan_s)
            await self.rescan()

    async def rescan(self, *, eager: bool = False) -> None:
        """Look at every tree now. eager  also at those again whose description failed"""
        async with self._busy:
            try:
                trees = await self._work.run(scan_trees, self.root)
            except OSError as error:
                self._tell_unreadable(str(error))
                return
            self._tell_unreadable("")
            seen, self._seen = self._seen, {tree.name: tree for tree in trees}
            for name in self._shelved.keys() - self._seen.keys():
                del self._shelved[name]
            for tree in trees:
                if self._is_due(tree, seen.get(tree.name), eager=eager):
                    await self._look(tree)
                    self._offer()
            self._offer()

    def _is_due(self, tree: Tree, before: Tree | None, *, eager: bool) -> bool:
        """Whether to look into it now: its files are another state than was described, and keep still."""
        known = self._shelved.get(tree.name)
        if tree.problem:
            return known is None or known.tree.problem != tree.problem
        if known is not None and known.tree.stamp == tree.stamp:
            retry_at = known.retry_at
            return retry_at is not None and (eager or trio.current_time() >= retry_at)
        still = before is not None and before.stamp == tree.stamp
        return still or self._wall() - tree.touched_s >= self._rescan_s

    async def _look(self, tree: Tree) -> None:
        known = self._shelved.get(tree.name)
        if tree.problem:
            self._shelved[tree.name] = _Shelved(tree=tree, problems=(tree.problem,))
            _log.warning("%s is not used: %s", self.root / tree.name, tree.problem)
            return
        if known is not None and known.slices and known.tree.stamp != tree.stamp:
            _log.warning(
                "%s has changed, and a version is what it was: instances that run keep the old code, new ones get the "
                "new; put changes into a tree of another version",
                self.root / tree.name,
            )
        answers = await self._describe(tree, self._base)
        good = {artifact: found for artifact, found in answers.items() if isinstance(found, DescribedSlice)}
        problems = tuple(f"{artifact}: {found}" for artifact, found in answers.items() if isinstance(found, str))
        tries = 1 + (known.tries if known is not None and known.tree.stamp == tree.stamp else 0)
        wait_s = min(TREE_RETRY_MAX_S, TREE_RETRY_MIN_S * 2 ** min(tries - 1, 16))
        retry_at = trio.current_time() + wait_s if problems else None
        self._shelved[tree.name] = _Shelved(tree=tree, slices=good, problems=problems, tries=tries, retry_at=retry_at)
        said = () if known is None else (*known.problems, known.tree.note)
        for text in (*problems, *filter(None, [tree.note])):
            if text not in said:
                _log.warning("%s: %s", self.root / tree.name, text)

    def _offer(self) -> None:
        """Make what the trees have available; of two trees with one artifact, that which had it first."""
        before = self._offered
        self._offered, doubles = {}, dict[str, tuple[str, ...]]()
        for name, shelved in sorted(self._shelved.items()):
            for artifact, found in shelved.slices.items():
                first = self._first(artifact, before, name)
                if first == name:
                    self._offered[artifact] = (name, found)
                else:
                    doubles[name] = (*doubles.get(name, ()), f"{artifact}: {first} has it too, and had it first")
        for name, texts in doubles.items():
            if self._doubles.get(name) != texts:
                _log.warning("%s: %s", self.root / name, "; ".join(texts))
        self._doubles = doubles
        if self._offered.keys() != before.keys():
            self._tell(before)
            self._changed.unpark_all()

    def _first(self, artifact: Artifact, before: Mapping[Artifact, tuple[str, DescribedSlice]], name: str) -> str:
        if artifact in before:
            owner = before[artifact][0]
            if owner in self._shelved and artifact in self._shelved[owner].slices:
                return owner
        return min(other for other, shelved in self._shelved.items() if artifact in shelved.slices)

    def _tell(self, before: Mapping[Artifact, object]) -> None:
        for artifact in sorted(self._offered.keys() - before.keys()):
            _log.info("%s is available, from %s", artifact, self.root / self._offered[artifact][0])
        for artifact in sorted(before.keys() - self._offered.keys()):
            _log.info("%s is not available any more; instances that run stay", artifact)

    def _tell_unreadable(self, problem: str) -> None:
        if problem and problem != self._unreadable:
            _log.warning("%s cannot be read, so it is taken for what it was: %s", self.root, problem)
        self._unreadable = problem

    def _report(self, tree: Tree) -> TreeReport:
        shelved = self._shelved.get(tree.name)
        copying = not tree.problem and (shelved is None or shelved.tree.stamp != tree.stamp)
        problems = (tree.problem,) if tree.problem else (() if shelved is None else shelved.problems)
        offered = tuple(sorted(artifact for artifact, (name, _) in self._offered.items() if name == tree.name))
        return TreeReport(
            tree=tree.name,
            artifacts=offered,
            problems=(*problems, *self._doubles.get(tree.name, ())),
            notes=tuple(filter(None, [tree.note])),
            copying=copying,
        )
