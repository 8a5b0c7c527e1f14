"""A log is continued by those who began it."""

import pytest

import aether
from aether.node.config import NodeConfig
from aether.node.founders import FOUNDERS_FILE, check_founders
from aether.node.seams import open_storage


def test_the_voters_of_the_first_start_are_remembered(tmp_path):
    check_founders(tmp_path, ["b", "a"])
    check_founders(tmp_path, ["a", "b"])

    with pytest.raises(aether.IdentityMismatch, match="voters a, b, and is started with a, b, c"):
        check_founders(tmp_path, ["a", "b", "c"])


def test_golden_founders(tmp_path):
    """The bytes as they were when they were defined: a change of them needs a new format version."""
    check_founders(tmp_path, ["b", "a"])

    assert (tmp_path / FOUNDERS_FILE).read_text() == (
        '{\n "crc32": 3847170450,\n "format": 1,\n "voters": [\n  "a",\n  "b"\n ]\n}\n'
    )


def test_one_changed_letter_of_the_record_is_noticed(tmp_path):
    """An operator who edits it by hand would make a voter of somebody who has no vote."""
    check_founders(tmp_path, ["a", "b"])
    path = tmp_path / FOUNDERS_FILE
    path.write_text(path.read_text().replace('"b"', '"c"'))

    with pytest.raises(aether.StorageCorrupt, match="checksum"):
        check_founders(tmp_path, ["a", "c"])


@pytest.mark.parametrize("text", ["", "{", "[]", '{"voters": 3}', '{"voters": [3]}'])
def test_a_damaged_record_is_not_taken_for_a_first_start(tmp_path, text):
    (tmp_path / FOUNDERS_FILE).write_text(text)

    with pytest.raises(aether.StorageCorrupt, match="founding voters"):
        check_founders(tmp_path, ["a"])


@pytest.mark.parametrize(("before", "after"), [((), ("b", "c")), (("b", "c"), ())])
def test_a_node_is_not_started_with_other_voters_on_an_old_log(tmp_path, before, after):
    """Alone on a log of three it would be its own majority; beside two empty ones it would be outvoted."""

    def config(others):
        return NodeConfig(node="a", peers=dict.fromkeys(others, "127.0.0.1:1"), port=0, data=tmp_path / "a")

    open_storage(config(before)).storage.close()

    with pytest.raises(aether.IdentityMismatch, match="--peers"):
        open_storage(config(after))
    open_storage(config(before)).storage.close()  # and the refused attempt left no lock behind
