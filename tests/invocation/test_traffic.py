"""Which version takes a call."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.errors import BadInput
from aether.invocation.traffic import Turns, next_turn, sticky_version
from aether.model.artifact import ArtifactBase
from aether.model.rows import TrafficRow
from aether.model.version import Version

OLD, NEW = Version(1, 0, 0), Version(1, 1, 0)
VERSIONS = [Version(1, minor, 0) for minor in range(5)]
PARTS = st.integers(0, 100)


@given(st.lists(PARTS, min_size=1, max_size=5).filter(any), st.integers(1, 400), st.integers())
def test_after_any_number_of_calls_each_version_has_its_share_within_one_call(weights, calls, seed):
    """A canary of 5 % that gets 9 % of a thousand calls by bad luck is another experiment than the one asked for."""
    turns, total = Turns(dict(zip(VERSIONS, weights, strict=False)), Random(seed)), sum(weights)
    counts = Counter()
    for number in range(1, calls + 1):
        counts[turns.next()] += 1
        for version, weight in zip(VERSIONS, weights, strict=False):
            assert abs(counts[version] * total - number * weight) < total, (number, counts)


@given(st.lists(PARTS, min_size=1, max_size=6).filter(any))
def test_turns_alone_are_exact_over_a_whole_cycle(weights):
    counts = [0] * len(weights)
    for _ in range(sum(weights)):
        counts[next_turn(weights, counts)] += 1

    assert counts == weights


def test_many_callers_of_few_calls_see_the_canary_as_often_as_its_weight_says():
    """If every caller began with the old version, processes that make ten calls each would never meet a 1 % canary."""
    rng = Random(1)
    counts = Counter()
    for _ in range(2_000):
        turns = Turns({OLD: 99, NEW: 1}, rng)
        counts.update(turns.next() for _ in range(10))

    assert 120 < counts[NEW] < 280


@given(st.text(max_size=20), PARTS, PARTS, PARTS, PARTS)
def test_a_key_that_got_the_new_version_keeps_it_when_its_weight_grows(key, old, new, less, more):
    """A customer who saw the new price must not see the old one again because the rollout went on."""
    before = {OLD: old + 1, NEW: new}
    after = {OLD: max(old + 1 - less, 0), NEW: new + more + 1}

    if sticky_version(before, key) == NEW:
        assert sticky_version(after, key) == NEW


@given(st.text(max_size=20), st.lists(st.integers(1, 100), min_size=2, max_size=5), st.integers(0, 4), PARTS)
def test_growth_of_one_version_moves_keys_to_it_alone(key, weights, grown, more):
    """Of three versions too: nobody is moved between two whose weights stay."""
    before = dict(zip(VERSIONS, weights, strict=False))
    version = VERSIONS[grown % len(weights)]
    after = {**before, version: before[version] + more}

    assert sticky_version(after, key) in (sticky_version(before, key), version)


def test_keys_are_shared_out_as_the_weights_say():
    counts = Counter(sticky_version({OLD: 9, NEW: 1}, f"customer-{n}") for n in range(20_000))

    assert abs(counts[NEW] - 2_000) < 200


def test_a_key_has_the_same_version_on_every_machine():
    """A hash that differs between processes would split one customer between versions."""
    weights = {OLD: 1, NEW: 1}

    assert [sticky_version(weights, key) for key in ("ann", "bob", "cleo", "dan")] == [OLD, NEW, NEW, NEW]


def test_a_version_without_weight_gets_nothing():
    turns = Turns({OLD: 1, NEW: 0}, Random(2))

    assert {turns.next() for _ in range(50)} == {OLD}
    assert {sticky_version({OLD: 1, NEW: 0}, str(n)) for n in range(50)} == {OLD}


@pytest.mark.parametrize(
    ("weights", "said"), [({"1.0": 1}, "1.0"), ({"1.0.0": -1}, "-1"), ({"1.0.0": 2_000_000}, "2000000")]
)
def test_weights_that_make_no_sense_are_refused_before_they_are_stored(weights, said):
    """Every node reads the row: one that cannot be read would stop them all."""
    with pytest.raises(BadInput, match=said):
        TrafficRow(artifact=ArtifactBase.parse("shop:pricing"), weights=weights)
