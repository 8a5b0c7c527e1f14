"""A row is decoded once on a node, however many look at it; what changed is never remembered."""

import attrs
import pytest

from aether.errors import BadInput
from aether.kv import keys
from aether.kv.cached_rows import CachedRows
from aether.kv.commands import Batch, Delete, Put
from aether.kv.decoded_rows import DecodedRows
from aether.kv.key_kinds import Prefix
from aether.model.artifact import Artifact
from aether.model.ids import Revision
from aether.model.rows import DesiredRow

A = Artifact.parse("shop:a:1.0.0")
KEY = keys.desired(A.base)
ROW = DesiredRow(artifact=A, instances=1, blueprint="app")


def counted(prefix):
    """The prefix, with a list of what was decoded under it."""
    decoded = []

    def decode(raw):
        decoded.append(raw)
        return prefix.codec.decode(raw)

    return Prefix(prefix, attrs.evolve(prefix.codec, decode=decode)), decoded


async def test_a_row_is_decoded_once_for_all_that_follow_it(cluster, autojump_clock):
    """Three hundred instances that change five times are looked at by five managers of each node."""
    kv = cluster.kv["a"]
    prefix, decoded = counted(keys.DESIRED)
    readers = [CachedRows(kv, prefix) for _ in range(5)]

    for instances in (1, 2, 3):
        await kv.propose(Batch((), (Put(KEY, attrs.evolve(ROW, instances=instances)),)))
        found = [reader.look() for reader in readers]
        assert [[row.instances for row in rows] for rows in found] == [[instances]] * 5
        assert len({id(rows[0]) for rows in found}) == 1
        assert kv.get(KEY) is found[0][0], "whoever reads one row, too"
        assert next(kv.rows(prefix)) is found[0][0]

    assert len(decoded) == 3


async def test_what_is_gone_or_not_followed_is_not_remembered(cluster, autojump_clock):
    """There are never more values than rows, and entries of user maps are not kept twice."""
    kv = cluster.kv["a"]
    rows = CachedRows(kv, keys.DESIRED)
    await kv.propose(Batch((), (Put(KEY, ROW),)))
    assert rows.look() == (ROW,)
    entry = keys.map_entry("m", b"k")
    await kv.propose(Batch((), (Delete(KEY), Put(entry, b"v"))))

    assert kv.get(entry) == b"v"
    assert kv.get(KEY) is None
    assert rows.look() == ()
    assert len(kv._decoded) == 0


def test_of_a_state_that_was_replaced_nothing_is_remembered():
    """A version names one value in one history; a restored state may have another one."""
    values = DecodedRows()
    values.follow(keys.DESIRED)
    first = values.value(KEY.text, KEY.encode(ROW), Revision(3), KEY.decode)
    assert values.value(KEY.text, b"", Revision(3), KEY.decode) is first
    values.clear()

    other = attrs.evolve(ROW, instances=9)
    assert values.value(KEY.text, KEY.encode(other), Revision(3), KEY.decode) == other


def test_a_row_that_cannot_be_read_is_named_once_until_it_changes(caplog):
    rows = DecodedRows()
    for _ in range(3):
        assert rows.readable("members/a", b"\xc1", Revision(7), KEY.decode) is None
    assert list(rows.unreadable) == ["members/a"]
    assert caplog.text.count("row members/a cannot be read") == 1

    rows.changed(["members/a"])
    assert list(rows.unreadable) == []
    assert rows.readable("members/a", b"\xc1", Revision(8), KEY.decode) is None
    assert caplog.text.count("row members/a cannot be read") == 2
    rows.clear()
    assert list(rows.unreadable) == []


def test_a_malformed_row_is_told_to_each_reader():
    """It is not remembered as if it were a value."""
    values = DecodedRows()
    values.follow(keys.DESIRED)
    for _ in range(2):
        with pytest.raises(BadInput, match="malformed"):
            values.value(KEY.text, b"\xc1", Revision(1), KEY.decode)
    assert len(values) == 0
