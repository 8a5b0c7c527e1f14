"""Backups of a running node: one revision, whatever is written meanwhile; few at a time; nothing held for ever."""

import contextlib
import gc

import pytest

import aether
from aether.errors import Overloaded
from aether.kv import keys
from aether.kv.commands import Batch, Put
from aether.node.backups import BACKUPS_MAX, NodeBackups
from aether.node.refounding import restore
from aether.storage.backup import read_backup

ENTRY = keys.map_entry("m", b"k")


@contextlib.asynccontextmanager
async def backups():
    async with aether.Cluster.open(name="a") as cluster:
        node = cluster._node
        yield cluster, NodeBackups(node.config, node.kv, node.consensus, node._seams)


async def put(cluster, value):
    return await cluster.kv.propose(Batch(changes=(Put(ENTRY, value),)))


async def test_what_is_written_meanwhile_is_not_in_it(tmp_path):
    """Half of a change in a backup would be a state that nobody ever saw."""
    async with backups() as (cluster, source):
        await put(cluster, b"before")
        opened = await source.open()
        parts = iter(opened.parts)
        first = next(parts)
        later = await put(cluster, b"after")
        (tmp_path / "b").write_bytes(first + b"".join(parts))
        uuid = cluster.kv.get(keys.cluster).uuid
    header = read_backup(tmp_path / "b").header
    assert (header.cluster, header.uuid, header.node) == ("aether", uuid, "a")
    assert header.revision == opened.revision < later.revision
    restore(tmp_path / "b", tmp_path / "x", "a")
    async with aether.Cluster.open(name="a", data=tmp_path / "x") as cluster:
        assert cluster.kv.get(ENTRY) == b"before"


async def test_few_are_held_at_a_time_and_an_abandoned_one_is_let_go():
    """A client that vanished must not keep the state of that moment in memory for ever."""
    async with backups() as (_, source):
        held = [await source.open() for _ in range(BACKUPS_MAX)]
        with pytest.raises(Overloaded):
            await source.open()
        b"".join(held.pop().parts)  # read to its end
        held.append(await source.open())
        held.clear()  # never read
        gc.collect()
        for _ in range(BACKUPS_MAX):
            held.append(await source.open())
