"""A log is continued by those who began it."""

import pytest

import aether
from aether.node.boots import BOOTS_FILE, count_boot
from aether.node.config import NodeConfig
from aether.node.founders import FOUNDERS_FILE, check_founders, founders_of
from aether.node.seams import open_storage


def test_the_voters_of_the_first_start_are_remembered(tmp_path):
    """Later options are hints where to dial, and change nobody's vote."""
    assert founders_of(tmp_path, ["b", "a"]) == ("a", "b")
    assert founders_of(tmp_path, ["a", "b", "c"]) == ("a", "b")
    assert founders_of(tmp_path, []) == ("a", "b")


@pytest.mark.parametrize(
    ("founders", "told", "joins", "refusal"),
    [
        ("ab", "ba", False, ""),
        ("ab", "abc", False, "founded by the voters a, b, and is started with a, b, c"),
        ("ab", "a", False, "founded by the voters a, b, and is started with a"),  # it would be its own majority
        ("a", "abc", False, "founded by the voters a, and is started with a, b, c"),  # two empty ones would outvote it
        ("ab", "", True, ""),  # where to find the others
        ("a", "", True, "has founded a cluster of its own"),
        ("", "", True, ""),
        ("", "a", False, ""),  # neither --peers nor --join: its own store knows
        ("", "ab", False, "made to join a cluster"),
    ],
)
def test_who_is_told_of_other_founders_is_refused_until_the_membership_has_changed(founders, told, joins, refusal):
    """Afterwards the log says who votes, and old options as well as new ones are harmless."""
    check_founders("a", tuple(founders), tuple(told), has_changed=True, joins=joins)
    if not refusal:
        check_founders("a", tuple(founders), tuple(told), has_changed=False, joins=joins)
        return

    with pytest.raises(aether.IdentityMismatch, match=refusal):
        check_founders("a", tuple(founders), tuple(told), has_changed=False, joins=joins)


def test_golden_founders(tmp_path):
    """The bytes as they were when they were defined: a change of them needs a new format version."""
    founders_of(tmp_path, ["b", "a"])

    assert (tmp_path / FOUNDERS_FILE).read_text() == (
        '{\n "crc32": 3847170450,\n "format": 1,\n "voters": [\n  "a",\n  "b"\n ]\n}\n'
    )


def test_one_changed_letter_of_the_record_is_noticed(tmp_path):
    """An operator who edits it by hand would make a voter of somebody who has no vote."""
    founders_of(tmp_path, ["a", "b"])
    path = tmp_path / FOUNDERS_FILE
    path.write_text(path.read_text().replace('"b"', '"c"'))

    with pytest.raises(aether.StorageCorrupt, match="checksum"):
        founders_of(tmp_path, ["a", "c"])


@pytest.mark.parametrize("text", ["", "{", "[]", '{"voters": 3}', '{"voters": [3]}'])
def test_a_damaged_record_is_not_taken_for_a_first_start(tmp_path, text):
    (tmp_path / FOUNDERS_FILE).write_text(text)

    with pytest.raises(aether.StorageCorrupt, match="founding voters"):
        founders_of(tmp_path, ["a"])


async def test_a_node_is_not_started_with_other_voters_on_an_old_log(tmp_path):
    """Alone on a log of three it would be its own majority."""
    three = NodeConfig(node="a", peers=dict.fromkeys("bc", "127.0.0.1:1"), port=0, data=tmp_path / "a")
    opened = open_storage(three)
    opened.storage.close()

    with pytest.raises(aether.IdentityMismatch, match="--peers that name a, b, c"):
        async with aether.Cluster.open(name="a", data=tmp_path / "a"):
            pytest.fail("it opened")
    opened = open_storage(three)  # and the refused attempt left no lock behind
    opened.storage.close()
    assert opened.founders == ("a", "b", "c")


# --- how often a store was opened -------------------------------------------------------------------------------------


def test_each_start_has_a_number_of_its_own(tmp_path):
    """An older copy of a disk counts on from where it was copied, and so comes too late."""
    config = NodeConfig(node="a", data=tmp_path / "a")
    boots = []
    for _ in range(3):
        opened = open_storage(config)
        boots.append(opened.boots)
        opened.storage.close()

    assert boots == [1, 2, 3]


def test_golden_boots(tmp_path):
    assert count_boot(tmp_path) == 1

    assert (tmp_path / BOOTS_FILE).read_text() == '{\n "boots": 1,\n "crc32": 1343539372,\n "format": 1\n}\n'


@pytest.mark.parametrize("text", ["", "{", '{"boots": 3}', "[]"])
def test_a_damaged_count_is_not_begun_anew(tmp_path, text):
    (tmp_path / BOOTS_FILE).write_text(text)

    with pytest.raises(aether.StorageCorrupt, match="count of starts"):
        count_boot(tmp_path)
