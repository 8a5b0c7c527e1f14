"""Where the code of one node comes from: classes that it has imported, and trees in a directory.

Knows: which store is asked first; how what is available becomes part of this node's member row.
Never: what is in a tree; which artifacts are wanted.
Holds: the member row follows what is available, while the node runs; an imported class wins over a tree of the same
       artifact.
"""

from __future__ import annotations

import logging
import math
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, NoReturn

import trio

from aether.deployment.slice_store import ClassStore, ComposedStore, SliceStore, contracts_of, route_claims
from aether.errors import BadInput, NotFound, OutcomeUnknown, TryAgain
from aether.hosting.directory_store import DirectoryStore, TreeReport
from aether.hosting.trees import check_directory
from aether.kv.service import KvService
from aether.model.artifact import Artifact
from aether.model.ids import Revision
from aether.model.rows import MemberRow
from aether.node.config import NodeConfig
from aether.node.enrolment import write_member
from aether.node.seams import Seams
from aether.slice_api.contract import Contract, contract_of
from aether.slice_api.described import DescribedSlice
from aether.slice_api.routes import check_routes
from aether.work import BareThreadWork, LimitedWork

_log = logging.getLogger("aether.node")

FIRST_LOOK_S: Final = 10.0
"""For which a node that starts waits for its trees to be described; the rest of them follow."""
_RETRY_S: Final = 0.2
_FLOOR_S: Final = 5.0


class Shelf:
    """`store` is what the node loads from.

    contracts  of the imported classes; directory  the trees, None without --slices
    """

    def __init__(self, config: NodeConfig, seams: Seams, slices: Sequence[type]) -> None:
        """Raises ContractError for a class that is no slice, and for a route that two of them claim."""
        self._classes = ClassStore(slices)
        own: SliceStore = seams.slice_store or self._classes
        self._seams = seams
        self.contracts: dict[Artifact, Contract] = contracts_of(slices)
        check_routes(route_claims(map(contract_of, slices)))
        self._looked = trio.Event()
        self._offered = trio.Event()
        self.directory: DirectoryStore | None = None
        self.store: SliceStore = own
        if config.slices is not None:
            base = base_environment(sys.path, config.app_dir)
            work = LimitedWork(seams.work, 1)
            self.directory = DirectoryStore(config.slices, work, base=base, wall=seams.wall)
            self.store = ComposedStore(own, self.directory)

    def known(self, artifact: Artifact) -> Contract | DescribedSlice | None:
        """What this node knows of an artifact without waiting."""
        known = self.contracts.get(artifact)
        return known if known is not None or self.directory is None else self.directory.known(artifact)

    def offer(self, cls: type) -> None:
        """Make one more imported class available while the node runs; what is deployed stays as it is.

        Raises ContractError, Conflict when another class has the artifact, BadInput where another store gives slices.
        """
        if self._seams.slice_store is not None:
            raise BadInput(f"{cls.__qualname__} cannot be offered", ("this node loads slices from a store of its own",))
        contract = contract_of(cls)
        check_routes(route_claims([*self.contracts.values(), contract]))
        self.contracts[self._classes.register(cls)] = contract
        self._offered.set()

    async def begin(self, nursery: trio.Nursery) -> None:
        """Look into the directory, and again while `nursery` lives. Raises BadInput for one that cannot be used."""
        if self.directory is not None:
            await self._seams.work.run(check_directory, self.directory.root)
            nursery.start_soon(self._look, self.directory)

    async def publish(
        self,
        kv: KvService,
        member: Callable[[], MemberRow],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Keep this node's member row telling what is available; until cancelled. `started` once it does."""
        is_told = self.directory is None
        if is_told:  # the row was written with the classes in it
            task_status.started()
            await self._changed()
        refused: tuple[Artifact, ...] | None = None
        while True:
            row = member()
            try:
                written = await write_member(kv, row)
            except (TryAgain, OutcomeUnknown) as error:
                _log.debug("what is available is not told yet: %s", error)
                written = False
            except BadInput as error:  # more than a row holds: what was told before stays
                if row.available != refused:
                    _log.warning(
                        "the %d artifacts that this node can load do not fit its member row, so what was told "
                        "before stays: take trees that nobody needs out of %s, or give some to another node (%s)",
                        len(row.available),
                        "the directory of slices" if self.directory is None else self.directory.root,
                        error,
                    )
                refused = row.available
                written = True
            if not written:
                await trio.sleep(_RETRY_S)
                continue
            if not is_told:
                is_told = True
                task_status.started()
            if row.available == self.store.available():
                await self._changed()

    async def _changed(self) -> None:
        """Return when something else may be available; with a directory, after a while in any case."""
        if self.directory is None:
            await self._offered.wait()
            self._offered = trio.Event()
        else:
            with trio.move_on_after(_FLOOR_S):
                await self.directory.changed()

    async def looked(self) -> None:
        """Return when every tree was looked at once, or took too long."""
        if self.directory is not None:
            with trio.move_on_after(FIRST_LOOK_S):
                await self._looked.wait()

    def report(self) -> tuple[TreeReport, ...]:
        """Every tree of the directory, good or bad."""
        return () if self.directory is None else self.directory.report()

    def operator(self, kv: KvService) -> TreeOperator:
        """What the admin API asks. kv  tells the revision of the answer"""
        return TreeOperator(self, kv)

    async def _look(self, directory: DirectoryStore) -> NoReturn:
        async with trio.open_nursery() as nursery:
            await nursery.start(directory.run)
            self._looked.set()
            await trio.sleep_forever()
        raise AssertionError("sleep_forever returned")


class TreeOperator:
    """Looks at the trees of one node when somebody asks for it."""

    def __init__(self, shelf: Shelf, kv: KvService) -> None:
        self._shelf = shelf
        self._kv = kv

    async def rescan(self) -> tuple[Revision, tuple[TreeReport, ...]]:
        """Look now, also again at trees that could not be described. Raises NotFound without a directory."""
        if self._shelf.directory is None:
            raise NotFound("directory of slices", "--slices", "start this node with --slices DIR")
        await self._shelf.directory.rescan(eager=True)
        return self._kv.revision, self._shelf.report()


def check_trees(root: Path, base: Sequence[str]) -> tuple[TreeReport, ...]:
    """Every tree in `root`, described as a node would; in a loop of its own. Raises BadInput for no such directory."""

    async def looked() -> tuple[TreeReport, ...]:
        check_directory(root)
        store = DirectoryStore(root, BareThreadWork(1), base=base, wall=lambda: math.inf)
        await store.rescan()
        return store.report()

    return trio.run(looked)


def base_environment(path: Iterable[str], app_dir: Path | None) -> tuple[str, ...]:
    """What a tree may import besides itself: all of `path` but the folders of the application that is imported here,
    whose modules may have the names of the tree's.
    """
    apart = {os.path.realpath(folder) for folder in ("", str(app_dir or ""))}
    return tuple(str(Path.cwd() / entry) for entry in path if os.path.realpath(entry) not in apart)
