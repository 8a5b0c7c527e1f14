"""Writes what this release puts on disks and wires, for every later release to read: `python -m tests.formats.make`.

Into tests/formats/VERSION/: wire.json (handshake, one frame of each message), rows.json (one row of each kind),
data.tar.gz (a data directory with log and snapshot), state.backup. When a version is released; never changed after.
"""

from __future__ import annotations

import json
import re
import sys
import tarfile
import tempfile
from pathlib import Path

import trio
from tests.formats import samples

from aether.cluster.opening import open_node
from aether.kv import keys
from aether.kv.commands import Batch, Put
from aether.kv.key_kinds import Kind
from aether.model.ids import ClusterUuid, Incarnation, NodeId, StoreId
from aether.node.backups import NodeBackups
from aether.node.config import NodeConfig
from aether.node.messages_table import messages_table
from aether.node.seams import Seams
from aether.wire.lane import Lane
from aether.wire.session import AcceptingSession, DiallingSession, Hello, Identity

FOLDER = Path(__file__).parent
ENTRIES = 130  # of a log that is saved after 50: a snapshot, a log behind it
NODE = NodeId("node-1")


def version() -> str:
    pyproject = (FOLDER.parents[1] / "pyproject.toml").read_text()
    return re.search(r'^version = "(.+)"$', pyproject, re.M)[1]  # type: ignore[index]


def identities() -> tuple[Identity, Identity]:
    shared = {"cluster": "shop", "cluster_uuid": ClusterUuid("5e" * 16), "initial": (NodeId("a"), NodeId("b"))}
    return tuple(  # type: ignore[return-value]
        Identity(
            node=NodeId(n), store=StoreId(n * 8), incarnation=Incarnation(n * 4), boots=3, address=f"{n}:8090", **shared
        )
        for n in "ab"
    )


def wire() -> dict[str, object]:
    """Hello and welcome, and for each tag its class, its payload in hex, and what is read from it."""
    dials, accepts = identities()
    dialling = DiallingSession(Hello(dials, NodeId("b"), Lane.CALLS))
    accepting = AcceptingSession(accepts, lambda _: None)
    accepting.feed(dialling.opening())
    table, messages = messages_table(), {}
    for tag, row in sorted(table._by_tag.items()):
        _, payload = table.encode(samples.sample(row.cls), "request-1")
        messages[tag] = {"class": row.cls.__name__, "payload": payload.hex(), "read": repr(table.decode(payload)[0])}
    return {"hello": dialling.opening().hex(), "welcome": accepting.reply.hex(), "messages": messages}


def value_types() -> dict[tuple[str, int], str]:
    """(head, number of parts) of a kind of rows -> the name of its type, as keys.py says it."""
    text = Path(keys.__file__).read_text()
    found = re.findall(r'Kind\("([\w-]+)", \(([^)]*)\), row_codec\((\w+)\)\)', text)
    return {(head, len(list(filter(None, parts.split(","))))): name for head, parts, name in found} | {
        ("maps", 1): "MapRow"
    }


def rows() -> dict[str, object]:
    """For each kind of rows a key, its value in hex, and what is read from it."""
    found, names = {}, value_types()
    for (head, count), kind in keys._BY_SHAPE.items():
        assert isinstance(kind, Kind)
        key = kind.key(*(samples.PARTS[part] for part in kind.parts))
        name = names.get((head, count))
        value = b"value" if name is None else samples.sample({"int": int}.get(name) or getattr(keys, name))
        raw = key.encode(value)
        found[key.text] = {"value": raw.hex(), "read": repr(key.decode(raw))}
    return found


async def state(folder: Path) -> None:
    """data.tar.gz and state.backup, by a node of its own."""
    with tempfile.TemporaryDirectory() as work:
        config = NodeConfig(node=NODE, cluster="shop", data=Path(work) / "data", snapshot_entries=50)
        async with open_node(config, (), (), Seams()) as node:
            await node.ready.wait()
            for number in range(ENTRIES):
                put = Put(keys.map_entry("golden", str(number % 20).encode()), f"value {number}".encode())
                await node.kv.propose(Batch((), (put,)))
            backup = await NodeBackups(config, node.kv, node.consensus, Seams()).open()
            (folder / "state.backup").write_bytes(b"".join(backup.parts))
        with tarfile.open(folder / "data.tar.gz", "w:gz") as archive:
            for path in sorted(config.data.rglob("*")):  # type: ignore[union-attr]
                if path.is_file() and path.name not in ("lock", "admin-token"):
                    archive.add(path, path.relative_to(work))


def main() -> None:
    folder = FOLDER / version()
    if folder.exists():
        sys.exit(f"{folder} is there already: what a released version wrote does not change")
    folder.mkdir()
    (folder / "wire.json").write_text(json.dumps(wire(), indent=1) + "\n")
    (folder / "rows.json").write_text(json.dumps(rows(), indent=1) + "\n")
    trio.run(state, folder)


if __name__ == "__main__":
    main()
