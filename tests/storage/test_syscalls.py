"""An error of the kernel at any call: a full disk is waited out, any other error ends the store for this process."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections import Counter
from pathlib import Path

import attrs
import pytest

from aether.consensus.values import Persisted
from aether.errors import StorageFailed, StorageFull
from aether.model.ids import NodeId
from aether.storage.checked_file import write_fields
from aether.storage.disk import DiskStorage
from aether.storage.memory import MemoryStorage

SEGMENT_BYTES = 4096
CALLS = ("pwrite", "fdatasync", "fsync", "rename", "replace", "unlink")


class Kernel:
    """Fails the call numbered `fatal` (counted from 1 over all of CALLS) with `code`, and counts those after it."""

    def __init__(self, fatal: int, code: int) -> None:
        self.fatal, self.code = fatal, code
        self.calls = 0
        self.failed = ""
        self.after: Counter[str] = Counter()

    def install(self, patched: pytest.MonkeyPatch) -> None:
        for name in CALLS:
            patched.setattr(os, name, self._wrapped(name, getattr(os, name)))

    def _wrapped(self, name, real):
        def call(*arguments, **named):
            self.calls += 1
            if self.failed:
                self.after[name] += 1
            elif self.calls == self.fatal:
                self.failed = name
                raise OSError(self.code, os.strerror(self.code))
            return real(*arguments, **named)

        return call


def script(make):
    """A life with segments, an override, and snapshots of both kinds."""
    yield "write", make.write(1, *make.entries(1, 4, payload=bytes(300)), state=make.hard(1, "a"))
    yield "write", make.write(2, *make.entries(5, 9, payload=bytes(600)), state=make.hard(2, "b", 4))
    yield "save", make.snapshot(8)
    yield "prepare", None
    yield "write", make.write(3, *make.entries(10, 14, 2, payload=bytes(600)))
    yield "save", make.snapshot(13, 2)
    yield "write", make.write(4, *make.entries(41, 44, 3), state=make.hard(3, None, 40), snap=make.snapshot(40, 3))
    yield "write", make.write(5, *make.entries(45, 49, 3, payload=bytes(600)))


def obey(store, step) -> None:
    act, value = step
    if act == "write":
        store.write([value])
    elif act == "save":
        store.save_snapshot(value.meta, [b"sta", b"te"], max(1, value.meta.index - 2))
    else:
        store.prepare()


def states(steps) -> list[Persisted]:
    memory = MemoryStorage()
    found = [memory.load()]
    for step in steps:
        obey(memory, step)
        found.append(memory.load())
    return found


def opened(path: Path) -> DiskStorage:
    return DiskStorage(path, "test", NodeId("a"), segment_bytes=SEGMENT_BYTES)


def load(path: Path) -> Persisted:
    """What is there; but for a snapshot that was arriving: its transfer may begin anew, so it may be lost or kept."""
    store = opened(path)
    try:
        return attrs.evolve(store.load(), partial=None)
    finally:
        store.close()


def test_an_input_error_at_any_call_ends_the_store_and_nothing_is_tried_again(tmp_path, make, monkeypatch):
    """After a failed sync the kernel may report success for lost bytes: the first error is the last call."""
    steps = list(script(make))
    known = states(steps)
    seen: Counter[str] = Counter()
    for fatal in range(1, 500):
        path = tmp_path / str(fatal)
        store = opened(path)
        store.load()
        kernel = Kernel(fatal, errno.EIO)
        done = 0
        with monkeypatch.context() as patched:
            kernel.install(patched)
            with contextlib.suppress(StorageFailed):
                for step in steps:
                    obey(store, step)
                    done += 1
            cleanup = kernel.after.copy()
            for step in steps:
                if kernel.failed:
                    with pytest.raises(StorageFailed, match="Input/output error"):
                        obey(store, step)
            assert kernel.after == cleanup, "the store was touched again"
        assert cleanup.keys() <= {"unlink"}, f"after a failed {kernel.failed} it went on with {cleanup}"
        store.close()
        assert load(path) in known[done : done + 2], f"{kernel.failed} failed at call {fatal}, in step {done}"
        shutil.rmtree(path)
        if not kernel.failed:
            break
        seen[kernel.failed] += 1
    assert done == len(steps)
    assert seen.keys() == set(CALLS)


def test_a_full_disk_at_any_call_loses_nothing(tmp_path, make, monkeypatch):
    """Where space is asked for it is waited out; in the middle of a change it is an error as any other."""
    steps = list(script(make))
    known = states(steps)
    waited = failed = 0
    for fatal in range(1, 500):
        path = tmp_path / str(fatal)
        store = opened(path)
        store.load()
        kernel = Kernel(fatal, errno.ENOSPC)
        done = 0
        with monkeypatch.context() as patched:
            kernel.install(patched)
            for step in steps:
                try:
                    obey(store, step)
                except StorageFull:
                    waited += 1
                    obey(store, step)  # there is room again
                except StorageFailed:
                    failed += 1
                    break
                done += 1
        store.close()
        assert load(path) in known[done : done + 2], f"no space for {kernel.failed} at call {fatal}, in step {done}"
        shutil.rmtree(path)
        if not kernel.failed:
            break
    assert done == len(steps)
    assert waited > 10
    assert failed > 0


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_a_store_that_cannot_be_made_says_why_and_can_be_made_later(tmp_path, monkeypatch, code):
    """A first start on a full disk must not leave half an identity behind."""
    for fatal in range(1, 30):
        path = tmp_path / str(fatal)
        kernel = Kernel(fatal, code)
        with monkeypatch.context() as patched:
            kernel.install(patched)
            with contextlib.suppress(StorageFull, StorageFailed), contextlib.closing(opened(path)) as store:
                store.load()
        assert load(path) == Persisted()
        if not kernel.failed:
            break
    assert fatal > 6


@pytest.mark.parametrize(("code", "kind"), [(errno.ENOSPC, StorageFull), (errno.EIO, StorageFailed)])
def test_a_checked_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch, code, kind):
    """Identity and founders: their readers must never meet a half."""
    path = tmp_path / "x.json"
    write_fields(path, {"n": 1}, 1)
    before = path.read_bytes()
    for fatal in range(1, 10):
        kernel = Kernel(fatal, code)
        with monkeypatch.context() as patched:
            kernel.install(patched)
            if fatal <= 4:
                with pytest.raises(kind):
                    write_fields(path, {"n": 2}, 1)
            else:
                write_fields(path, {"n": 2}, 1)
        assert path.read_bytes() == before or fatal >= 4
        assert [each.name for each in tmp_path.iterdir()] == ["x.json"]
