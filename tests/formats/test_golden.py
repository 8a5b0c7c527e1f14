"""What every released version put on disks and wires is read by this one, whole and as the same values.

A node of the version before sends these messages while nodes are updated one by one, and these bytes are on its disk.
"""

import json
import tarfile
from pathlib import Path

import pytest
from tests.formats import make

from aether.cluster.opening import open_node
from aether.kv import keys
from aether.model.features import FEATURE_LEVEL
from aether.model.ids import NodeId
from aether.node.config import NodeConfig
from aether.node.messages_table import messages_table
from aether.node.refounding import restore
from aether.node.seams import Seams
from aether.storage.backup import read_backup
from aether.storage.examination import examine
from aether.wire.lane import Lane
from aether.wire.session import AcceptingSession, DiallingSession, Hello

VERSIONS = sorted(path for path in make.FOLDER.iterdir() if path.is_dir() and path.name[0].isdigit())
every = pytest.mark.parametrize("folder", VERSIONS, ids=lambda path: path.name)


def stored(folder, name):
    return json.loads((folder / name).read_text())


def test_there_are_bytes_of_this_version():
    """A version without them could break the next one, and nobody would know."""
    assert make.version() in [path.name for path in VERSIONS]


@every
def test_every_message_is_read_as_it_was_meant(folder):
    table = messages_table()
    for tag, message in stored(folder, "wire.json")["messages"].items():
        read, request_id = table.decode(bytes.fromhex(message["payload"]))
        assert repr(read) == message["read"], f"tag {tag}, {message['class']}"
        assert request_id == "request-1"


def test_this_version_still_spells_its_messages_so():
    """And each has its sample: a new message, or a new field, has to be seen here before it is released."""
    assert make.wire()["messages"] == {
        int(tag): message for tag, message in stored(make.FOLDER / make.version(), "wire.json")["messages"].items()
    }


@every
def test_the_handshake_of_then_is_understood_on_either_side(folder):
    was = stored(folder, "wire.json")
    dials, accepts = make.identities()
    accepting = AcceptingSession(accepts, lambda _: None)
    hello = accepting.feed(bytes.fromhex(was["hello"]))
    assert (hello.identity.node, hello.identity.boots, hello.lane) == ("a", 3, Lane.CALLS)
    assert hello.identity.initial == dials.initial

    dialling = DiallingSession(Hello(dials, NodeId("b"), Lane.CALLS))
    dialling.opening()
    welcome = dialling.feed(bytes.fromhex(was["welcome"]))
    assert welcome.identity.node == "b"
    assert dials.version_min <= welcome.version <= dials.version_max


@every
def test_every_row_is_read_as_it_was_meant(folder):
    for text, row in stored(folder, "rows.json").items():
        key = keys.parse(text)
        assert key.text == text
        assert repr(key.decode(bytes.fromhex(row["value"]))) == row["read"], text


def test_this_version_still_spells_its_rows_so():
    assert make.rows() == stored(make.FOLDER / make.version(), "rows.json")


def unpacked(folder, tmp_path):
    with tarfile.open(folder / "data.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "data"


def check_entries(node):
    found = {key: node.kv.get(keys.map_entry("golden", key)) for key in KEYS}
    assert found == {key: f"value {120 + n if n < 10 else 100 + n}".encode() for n, key in enumerate(KEYS)}


KEYS = [str(number).encode() for number in range(20)]


@every
async def test_a_data_directory_is_taken_over(folder, tmp_path):
    """With its log, its snapshot, and its identity: `aether node` of this version starts on it, and writes on."""
    data = unpacked(folder, tmp_path)
    assert examine(data).is_sound
    config = NodeConfig(node=make.NODE, cluster="shop", data=data)
    async with open_node(config, (), (), Seams()) as node:
        await node.ready.wait()
        check_entries(node)
        assert (node.kv.get(keys.feature_level) or 1) <= FEATURE_LEVEL
    async with open_node(config, (), (), Seams()) as node:  # what this version wrote behind it is read, too
        await node.ready.wait()
        check_entries(node)


@every
def test_a_directory_of_then_has_a_snapshot_and_a_log(folder, tmp_path):
    """Else the test before would prove half of what it says."""
    data = unpacked(folder, tmp_path)

    assert list((data / "snapshots").glob("*.snapshot"))
    assert list((data / "wal").glob("*.wal"))


@every
async def test_a_backup_is_restored(folder, tmp_path):
    assert read_backup(folder / "state.backup").header.cluster == "shop"
    restore(folder / "state.backup", tmp_path / "data", make.NODE, "shop")
    async with open_node(NodeConfig(node=make.NODE, cluster="shop", data=tmp_path / "data"), (), (), Seams()) as node:
        await node.ready.wait()
        check_entries(node)


def test_a_released_version_is_not_written_again(monkeypatch, tmp_path):
    monkeypatch.setattr(make, "FOLDER", tmp_path)
    monkeypatch.setattr(make, "version", lambda: "0.1.0")
    (tmp_path / "0.1.0").mkdir()
    with pytest.raises(SystemExit, match="there already"):
        make.main()


def test_the_folder_is_small():
    """Each version adds one: kilobytes, not megabytes."""
    for folder in VERSIONS:
        assert sum(path.stat().st_size for path in Path(folder).iterdir()) < 400_000
