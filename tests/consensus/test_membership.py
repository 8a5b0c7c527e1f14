"""From one configuration to the next: every possible change, and what is refused."""

from __future__ import annotations

import itertools

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.consensus.membership import (
    Configurations,
    MembershipChange,
    configuration_of,
    decode_configuration,
    encode_configuration,
    next_configuration,
    plain_configuration,
)
from aether.consensus.quorum import Configuration
from aether.errors import BadInput, Conflict
from aether.model.ids import NodeId

NODES = [NodeId(f"n{number}") for number in range(6)]


@st.composite
def configurations(draw):
    """Any that is not joint."""
    names = draw(st.permutations(NODES))
    voters = draw(st.integers(1, 5))
    learners = draw(st.integers(0, len(names) - voters))
    return Configuration(tuple(names[:voters]), learners=tuple(names[voters : voters + learners]))


@st.composite
def changes(draw):
    """Any, most of them possible for some configuration."""
    kinds = draw(st.lists(st.sampled_from(["add", "promote", "demote", "remove", None]), min_size=6, max_size=6))
    return MembershipChange(
        **{
            kind: tuple(node for node, chosen in zip(NODES, kinds, strict=True) if chosen == kind)
            for kind in ("add", "promote", "demote", "remove")
        }
    )


@given(configurations(), changes())
def test_a_change_does_what_it_says_or_is_refused(now, change):
    """Nobody appears, vanishes or votes but by a change that says so, and somebody always votes."""
    try:
        then = next_configuration(now, change)
    except BadInput:
        return
    end = then.left() if then.is_joint else then
    assert set(end.voters) == (set(now.voters) | set(change.promote)) - set(change.demote) - set(change.remove)
    members = (set(now.members()) | set(change.add)) - set(change.remove)
    assert set(end.members()) == members
    assert end.voters
    assert not end.is_joint


@given(configurations(), changes(), st.sets(st.sampled_from(NODES)), st.sets(st.sampled_from(NODES)))
def test_two_majorities_of_neighbouring_configurations_always_meet(now, change, some, others):
    """Else two leaders of one term could each commit (dissertation 4.3)."""
    try:
        then = next_configuration(now, change)
    except BadInput:
        return
    steps = [now, then, then.left()] if then.is_joint else [now, then]
    for before, after in itertools.pairwise(steps):
        if before.has_quorum(some) and after.has_quorum(others):
            assert some & others, f"{before} and {after} decide without each other"


@given(configurations(), changes())
def test_a_configuration_survives_its_spelling(now, change):
    """Entries, snapshots and messages carry it."""
    for configuration in (now, _joint(now, change)):
        assert decode_configuration(encode_configuration(configuration)) == configuration
        assert configuration_of(plain_configuration(configuration)) == configuration


def _joint(now, change):
    try:
        return next_configuration(now, change)
    except BadInput:
        return now


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (MembershipChange(), "changes nothing"),
        (MembershipChange(add=("a",)), "a is a member already"),
        (MembershipChange(promote=("a",)), "a is no learner; the learners are w"),
        (MembershipChange(demote=("w",)), "w is no voter; the voters are a, b"),
        (MembershipChange(remove=("x",)), "x is no member; the members are a, b, w"),
        (MembershipChange(promote=("w",), remove=("w",)), "each node may stand in it once"),
        (MembershipChange(remove=("a",), demote=("b",)), "no voter would be left"),
    ],
)
def test_an_impossible_change_says_why(change, why):
    """The operator mistyped a name, or looked at an old list."""
    with pytest.raises(BadInput, match=why):
        next_configuration(Configuration(("a", "b"), learners=("w",)), change)


def test_one_change_at_a_time():
    """A second one on top of a joint configuration has no safe meaning."""
    with pytest.raises(Conflict, match="under way"):
        next_configuration(Configuration(("a", "b"), outgoing=("a",)), MembershipChange(add=("c",)))


@pytest.mark.parametrize(
    "plain",
    [
        None,
        [],
        [["a"], [], []],
        [["a"], [], [], [], []],
        [["a", "a"], [], [], []],
        [["a"], [], ["a"], []],
        [["a"], ["b"], [], ["c"]],
        [["a", "b"], ["b"], [], ["b"]],
        [["-"], [], [], []],
        [[1], [], [], []],
        ["a", [], [], []],
    ],
)
def test_a_malformed_configuration_is_refused(plain):
    """It arrives from the network, and is believed by majorities."""
    with pytest.raises(BadInput):
        decode_configuration(msgpack.packb(plain))


def test_the_newest_configuration_is_in_force_until_its_entry_is_cut_off():
    """Dissertation 4.1: on append, committed or not; a truncated one leaves nothing behind."""
    one, two, three = (Configuration((name,)) for name in "abc")
    known = Configurations(0, one)
    known.appended(4, encode_configuration(two))
    known.appended(9, encode_configuration(three))
    assert (known.current, known.index) == (three, 9)
    assert known.at(8) == (4, two)
    known.truncated(8)
    assert (known.current, known.index) == (two, 4)
    known.compacted(6)
    assert known.at(6) == (4, two)
    with pytest.raises(AssertionError, match="compacted"):
        known.at(3)
    known.restarted(20, one)
    assert (known.current, known.index) == (one, 20)


def test_an_entry_that_the_snapshot_covers_changes_nothing():
    """The log may reach back behind its snapshot."""
    known = Configurations(7, Configuration(("a",)))
    known.appended(5, encode_configuration(Configuration(("b",))))
    assert known.current == Configuration(("a",))
