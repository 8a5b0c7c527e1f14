"""Backup files: what was put in comes out; anything else is refused with a sentence."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aether.errors import BadInput
from aether.storage.backup import PIECE_BYTES_MAX, BackupHeader, encode_backup, read_backup

HEADER = BackupHeader(
    cluster="test", uuid="5e" * 16, revision=7, term=3, node="a", taken_at=1_700_000_000.5, release="0.1.0"
)


@pytest.fixture
def saved(tmp_path):
    def save(*pieces: bytes):
        path = tmp_path / "b"
        path.write_bytes(b"".join(encode_backup(HEADER, pieces)))
        return path

    return save


@given(pieces=st.lists(st.binary(max_size=40), max_size=6))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_was_put_in_comes_out(saved, pieces):
    """However the state was cut."""
    read = read_backup(saved(*pieces))
    assert read.header == HEADER
    assert read.state == b"".join(pieces)


def test_a_large_piece_is_cut(saved):
    """The reader never allocates more than a piece for a number that it has not checked yet."""
    large = bytes(PIECE_BYTES_MAX + 5)
    assert read_backup(saved(large)).state == large


def test_any_flipped_bit_is_refused(saved):
    """A cluster would begin with a state that nobody ever had."""
    path = saved(b"the state", b"in two pieces")
    raw = path.read_bytes()
    for at in range(len(raw)):
        for bit in range(8):
            flipped = bytearray(raw)
            flipped[at] ^= 1 << bit
            path.write_bytes(flipped)
            with pytest.raises(BadInput, match="no sound backup"):
                read_backup(path)


def test_any_file_cut_short_or_long_is_refused(saved):
    """An interrupted copy is the usual accident."""
    path = saved(b"the state", b"in two pieces")
    raw = path.read_bytes()
    for length in range(len(raw)):
        path.write_bytes(raw[:length])
        with pytest.raises(BadInput):
            read_backup(path)
    path.write_bytes(raw + b"x")
    with pytest.raises(BadInput):
        read_backup(path)


def test_pieces_cannot_change_places(saved):
    first, second = b"A" * 16, b"B" * 16
    path = saved(first, second)
    raw = path.read_bytes()
    one, two = raw.index(first) - 4, raw.index(second) - 4
    path.write_bytes(raw[:one] + raw[two : two + 24] + raw[one : one + 24] + raw[two + 24 :])
    with pytest.raises(BadInput, match="checksum"):
        read_backup(path)


@pytest.mark.parametrize(
    ("raw", "says"),
    [(b"PK\x03\x04" + bytes(40), "no backup of aether"), (b"AETHBACK\x09" + bytes(40), "format 9"), (b"", "ends at")],
)
def test_a_foreign_file_is_told_as_such(tmp_path, raw, says):
    path = tmp_path / "b"
    path.write_bytes(raw)
    with pytest.raises(BadInput, match=says):
        read_backup(path)


def test_a_file_that_is_not_there_or_no_file_is_told_as_such(tmp_path):
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(BadInput, match="cannot be read"):
            read_backup(path)


def test_golden_backup(saved):
    """Backups must be readable by later releases: a change of these bytes needs a new format version."""
    assert saved(b"state", b"more").read_bytes().hex(" ", -16).split(" ") == GOLDEN


GOLDEN = [
    "414554484241434b010000006c000000",
    "87a7636c7573746572a474657374a475",
    "756964d9203565356535653565356535",
    "65356535653565356535653565356535",
    "6535653565a87265766973696f6e07a4",
    "7465726d03a46e6f6465a161a874616b",
    "656e5f6174cb41d954fc40200000a772",
    "656c65617365a5302e312e305d61f856",
    "05000000737461746557ed35db040000",
    "006d6f7265ad1978dc00000000090000",
    "0000000000bde5d540",
]
