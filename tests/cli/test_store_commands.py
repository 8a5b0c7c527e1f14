"""`aether wal`, `recover`, `backup`, `restore` and `kv`, as an operator types them: on real nodes and real files."""

import contextlib
import json
import os
import subprocess
import sys

import pytest
import trio

import aether
from aether.cli.main import run
from aether.storage.backup import read_backup
from aether.storage.disk import DiskStorage


@contextlib.asynccontextmanager
async def node(path=None):
    async with aether.Cluster.open(name="a", data=path, management=0) as cluster:
        yield cluster.addresses.management_address


async def aether_run(address, *words, token=None):
    """Exit code, standard output and standard error of one command in a process of its own."""
    line = [sys.executable, "-m", "aether", *words]
    environment = {**os.environ, **({"AETHER_CONNECT": address} if address else {})}
    if token:
        environment["AETHER_TOKEN"] = token
    done = await trio.run_process(line, capture_stdout=True, capture_stderr=True, check=False, env=environment)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.fixture
def stopped(tmp_path, monkeypatch):
    """The data directory of a node that wrote three entries and stopped."""
    from aether.consensus.entry import EntryKind, new_entry
    from aether.consensus.values import HardState, StorageWrite

    path = tmp_path / "a"
    disk = DiskStorage(path, "test", "a", segment_bytes=4096)
    disk.load()
    entries = tuple(new_entry(index, 1, EntryKind.NO_OP, b"") for index in (1, 2, 3))
    disk.write([StorageWrite(1, HardState(2, "a", 2), entries)])
    disk.close()
    return path


def damage(path):
    segment = path / "wal" / "0000000000000001.wal"
    raw = bytearray(segment.read_bytes())
    raw[90] ^= 1
    segment.write_bytes(raw)


# --- wal --------------------------------------------------------------------------------------------------------------


def test_inspect_shows_what_an_operator_compares(stopped, capsys):
    assert run(["wal", "inspect", str(stopped)]) == 0
    printed = capsys.readouterr().out
    assert "COMMITINDEX" in printed
    assert "no_op" in printed
    assert "sound: 1 segments, 0 snapshots, entries 1 to 3" in printed
    assert run(["wal", "inspect", str(stopped), "--json", "--from", "2", "--limit", "1"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [entry["index"] for entry in answer["entries"]] == [2]
    assert (answer["term"], answer["vote"], answer["lastIndex"], answer["sound"]) == (2, "a", 3, True)
    assert answer["segments"][0]["sizeBytes"] == 4096
    assert run(["wal", "inspect", str(stopped), "-o", "jsonl"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_verify_ends_with_1_and_says_where_and_what_to_do(stopped, capsys):
    assert run(["wal", "verify", str(stopped)]) == 0
    assert "sound" in capsys.readouterr().out
    damage(stopped)
    assert run(["wal", "verify", str(stopped)]) == 1
    printed = capsys.readouterr().out
    assert "DAMAGED" in printed
    assert "0000000000000001.wal at byte" in printed
    assert "do: keep a copy" in printed
    assert run(["wal", "verify", str(stopped), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["findings"][0]["isDamage"]


def test_a_damaged_record_of_founders_is_found_too(stopped, capsys):
    (stopped / "founders.json").write_text("{}")
    assert run(["wal", "verify", str(stopped)]) == 1
    assert "founding voters" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["inspect", "verify"])
def test_a_running_nodes_directory_is_refused(stopped, capsys, command):
    disk = DiskStorage(stopped, "test", "a", segment_bytes=4096)
    assert run(["wal", command, str(stopped)]) == 4
    printed = capsys.readouterr()
    assert "a node runs on" in printed.err
    assert "stop the node" in printed.err
    assert printed.out == ""
    disk.close()


# --- recover ----------------------------------------------------------------------------------------------------------


def test_a_recovery_needs_the_flag_and_says_what_it_means(stopped, capsys):
    before = (stopped / "identity.json").read_bytes()
    assert run(["recover", str(stopped)]) == 4
    said = capsys.readouterr().err
    for words in (
        "every entry up to 3",
        "it knows 2 as committed",
        "loses",
        "--yes-i-lost-the-quorum",
        "nothing was changed",
    ):
        assert words in said
    assert (stopped / "identity.json").read_bytes() == before
    assert run(["recover", str(stopped), "--yes-i-lost-the-quorum"]) == 0
    printed = capsys.readouterr()
    assert "1000000003" in printed.out
    assert "never start the other nodes on their old data directories" in printed.err
    assert (stopped / "identity.json").read_bytes() != before


@pytest.mark.parametrize("flags", [[], ["--yes-i-lost-the-quorum"]])
def test_a_recovery_of_a_damaged_directory_or_a_running_node_is_refused(stopped, capsys, flags):
    disk = DiskStorage(stopped, "test", "a", segment_bytes=4096)
    assert run(["recover", str(stopped), *flags]) == 4
    disk.close()
    damage(stopped)
    assert run(["recover", str(stopped), *flags]) == 1
    assert "keep a copy" in capsys.readouterr().err
    assert run(["recover", str(stopped / "wal"), *flags]) == 2


# --- backup and restore -----------------------------------------------------------------------------------------------


async def test_a_backup_of_a_running_node_becomes_another_cluster(tmp_path):
    """From the working cluster to a file to a cluster, with what was written and nothing of who was there."""
    file, other = tmp_path / "backup", tmp_path / "other"
    async with node() as address:
        assert (await aether_run(address, "kv", "put", "maps/stock/apple", "5"))[0] == 0
        code, printed, _ = await aether_run(address, "backup", str(file), "-o", "json")
        assert code == 0
        assert json.loads(printed)["cluster"] == "aether"
        assert file.stat().st_mode & 0o777 == 0o600
        whole = file.read_bytes()
        code, _, said = await aether_run(address, "backup", str(file))
        assert (code, file.read_bytes()) == (4, whole)
        assert "--force" in said
        await aether_run(address, "kv", "put", "maps/stock/apple", "6")
        assert (await aether_run(address, "backup", str(file), "--force"))[0] == 0
        code, _, said = await aether_run(address, "backup", str(tmp_path / "x"), token="wrong")
        assert code == 4
        assert "token" in said
        assert sorted(path.name for path in tmp_path.iterdir()) == ["backup"]

    revision = read_backup(file).header.revision
    code, _, said = await aether_run("", "restore", str(file), "--data-dir", str(other), "--node-id", "a")
    assert code == 0
    assert "aether node --node-id a" in said
    async with node(other) as address:
        code, printed, _ = await aether_run(address, "kv", "get", "maps/stock/apple", "-o", "json")
        answer = json.loads(printed)
        assert (answer["value"], code) == (6, 0)
        assert answer["version"] <= revision < answer["revision"]
        code, printed, _ = await aether_run(address, "kv", "list", "members/", "-o", "jsonl")
        assert [json.loads(line)["key"] for line in printed.splitlines()] == ["members/a"]
    code, _, said = await aether_run("", "restore", str(file), "--data-dir", str(other), "--node-id", "a")
    assert code == 4
    assert "empty" in said


async def test_without_a_majority_a_backup_names_the_option_that_takes_what_there_is(tmp_path):
    """Asked for in an emergency: the node's own words (a parameter of a query) are none that can be typed."""
    file = tmp_path / "backup"
    async with aether.Cluster.local(nodes=3, http=True) as cluster:
        first, *others = cluster.nodes
        for other in others:
            await cluster.kill(other.node)
        address = first.addresses.management_address
        code, _, said = await aether_run(address, "backup", str(file))
        assert code == 4
        assert "no majority" in said
        assert "--local" in said
        assert "consistent" not in said
        assert not file.exists()
        assert (await aether_run(address, "backup", str(file), "--local"))[0] == 0


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["restore", "/no/such/file", "--data-dir", "x", "--node-id", "a"], 2, "cannot be read"),
        (["restore", "pyproject.toml", "--data-dir", "x", "--node-id", "a"], 2, "no backup of aether"),
        (["restore", "pyproject.toml", "--data-dir", "x", "--node-id", "a b"], 2, "no node id"),
        (["restore", "pyproject.toml", "--node-id", "a"], 2, "--data-dir"),
        (["backup", "/no/such/directory/file"], 2, "no directory"),
        (["backup"], 2, "FILE"),
        (["backup", "x", "-c", "127.0.0.1:1"], 3, "no node answers"),
        (["kv", "put", "maps/m/k"], 2, "give VALUE"),
        (["kv", "put", "maps/m/k", "Ann"], 2, "--text"),
        (["kv", "put", "maps/m/k", "1", "--file", "x"], 2, "give VALUE"),
        (["kv", "put", "maps/m/k", "--file", "/no/such/file"], 2, "cannot be read"),
        (["kv", "list", "--limit", "0"], 2, "--limit"),
        (["kv", "watch", "--since", "-1"], 2, "--since"),
        (["wal", "verify"], 2, "DIRECTORY"),
        (["wal", "verify", "/no/such/directory"], 2, "nothing at that path"),
        (["recover", "/no/such/directory"], 2, "nothing at that path"),
    ],
)
def test_a_hurried_operator_is_told_what_is_wrong(words, code, says, capsys):
    assert run(words) == code
    said = capsys.readouterr().err
    assert says in said
    assert "Traceback" not in said


def test_a_full_disk_says_what_to_do(stopped, capsys, monkeypatch):
    """The command has ended: nothing goes on by itself."""
    import errno

    from aether.storage import files

    def no_space(path, size):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(files, "create_zeroed", no_space)
        assert run(["recover", str(stopped), "--yes-i-lost-the-quorum"]) == 1
    assert "free some, then run the same command again" in capsys.readouterr().err
    assert run(["wal", "verify", str(stopped)]) == 1
    assert "interrupted" in capsys.readouterr().out
    assert run(["recover", str(stopped), "--yes-i-lost-the-quorum"]) == 0
    assert run(["wal", "verify", str(stopped)]) == 0


# --- kv ---------------------------------------------------------------------------------------------------------------


async def test_rows_are_read_written_compared_and_deleted():
    async with node() as address:
        assert (await aether_run(address, "kv", "put", "maps/stock/a b", "--text", "Ann"))[0] == 0
        assert (await aether_run(address, "kv", "get", "maps/stock/a b"))[1] == '"Ann"\n'
        code, printed, _ = await aether_run(address, "kv", "list", "maps/", "-o", "jsonl")
        (row,) = [json.loads(line) for line in printed.splitlines()]
        assert row["key"] == "maps/stock/a%20b"
        version = str(row["version"])
        code, _, said = await aether_run(address, "kv", "put", "maps/stock/a b", "7", "--if-version", "1")
        assert code == 4
        assert "read it again" in said
        assert (await aether_run(address, "kv", "put", "maps/stock/a b", "7", "--if-version", version))[0] == 0
        assert (await aether_run(address, "kv", "delete", "maps/stock/a b"))[0] == 0
        assert (await aether_run(address, "kv", "get", "maps/stock/a b"))[0] == 1
        code, _, said = await aether_run(address, "kv", "put", "cluster", '{"uuid": "u", "name": "n"}')
        assert code == 4
        assert "--force" in said
        assert (await aether_run(address, "kv", "put", "maps/m/k", "1", token="wrong"))[0] == 4


HEARS_CTRL_C = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"  # ignored where tests run behind
    "from aether.cli.main import main; main()"
)


async def test_a_watch_prints_changes_and_says_how_to_go_on():
    async with node() as address:
        watch = ["kv", "watch", "maps/", "--since", "0", "-o", "jsonl", "-c", address]
        line = [sys.executable, "-c", HEARS_CTRL_C, *watch]
        process = await trio.lowlevel.open_process(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        printed = b""
        await aether_run(address, "kv", "put", "maps/m/k", '{"n": 1}')
        while b"\n" not in printed:
            printed += await process.stdout.receive_some()
        change = json.loads(printed)
        assert (change["key"], change["value"], change["deleted"]) == ("maps/m/k", {"n": 1}, False)
        process.send_signal(2)
        assert await process.wait() == 130
        assert b"--since" in await process.stderr.receive_some()
        code, _, said = await aether_run(address, "kv", "watch", "--since", "99999999")
        assert code == 1
        assert "ahead" in said
