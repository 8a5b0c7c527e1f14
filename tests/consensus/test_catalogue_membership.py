"""Bugs of other implementations, by their number in docs/design/catalogue.md: who belongs to the group."""

from __future__ import annotations

import itertools
from zlib import crc32

import pytest

from aether.consensus.entry import EntryKind
from aether.consensus.membership import MembershipChange
from aether.consensus.messages import AppendEntries, SnapshotChunk, VoteReply
from aether.consensus.quorum import Configuration
from aether.consensus.values import Role
from aether.errors import Conflict, NotLeader, Overloaded


def changes_in(group, name):
    """Indexes of the configuration entries in the log of a node."""
    return [e.index for e in group[name]._log.entries() if e.kind is EntryKind.CONFIGURATION]


def test_b01_no_change_before_an_entry_of_the_own_term_is_committed(make_group):
    """Two leaders in a row begin a change each, and neither knows of the other's: their majorities may not meet.

    The second one does not get so far: before its own no-op is committed it cannot know which changes survive.
    """
    group = make_group("abcd")
    group.elect("a")
    group.cut = {(one, other) for one in "abcd" for other in "abcd" if "a" in (one, other)}
    group.change("a", remove="b")
    group.stabilize()
    for name in "bcd":
        group.tick(name, 10)
    group.campaign("b")
    while group["b"].role is not Role.LEADER:
        group.deliver()
    change = MembershipChange(remove=("a",))
    with pytest.raises(NotLeader):
        group["b"].propose_change(change, group["b"].configuration_index)
    assert changes_in(group, "b") == []
    group.stabilize()
    group["b"].propose_change(change, group["b"].configuration_index)
    assert changes_in(group, "b") == [3]


def test_b01_even_both_changes_at_once_have_no_majorities_that_miss_each_other():
    """The two configurations of the story, joint as they are: no two quorums of the four nodes are disjoint."""
    founding = Configuration(("a", "b", "c", "d"))
    for one, other in itertools.combinations("abcd", 2):
        first = Configuration(tuple(sorted({*"abcd"} - {one})), outgoing=founding.voters)
        second = Configuration(tuple(sorted({*"abcd"} - {other})), outgoing=founding.voters)
        sets = [set(s) for n in range(5) for s in itertools.combinations("abcd", n)]
        for some, others in itertools.product(sets, sets):
            if first.has_quorum(some) and second.has_quorum(others):
                assert some & others, (first, second)


STEPS = 12
"""Deliveries after which the change of the story is over: more than it has messages in a row."""


@pytest.mark.parametrize("steps", range(STEPS))
@pytest.mark.parametrize("survivor", "bc")
def test_b21_a_change_survives_a_crash_of_everybody_at_every_step(make_group, steps, survivor):
    """Everybody crashes after so many deliveries; restarted nodes know the configuration that their log holds.

    Whoever leads then ends the change or never heard of it: exactly one outcome, at every node, both halves used.
    """
    group = make_group("abc")
    group.elect("a")
    group.join("d")
    group.change("a", add="d")
    group.stabilize()
    group.change("a", promote="d", demote="b")
    for _ in range(steps):
        group.deliver()
    names = "abcd"
    before = {name: (group[name].configuration, group[name].configuration_index) for name in names}
    for name in names:
        group.crash(name)
    for name in names:
        group.start(name)
        assert (group[name].configuration, group[name].configuration_index) == before[name]
    if group[survivor].configuration.is_joint:
        assert set(group[survivor].voters) == {*"abcd"}
    group.campaign(survivor)
    group.stabilize()
    leaders = [name for name in names if group[name].role is Role.LEADER]
    if not leaders:  # the survivor was behind, or votes no more
        for name in names:
            group.tick(name, 10)
        group.elect("a")
        leaders = ["a"]
    group.tick(leaders[0])
    group.stabilize()
    outcomes = {(group[name].configuration.voters, group[name].configuration.is_joint) for name in names}
    assert outcomes in ({(("a", "c", "d"), False)}, {(("a", "b", "c"), False)})


def test_b21_both_halves_decide_after_a_restart(make_group):
    """A candidate whose log holds the joint entry, restarted, needs the future half and the present one."""
    for granted, leads in (("de", False), ("bc", False), ("bd", True)):
        group = make_group("abc")
        group.elect("a")
        group.join("d")
        group.join("e")
        group.change("a", add="de")
        group.stabilize()
        group.change("a", promote="de", remove="bc")
        group.crash("a")
        group.start("a")
        group.campaign("a")
        for peer in "bcde":
            group["a"].step(peer, VoteReply(term=1, granted=True, pre=True, campaign=1))
        group.drive("a")
        for peer in granted:
            group["a"].step(peer, VoteReply(term=2, granted=True, campaign=2))
        assert (group["a"].role is Role.LEADER) is leads, granted


def test_b22_a_joint_configuration_is_left_once(make_group):
    """Acknowledgements, heartbeats and reads go on while the end of the change is under way: one entry ends it."""
    group = make_group("abc")
    group.elect("a")
    group.change("a", demote="c")
    for _ in range(4):
        group.deliver("a", "b")
        group.deliver("b", "a")
        for _ in range(3):
            group["a"].ready()
            group.tick("a")
    group.stabilize()
    assert changes_in(group, "a") == [2, 3]
    assert group["a"].configuration == Configuration(("a", "b"), learners=("c",))


def test_b22_the_next_leader_leaves_a_joint_configuration_that_it_finds(make_group):
    """The first leader crashed between the two entries. Its successor ends the change, once its own entry stands."""
    group = make_group("abcd")
    group.elect("a")
    group.change("a", demote="d")
    group.deliver("a", "b")
    group.take()
    group.crash("a")
    for name in "bcd":
        group.tick(name, 10)
    group.elect("b")
    assert changes_in(group, "b") == changes_in(group, "c") == [2, 4]
    assert group["c"].configuration == Configuration(("a", "b", "c"), learners=("d",))


def test_b22_a_full_log_does_not_keep_a_change_from_ending(make_group):
    """The end of a change is no proposal of a client: back-pressure must not refuse it, or nobody would ask again."""
    group = make_group("abc", uncommitted_bytes_max=10)
    group.elect("a")
    group.propose("a", "x" * 100)
    group.change("a", demote="c")
    group.deliver("a", "b")
    with pytest.raises(Overloaded):
        group.propose("a", "y")
    group.deliver("b", "a")
    assert changes_in(group, "a") == [3, 4]


def snapshot_chunk(configuration, *, index, term):
    return SnapshotChunk(
        term=term,
        index=index,
        snapshot_term=term,
        configuration=configuration,
        configuration_index=index - 1,
        offset=0,
        total_bytes=2,
        checksum=crc32(b"st"),
        chunk=b"st",
    )


def test_b23_a_snapshot_brings_its_own_membership(make_group):
    """The log that it replaces held another configuration, not committed: votes and majorities are the snapshot's."""
    group = make_group("abc")
    group.elect("a")
    group.cut = {("a", "b"), ("a", "c")}
    group.change("a", remove="b")
    group.take()
    assert group["a"].configuration.is_joint
    arriving = Configuration(("a", "c", "d", "e", "f"))
    group["a"].step("c", snapshot_chunk(arriving, index=9, term=3))
    group.drive("a")
    assert (group["a"].configuration, group["a"].configuration_index) == (arriving, 8)
    assert group["a"].voters == ("a", "c", "d", "e", "f")
    group.crash("a")
    assert group.start("a").configuration == arriving
    group.campaign("a")
    assert {to for _, to, _ in group.take("a")} == {*"cdef"}


def test_b41_a_change_that_was_cut_off_leaves_nothing_behind(make_group, entries_of):
    """The new leader's entries replace it: the old configuration counts again, in memory and after a restart."""
    group = make_group("abc")
    group.elect("a")
    group.cut = {("a", "b"), ("a", "c")}
    group.change("a", remove="b")
    group.propose("a", "x")
    assert (group["a"].configuration_index, group["a"].configuration.voters) == (2, ("a", "c"))
    for entries in (entries_of(2, start=2), entries_of(2, 2, start=2)):
        message = AppendEntries(term=2, prev_index=1, prev_term=1, commit_index=1, entries=entries)
        group["a"].step("b", message)
        group.drive("a")
        assert (group["a"].configuration_index, group["a"].configuration) == (0, Configuration(("a", "b", "c")))
    group.crash("a")
    assert group.start("a").configuration == Configuration(("a", "b", "c"))


def test_b41_a_change_is_possible_again_when_the_former_was_cut_off(make_group):
    """The guard "one change at a time" must not remember an entry that is gone."""
    group = make_group("abc")
    group.elect("a")
    group.cut = {(one, other) for one in "abc" for other in "abc" if "a" in (one, other)}
    group.change("a", remove="b")
    group.stabilize()
    with pytest.raises(Conflict, match="under way"):
        group.change("a", remove="c")
    for name in "bc":
        group.tick(name, 10)
    group.elect("b")
    group.cut.clear()
    group.tick("b")
    group.stabilize()
    group["b"].transfer("a")
    group.stabilize()
    group.change("a", demote="c")
    group.stabilize()
    assert group["b"].configuration == Configuration(("a", "b"), learners=("c",))
