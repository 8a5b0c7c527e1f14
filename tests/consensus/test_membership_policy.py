"""The one decision about who votes: what it must never do, and where it comes to rest."""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.consensus.membership import MembershipChange, next_configuration
from aether.consensus.membership_policy import (
    LAG_ENTRIES_MAX,
    GroupView,
    MembershipSettings,
    decide_change,
)
from aether.consensus.progress import FollowerState, Mode
from aether.consensus.quorum import Configuration
from aether.model.limits import ELECTION_TICKS_MIN

NAMES = "abcdefgh"
LAST = 5_000
SETTINGS = MembershipSettings()
SILENT = SETTINGS.replace_ticks


def state(match=LAST, silent=0, mode=Mode.REPLICATE):
    return FollowerState(mode, match, match + 1, silent)


def view(voters, learners="", *, leader="a", **changes):
    """Healthy unless `states` says otherwise: node -> FollowerState."""
    states = changes.pop("states", {})
    followers = {node: states.get(node, state()) for node in (*voters, *learners) if node != leader}
    configuration = Configuration(tuple(voters), learners=tuple(learners))
    for name in ("leaving", "workers", "core"):
        changes[name] = frozenset(changes.get(name, ()))
    return GroupView(leader=leader, configuration=configuration, followers=followers, last_index=LAST, **changes)


def decide(group, **settings):
    return decide_change(group, attrs.evolve(SETTINGS, **settings))


# --- growing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("voters", "learners", "promoted"),
    [
        ("a", "", ""),
        ("a", "b", ""),  # two voters survive no more losses than one
        ("a", "bc", "bc"),
        ("abc", "d", ""),
        ("abc", "de", "de"),
        ("a", "bcde", "bcde"),
        ("a", "bcd", "bc"),
        ("ab", "c", "c"),
        ("abcd", "e", "e"),
        ("abcde", "fg", ""),
    ],
)
def test_the_core_grows_to_odd_numbers_by_its_oldest_learners(voters, learners, promoted):
    change = decide(view(voters, learners))

    assert change == (MembershipChange(promote=tuple(promoted)) if promoted else None)


def test_a_smaller_core_is_respected():
    assert decide(view("a", "bcde"), core_max=3) == MembershipChange(promote=("b", "c"))
    assert decide(view("a", "bcde"), core_max=1) is None


@pytest.mark.parametrize(
    "lacking",
    [
        state(match=LAST - LAG_ENTRIES_MAX - 1),
        state(silent=ELECTION_TICKS_MIN),
        state(mode=Mode.SNAPSHOT),
        state(mode=Mode.PROBE),
    ],
)
def test_a_learner_that_lags_or_is_silent_gets_no_vote(lacking):
    assert decide(view("a", "bc", states={"c": lacking})) is None


def test_newcomers_become_learners_at_once():
    assert decide(view("a", newcomers=("a", "b", "c"))) == MembershipChange(add=("b", "c"))


# --- what operators ask for -------------------------------------------------------------------------------------------


def test_a_worker_by_order_never_votes_and_a_voter_by_order_does_although_the_count_gets_even():
    assert decide(view("a", "bcd", workers="b")) == MembershipChange(promote=("c", "d"))
    assert decide(view("abc", "d", core="d")) == MembershipChange(promote=("d",))
    assert decide(view("abc", workers="b")) == MembershipChange(demote=("b",))
    assert decide(view("abc", "d", workers="b")) == MembershipChange(demote=("b",), promote=("d",))


def test_the_last_voter_is_neither_demoted_nor_removed():
    assert decide(view("a", workers="a")) is None
    assert decide(view("a", leaving="a")) is None


def test_a_dead_voter_is_removed_and_its_vote_goes_to_a_worker():
    dead = {"b": state(silent=SILENT)}

    assert decide(view("abc", leaving="b", states=dead)) == MembershipChange(remove=("b",))
    assert decide(view("abc", "d", leaving="b", states=dead)) == MembershipChange(remove=("b",), promote=("d",))


def test_a_living_voter_stays_while_its_removal_would_leave_no_quorum():
    """Two voters of which one is dead decide nothing, not even to take somebody in again."""
    dead = {"c": state(silent=SILENT)}

    assert decide(view("abc", leaving="b", states=dead)) is None
    assert decide(view("abc", leaving="bc", states=dead)) == MembershipChange(remove=("c",))


# --- replacing --------------------------------------------------------------------------------------------------------


def test_the_most_caught_up_worker_replaces_a_voter_that_is_silent_for_long():
    states = {"c": state(silent=SILENT), "d": state(match=LAST - 2), "e": state(match=LAST - 1)}
    group = view("abc", "de", states=states, workers="")

    # growing comes first where it is safe; here both learners would make five with one dead
    assert decide(group) == MembershipChange(promote=("d", "e"))
    assert decide(group, core_max=3) == MembershipChange(promote=("e",), demote=("c",))
    assert decide(group, core_max=3, auto_replace=False) is None
    earlier = attrs.evolve(group, followers={**group.followers, "c": state(silent=SILENT - 1)})
    assert decide(earlier, core_max=3) is None


def test_a_node_that_flaps_stays_what_it_is():
    group = view("abc", "d", states={"c": state(silent=SILENT)})
    assert decide(group) == MembershipChange(promote=("d",), demote=("c",))

    for tired in ("c", "d"):
        assert decide(attrs.evolve(group, moves={tired: SETTINGS.moves_per_hour_max})) is None


def test_nothing_is_decided_while_a_change_is_under_way():
    group = view("abc", "de")
    joint = attrs.evolve(group.configuration, outgoing=("a", "b"))

    assert decide(attrs.evolve(group, configuration=joint)) is None


# --- whatever the group looks like ------------------------------------------------------------------------------------

states = st.builds(
    state,
    match=st.sampled_from([0, LAST - LAG_ENTRIES_MAX - 1, LAST - 1, LAST]),
    silent=st.sampled_from([0, ELECTION_TICKS_MIN - 1, ELECTION_TICKS_MIN, SILENT]),
    mode=st.sampled_from([*Mode, Mode.REPLICATE, Mode.REPLICATE]),
)
some = st.frozensets(st.sampled_from(NAMES))


@st.composite
def groups(draw):
    voters = draw(st.integers(1, len(NAMES)))
    members = draw(st.integers(voters, len(NAMES)))
    return view(
        NAMES[:voters],
        NAMES[voters:members],
        states=draw(st.fixed_dictionaries(dict.fromkeys(NAMES, states))),
        newcomers=tuple(NAMES[: draw(st.integers(0, len(NAMES)))]),
        leaving=draw(some),
        workers=draw(some),
        core=draw(some),
        moves=draw(st.dictionaries(st.sampled_from(NAMES), st.integers(0, 6))),
    )


@given(groups(), st.integers(1, 7))
def test_every_decision_is_possible_and_leaves_those_who_answer_in_charge(group, core_max):
    change = decide(group, core_max=core_max)
    if change is None:
        return

    coming = next_configuration(group.configuration, change)

    assert coming.has_quorum(group.answering())
    assert coming.left().has_quorum(group.answering())
    for node in change.promote:
        follower = group.followers[node]
        assert follower.silent_ticks < ELECTION_TICKS_MIN
        assert follower.mode is Mode.REPLICATE
        assert LAST - follower.match <= LAG_ENTRIES_MAX
        assert node not in group.workers | group.leaving
    assert set(change.remove) <= group.leaving
    assert not set(change.add) & group.leaving


@given(groups(), st.integers(1, 7))
def test_without_an_operator_the_core_grows_to_odd_counts_and_nobody_moves_too_often(group, core_max):
    group = attrs.evolve(group, leaving=frozenset(), workers=frozenset(), core=frozenset(), newcomers=())
    change = decide(group, core_max=core_max)
    if change is None:
        return

    before, after = (len(c.voters) for c in (group.configuration, next_configuration(group.configuration, change)))

    assert change.add == change.remove == ()
    assert all(group.moves.get(node, 0) < SETTINGS.moves_per_hour_max for node in change.names())
    assert after == before if change.demote else (after > before and after <= core_max and after % 2 == 1)


@given(groups(), st.integers(1, 7))
def test_a_group_in_which_all_answer_comes_to_rest_as_asked(group, core_max):
    """Level-triggered: the same look again and again leads somewhere and stops there."""
    healthy = dict.fromkeys(NAMES, state())
    group = attrs.evolve(group, moves={}, core=group.core - group.workers)
    for _ in range(3 * len(NAMES)):
        followers = {n: healthy[n] for n in group.configuration.members() if n != group.leader}
        group = attrs.evolve(group, followers=followers)
        change = decide(group, core_max=core_max)
        if change is None:
            break
        configuration = next_configuration(group.configuration, change)
        group = attrs.evolve(group, configuration=configuration.left() if configuration.is_joint else configuration)
        if group.leader not in group.configuration.voters:
            group = attrs.evolve(group, leader=group.configuration.voters[0])
    else:
        pytest.fail(f"still {change}")

    voters = set(group.configuration.voters)
    assert len(voters) == 1 or not voters & (group.leaving | group.workers)
    assert not set(group.configuration.learners) & group.leaving
    assert set(group.newcomers) - group.leaving <= set(group.configuration.members())
