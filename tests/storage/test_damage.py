"""Crashes and rot: what a power cut leaves is recovered, what rot changes is refused, and nothing is silently lost."""

from __future__ import annotations

import contextlib
import itertools
import shutil
from pathlib import Path
from zlib import crc32

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aether.consensus.values import Persisted
from aether.errors import StorageCorrupt
from aether.model.ids import NodeId
from aether.storage import files
from aether.storage.disk import DiskStorage
from aether.storage.memory import MemoryStorage
from aether.storage.record import BadRecord, Record, RecordKind, encode_record, read_record

SEGMENT_BYTES = 4096


def load(path: Path) -> Persisted:
    store = DiskStorage(path, "test", NodeId("a"), segment_bytes=SEGMENT_BYTES)
    try:
        return store.load()
    finally:
        store.close()


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A store after three synced writes: its directory, log file, and the offsets where each record began and ended."""
    from aether.consensus.entry import EntryKind, new_entry
    from aether.consensus.values import HardState, StorageWrite

    path = tmp_path_factory.mktemp("scene") / "a"
    store = DiskStorage(path, "test", NodeId("a"), segment_bytes=SEGMENT_BYTES)
    store.load()
    offsets, states = [store._wal._offset], []
    for number, payload in enumerate((b"first", bytes(700), b"the third, with zeros at its end" + bytes(200)), 1):
        entry = new_entry(number, 1, EntryKind.COMMAND, payload)
        store.write([StorageWrite(number, HardState(1, "a", number - 1), (entry,))])
        offsets.append(store._wal._offset)
    store.close()
    segment = path / "wal" / "0000000000000001.wal"
    raw = segment.read_bytes()
    for end in offsets:
        (path / "wal" / segment.name).write_bytes(raw[:end] + bytes(SEGMENT_BYTES - end))
        states.append(load(path))
    segment.write_bytes(raw)
    return path, segment, raw, offsets, states


def with_log(scene, raw: bytes) -> Persisted:
    path, segment, _, _, _ = scene
    segment.write_bytes(raw)
    return load(path)


def test_the_scene_has_three_distinct_states(scene):
    """Guards the tests below against comparing equal things."""
    assert [len(state.entries) for state in scene[4]] == [0, 1, 2, 3]


def test_any_flipped_bit_of_the_last_synced_record_is_refused_or_harmless(scene):
    """A synced record may have been acknowledged: cutting it off would break a promise."""
    _, _, raw, offsets, states = scene
    outcomes = set()
    for at in range(offsets[2], offsets[3]):
        for bit in range(8):
            flipped = bytearray(raw)
            flipped[at] ^= 1 << bit
            try:
                assert with_log(scene, bytes(flipped)) == states[3], f"bit {bit} of byte {at} changed the state"
                outcomes.add("harmless")
            except StorageCorrupt:
                outcomes.add("refused")
    assert "refused" in outcomes


@given(st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_b34_any_flipped_bit_of_an_earlier_record_is_refused_or_harmless(scene, data):
    """Rot in the middle of the log is never mistaken for its end."""
    _, _, raw, offsets, states = scene
    at = data.draw(st.integers(0, offsets[2] - 1))
    flipped = bytearray(raw)
    flipped[at] ^= 1 << data.draw(st.integers(0, 7))
    with contextlib.suppress(StorageCorrupt):
        assert with_log(scene, bytes(flipped)) == states[3]


@pytest.mark.parametrize("damage", ["zeroed", "shortened"])
def test_b35_a_torn_tail_recovers_at_every_byte(scene, damage):
    """A crash while the last record is written leaves any first part of it; what was synced before is all there."""
    _, segment, raw, offsets, states = scene
    for cut in range(offsets[2], offsets[3]):
        torn = raw[:cut] + bytes(SEGMENT_BYTES - cut) if damage == "zeroed" else raw[:cut]
        found = with_log(scene, torn)
        # A tear that only loses bytes which are zero anyway loses nothing.
        complete = damage == "zeroed" and torn == raw
        assert found == (states[3] if complete else states[2]), f"cut at {cut}"
        assert segment.stat().st_size == SEGMENT_BYTES
        assert not any(segment.read_bytes()[offsets[2] if not complete else offsets[3] :])


def test_writing_goes_on_behind_a_torn_tail(scene, make):
    """The cut-off part must not shine through later."""
    path, segment, raw, offsets, _ = scene
    segment.write_bytes(raw[: offsets[3] - 20] + bytes(SEGMENT_BYTES - offsets[3] + 20))
    store = DiskStorage(path, "test", NodeId("a"), segment_bytes=SEGMENT_BYTES)
    assert len(store.load().entries) == 2
    store.write([make.write(9, make.entry(3, 2))])
    store.close()
    assert load(path).entries[2:] == (make.entry(3, 2),)


def test_a_hole_in_front_of_later_records_is_refused(scene):
    """A block of zeros inside the log is a lost write, not a torn tail."""
    _, _, raw, offsets, _ = scene
    hole = raw[: offsets[1]] + bytes(offsets[2] - offsets[1]) + raw[offsets[2] :]
    with pytest.raises(StorageCorrupt, match="others follow"):
        with_log(scene, hole)


def test_a_sound_record_in_the_place_of_another_is_refused():
    """Each checksum goes on from the one before: a write that the disk lost or put elsewhere breaks the chain."""
    bodies, records, crc = [b"first", b"other", b"third"], [], 7
    for body in bodies:
        raw, crc = encode_record(RecordKind.WRITE, body, crc)
        records.append(raw)

    first = read_record(b"".join(records), 0, 7)
    assert isinstance(first, Record)
    for wrong in (records[2], records[0]):
        with pytest.raises(BadRecord):
            read_record(records[0] + wrong, first.end, first.crc)
    assert read_record(records[0] + records[1], first.end, first.crc).body == b"other"


def test_garbage_behind_the_log_is_refused(scene):
    """Preallocation is zeros; anything else was written by somebody."""
    _, _, raw, _, _ = scene
    with pytest.raises(StorageCorrupt):
        with_log(scene, raw[:-1] + b"x")


def test_another_format_version_is_refused_and_named(scene):
    """A newer release's log is not rewritten by an older one."""
    import zlib

    _, _, raw, _, _ = scene
    head = raw[:8] + (9).to_bytes(4, "little") + raw[12:28]
    with pytest.raises(StorageCorrupt, match="format 9; expected 1 in format 2"):
        with_log(scene, head + zlib.crc32(head).to_bytes(4, "little") + raw[32:])


def test_a_refused_store_is_left_as_it_was(scene):
    """The operator may still save what is there."""
    path, segment, raw, offsets, _ = scene
    broken = bytearray(raw)
    broken[offsets[1] + 20] ^= 1
    segment.write_bytes(broken)
    with pytest.raises(StorageCorrupt):
        load(path)
    assert segment.read_bytes() == broken


def test_a_log_that_is_gone_is_not_taken_for_a_new_store(tmp_path, make):
    """Its node would forget its votes and what it acknowledged; and its snapshots, the last trace, would be swept."""
    path = tmp_path / "a"
    store = DiskStorage(path, "test", NodeId("a"), segment_bytes=SEGMENT_BYTES)
    store.load()
    store.write([make.write(1, *make.entries(1, 3), state=make.hard(1, "a"))])
    store.save_snapshot(make.snapshot(3).meta, [b"sta", b"te"], 4)
    store.close()
    shutil.rmtree(path / "wal")

    with pytest.raises(StorageCorrupt, match="the write-ahead log is gone"):
        load(path)
    assert len(list((path / "snapshots").iterdir())) == 1


def test_any_flipped_bit_of_a_snapshot_is_refused(tmp_path, make):
    """A state machine started from a wrong state would diverge for ever."""
    path = tmp_path / "a"
    store = DiskStorage(path, "test", NodeId("a"), segment_bytes=SEGMENT_BYTES)
    store.load()
    store.write([make.write(1, snap=make.snapshot(7, 2, b"the state"), data=b"the state")])
    store.close()
    (file,) = (path / "snapshots").iterdir()
    raw = file.read_bytes()
    for at in range(len(raw)):
        flipped = bytearray(raw)
        flipped[at] ^= 1 << at % 8
        file.write_bytes(flipped)
        with pytest.raises(StorageCorrupt):
            load(path)
    for length in range(len(raw)):
        file.write_bytes(raw[:length])
        with pytest.raises(StorageCorrupt):
            load(path)


class Crash(BaseException):
    """The process dies here. No BaseException handler of the store may count on running."""


def script(make):
    """Steps of a life with segments, overrides, and snapshots of both kinds."""
    yield "write", make.write(1, *make.entries(1, 4, payload=bytes(300)), state=make.hard(1, "a"))
    yield "write", make.write(2, *make.entries(5, 9, payload=bytes(300)))
    yield "write", make.write(3, *make.entries(8, 14, 2, payload=bytes(300)), state=make.hard(2, "b", 6))
    yield "save", make.snapshot(6)
    yield "write", make.write(4, *make.entries(15, 24, 2, payload=bytes(300)))
    yield "save", make.snapshot(20, 2)
    yield "write", make.write(5, *make.entries(41, 44, 3), state=make.hard(3, None, 40), snap=make.snapshot(40, 3))
    yield "write", make.write(6, *make.entries(45, 60, 3, payload=bytes(300)))
    yield "save", make.snapshot(50, 3)


def obey(store, step) -> None:
    act, value = step
    if act == "write":
        store.write([value])
    else:
        store.save_snapshot(value.meta, [b"sta", b"te"], max(1, value.meta.index - 2))


def test_a_crash_at_any_file_operation_leaves_the_state_before_or_after(tmp_path, make, monkeypatch):
    """Between any two operations of the store the files must make sense to the next process."""
    steps = list(script(make))
    memory = MemoryStorage()
    states = [memory.load()]
    for step in steps:
        obey(memory, step)
        states.append(memory.load())
    for fatal in range(1, 400):
        path = tmp_path / str(fatal)
        done = run_until_crash(path, steps, fatal, monkeypatch)
        found = load(path)
        partial, found = found.partial, attrs.evolve(found, partial=None)
        assert found in states[done : done + 2], f"crash at operation {fatal}, in step {done}"
        assert partial is None or partial.checksum == crc32(b"state"[: partial.arrived_bytes])
        shutil.rmtree(path)
        if done == len(steps):
            break
    assert fatal > 30


def run_until_crash(path: Path, steps, fatal: int, monkeypatch) -> int:
    """How many steps were acknowledged before the file operation numbered `fatal` killed the process."""
    store = DiskStorage(path, "test", NodeId("a"), segment_bytes=SEGMENT_BYTES)
    store.load()
    operations = itertools.count(1)

    def mortal(real):
        def call(*arguments):
            if next(operations) == fatal:
                raise Crash
            return real(*arguments)

        return call

    done = 0
    with monkeypatch.context() as patched, contextlib.suppress(Crash):
        for name in ("write_all", "sync_data", "sync_directory", "fill_with_zeros"):
            patched.setattr(files, name, mortal(getattr(files, name)))
        for step in steps:
            obey(store, step)
            done += 1
    store.close()
    return done
