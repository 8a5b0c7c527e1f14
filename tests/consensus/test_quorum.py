"""Quorum arithmetic against an oracle that tries every set of voters."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aether.consensus.quorum import EVERYTHING, Configuration, Vote, committed_index, vote_result

NAMES = "abcdefg"
voters = st.lists(st.sampled_from(NAMES), unique=True, max_size=7).map(tuple)
matches = st.dictionaries(st.sampled_from(NAMES), st.integers(0, 6))
votes = st.dictionaries(st.sampled_from(NAMES), st.booleans())


def majorities(group):
    return [set(c) for size in range(len(group) // 2 + 1, len(group) + 1) for c in itertools.combinations(group, size)]


def is_committed(index, group, match):
    """By definition: some majority holds it. An empty group has nobody to miss it."""
    return not group or any(all(match.get(v, 0) >= index for v in majority) for majority in majorities(group))


@given(voters, matches)
@settings(max_examples=150)
def test_an_index_is_committed_exactly_when_some_majority_holds_it(group, match):
    """Off by one here loses acknowledged writes or stalls the cluster."""
    index = committed_index(group, match)
    if not group:
        assert index == EVERYTHING
        return
    assert is_committed(index, group, match)
    assert not is_committed(index + 1, group, match)


@given(voters, votes)
@settings(max_examples=150)
def test_an_election_is_open_exactly_while_missing_votes_can_decide_it(group, given_votes):
    """A candidate that waits for a lost election delays the next; one that leads too early splits the brain."""
    missing = [v for v in group if v not in given_votes]

    def won(granted):
        return not group or any(majority <= granted for majority in majorities(group))

    granted = {v for v in group if given_votes.get(v)}
    worst, best = won(granted), won(granted | set(missing))
    expected = Vote.WON if worst else Vote.OPEN if best else Vote.LOST
    assert vote_result(group, given_votes) is expected


@given(voters, voters, matches)
@settings(max_examples=100)
def test_a_joint_configuration_commits_what_both_majorities_hold(new, old, match):
    """During a change a majority of one half alone must decide nothing (dissertation 4.3)."""
    index = Configuration(new, old).committed_index(match)
    assert is_committed(index, new, match)
    assert is_committed(index, old, match)
    if index != EVERYTHING:
        assert not (is_committed(index + 1, new, match) and is_committed(index + 1, old, match))


@given(voters, voters, votes)
@settings(max_examples=100)
def test_a_joint_configuration_needs_both_elections(new, old, given_votes):
    """Two leaders could win one half each otherwise."""
    results = {vote_result(new, given_votes), vote_result(old, given_votes)}
    expected = Vote.LOST if Vote.LOST in results else Vote.OPEN if Vote.OPEN in results else Vote.WON
    assert Configuration(new, old).vote_result(given_votes) is expected


@given(voters.filter(bool), st.sets(st.sampled_from(NAMES)), st.sets(st.sampled_from(NAMES)))
@settings(max_examples=100)
def test_two_quorums_always_meet(group, one, other):
    """All of Raft's safety rests on it."""
    configuration = Configuration(group)
    if configuration.has_quorum(one) and configuration.has_quorum(other):
        assert one & other


@pytest.mark.parametrize("count", range(1, 8))
def test_silent_voters_count_as_empty_logs(count):
    """Nothing heard means nothing stored."""
    assert committed_index(tuple(NAMES[:count]), {}) == 0


def test_non_voters_do_not_count():
    """A learner's progress is tracked, never counted."""
    assert committed_index(("a", "b"), {"a": 5, "b": 4, "learner": 9}) == 4
    assert Configuration(("a", "b"), ()).members() == ("a", "b")
