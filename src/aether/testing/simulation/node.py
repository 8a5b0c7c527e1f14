"""One simulated node: a core with its disk and state machine, and what its process would hold in memory.

Knows: one incarnation at a time; what a crash loses and what a restart finds.
Never: time, other nodes, which faults happen.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from aether.consensus.config import RaftConfig
from aether.consensus.core import RaftCore
from aether.consensus.log import RaftLog
from aether.consensus.values import Persisted, Ready, Role, Snapshot
from aether.model.ids import LogIndex, NodeId
from aether.testing.simulation.disk import Disk, LocalSnapshot
from aether.testing.simulation.machine import SessionMachine

MakeCore = Callable[[RaftConfig, Persisted], RaftCore]
MakeMachine = Callable[[], SessionMachine]


class Node:
    """`core` is None while the node is down. `incarnation` counts its starts: events of an older one are void."""

    def __init__(self, make_config: Callable[[], RaftConfig], make_core: MakeCore, make_machine: MakeMachine) -> None:
        self._make_config = make_config
        self._make_core = make_core
        self._make_machine = make_machine
        config = make_config()
        self.name: NodeId = config.node
        self.disk: Disk = Disk()
        self.core: RaftCore | None = None
        self.machine: SessionMachine = make_machine()
        self.incarnation: int = 0
        self.paused_until_us = 0
        self.role: Role = Role.FOLLOWER  # as noted last
        self.syncing: int = 0  # jobs covered by the sync under way
        self._entries_kept = config.entries_kept
        self._snapshot_at = LogIndex(0)

    def start(self) -> RaftCore:
        """Begin a new incarnation from the disk."""
        self.incarnation += 1
        self.syncing = 0
        self.role = Role.FOLLOWER
        self.machine = self._make_machine()
        persisted = self.disk.load()
        if persisted.snapshot is not None:
            self.machine.restore(persisted.snapshot.data)
        self._snapshot_at = self.disk.snapshot_index
        self.core = self._make_core(self._make_config(), persisted)
        return self.core

    def crash(self, rng: random.Random) -> int:
        """Lose everything but the disk; gives how many writes under way were lost."""
        kept = rng.randint(0, self.syncing)
        lost = len(self.disk.queue) - kept
        self.disk.crash(kept)
        self.core = None
        return lost

    def apply(self, ready: Ready) -> list[tuple[int, int, int]]:
        """Drive the state machine as a service would; gives (session, request, answer) of what was executed."""
        assert self.core is not None
        if ready.restore is not None:
            self.machine.restore(ready.restore.data)
            assert self.machine.index == ready.restore.meta.index, "the snapshot is of another index than it says"
            self._snapshot_at = ready.restore.meta.index
        if not ready.committed:
            return []
        answers = self.machine.apply(ready.committed)
        self.core.applied(ready.committed[-1].index)
        return answers

    def take_snapshot(self, every: int) -> bool:
        """Queue a local snapshot when `every` entries were applied since the last one."""
        core = self.core
        assert core is not None
        if core.applied_index - self._snapshot_at < every or core.applied_index <= core.snapshot_index:
            return False
        self._snapshot_at = core.applied_index
        snapshot = Snapshot(core.snapshot_meta(), self.machine.snapshot())
        keep_from = LogIndex(max(1, core.applied_index - self._entries_kept + 1))
        self.disk.queue.append(LocalSnapshot(snapshot, keep_from))
        return True


def log_of(core: RaftCore) -> RaftLog:
    """The log inside a core: the oracle reads what the public surface does not show."""
    return core._log  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # only the checker looks inside
