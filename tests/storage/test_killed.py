"""A real process killed with SIGKILL in the middle of its writes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from aether.model.ids import NodeId
from aether.storage.disk import DiskStorage

WRITER = """
import sys
from pathlib import Path
from aether.consensus.entry import EntryKind, new_entry
from aether.consensus.quorum import Configuration
from aether.consensus.values import HardState, SnapshotMeta, StorageWrite
from aether.storage.disk import DiskStorage

store = DiskStorage(Path(sys.argv[1]), "test", "a", segment_bytes=16384)
persisted = store.load()
index = persisted.entries[-1].index if persisted.entries else persisted.snapshot.meta.index if persisted.snapshot else 0
while True:
    index += 1
    entry = new_entry(index, 1, EntryKind.COMMAND, b"%d" % index * 50)
    store.write([StorageWrite(index, HardState(1, "a", index - 1), (entry,))])
    print(index, flush=True)
    if index % 25 == 0:
        store.save_snapshot(SnapshotMeta(index, 1, Configuration(("a",))), [b"%d" % index], index - 10)
"""


@pytest.mark.process
def test_what_was_acknowledged_before_sigkill_is_there_afterwards(tmp_path):
    """The promise of the whole room, kept by a process that had no chance to tidy up."""
    path = tmp_path / "a"
    for lines in (1, 40, 77, 160):
        command = [sys.executable, "-c", WRITER, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            for _ in range(lines):
                acknowledged = int(writer.stdout.readline())
            writer.kill()
            acknowledged = max([acknowledged, *map(int, writer.stdout.read().split("\n")[:-1])])
        store = DiskStorage(path, "test", NodeId("a"), segment_bytes=16384)
        persisted = store.load()
        base = persisted.snapshot.meta.index if persisted.snapshot else 0
        if persisted.snapshot is not None:
            assert store.open_snapshot(persisted.snapshot).read(0, persisted.snapshot.total_bytes) == b"%d" % base
        store.close()
        last = persisted.entries[-1].index if persisted.entries else base
        assert acknowledged <= last <= acknowledged + 1
        assert [entry.payload for entry in persisted.entries] == [b"%d" % i * 50 for i in range(base + 1, last + 1)]
