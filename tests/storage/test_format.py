"""The bytes on disk, as they were when they were defined: a change of them needs a new format version."""

from __future__ import annotations

import secrets

import pytest

from aether.model.ids import NodeId
from aether.storage.disk import DiskStorage
from aether.storage.record import BadRecord, RecordKind, encode_record, read_record, record_bytes


@pytest.fixture(autouse=True)
def same_store_id(monkeypatch):
    """The golden bytes are of one store: its id is drawn at random otherwise."""
    monkeypatch.setattr(secrets, "token_hex", lambda size: "5e" * size)


def test_golden_log(tmp_path, make):
    """Stores written by this release must be readable by the next."""
    store = DiskStorage(tmp_path / "a", "test", NodeId("a"), segment_bytes=4096)
    store.load()
    store.write([make.write(1, make.entry(1, 2, b"hello"), state=make.hard(2, "a", 0))])
    store.save_snapshot(make.snapshot(1, 2).meta, [b"state"], 1)
    end = store._wal._offset
    store.close()
    raw = (tmp_path / "a" / "wal" / "0000000000000001.wal").read_bytes()
    assert len(raw) == 4096
    assert not any(raw[end:])
    assert raw[:end].hex(" ", -16).split(" ") == GOLDEN_LOG


def test_golden_snapshot(tmp_path, make):
    """The same for snapshots."""
    store = DiskStorage(tmp_path / "a", "test", NodeId("a"), segment_bytes=4096)
    store.load()
    store.write([make.write(1, snap=make.snapshot(1, 2, b"state"))])
    store.close()
    (path,) = (tmp_path / "a" / "snapshots").iterdir()
    assert path.name == "00000000000000000001-00000000000000000002.snapshot"
    assert path.read_bytes().hex(" ", -16).split(" ") == GOLDEN_SNAPSHOT


def test_golden_identity(tmp_path):
    """A node that could not read its own identity would be a stranger to its cluster."""
    DiskStorage(tmp_path / "a", "test", NodeId("a")).close()
    assert (tmp_path / "a" / "identity.json").read_text() == GOLDEN_IDENTITY


def test_the_size_of_a_record_is_known_before_it_is_encoded():
    """Space is found before a byte is written."""
    for length in range(70):
        raw, _ = encode_record(RecordKind.WRITE, bytes(length), 7)
        assert len(raw) == record_bytes(length)
        assert len(raw) % 16 == 0


def test_a_record_of_an_unknown_kind_is_refused():
    """A newer release wrote it: skipping it would lose what it says."""
    raw, _ = encode_record(9, b"future", 0)
    with pytest.raises(BadRecord, match="kind 9"):
        read_record(raw, 0, 0)


GOLDEN_LOG = [
    "4145544857414c000200000001000000",
    "00000000000000004030abdcdfc21b52",
    "07000000b77de2a1d26ca7d3010000a5",
    "939300c000c09000000000000000005a",
    "150000005dce7b0b53b337c7010000a5",
    "939302a16100c091c40b94010200c405",
    "68656c6c6f000000000000000000005a",
    "03000000e43e807b419b4db9020000a5",
    "9201020000000000000000000000005a",
]
GOLDEN_IDENTITY = """{
 "begun": false,
 "cluster": "test",
 "crc32": 3218079634,
 "format": 2,
 "node": "a",
 "store_id": "5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e"
}
"""
GOLDEN_SNAPSHOT = [
    "41455448534e4150030000000d000000",
    "0500000000000000fbd293a35cf1d2fb",
    "9401029492a161a16290909000737461",
    "7465",
]
