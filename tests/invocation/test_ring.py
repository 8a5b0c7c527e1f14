"""Calls with one key go to one instance."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from aether.invocation.ring import LOAD_FACTOR, Ring, bound, owner
from aether.model.ids import InstanceId

NAMES = st.sets(st.sampled_from([InstanceId(f"i{n}") for n in range(12)]), min_size=1)
KEYS = [f"sku-{n}" for n in range(200)]


def owners(instances):
    ring = Ring(instances)
    return {key: next(ring.walk(key)) for key in KEYS}


@given(NAMES)
def test_a_key_asks_every_instance_once(instances):
    walked = list(Ring(instances).walk("sku"))

    assert sorted(walked) == sorted(instances)


@given(NAMES, st.sampled_from([InstanceId(f"new{n}") for n in range(5)]))
def test_a_new_instance_takes_keys_over_and_moves_no_other(instances, new):
    """Each moved key is a cold cache; the fewest that can move are those of the new instance."""
    before, after = owners(instances), owners(instances | {new})

    assert all(after[key] in (before[key], new) for key in KEYS)


@given(NAMES.filter(lambda names: len(names) > 1))
def test_one_that_leaves_gives_only_its_own_keys_away(instances):
    gone = min(instances)
    before, after = owners(instances), owners(instances - {gone})

    assert all(after[key] == before[key] for key in KEYS if before[key] != gone)


@given(NAMES, st.lists(st.sampled_from(KEYS), max_size=300), st.integers(1, 4))
def test_no_instance_has_more_than_its_bound_whatever_the_keys(instances, keys, least):
    """One popular key must not bury one instance while the others idle."""
    ring, loads = Ring(instances), Counter()
    for number, key in enumerate(keys):
        limit = bound(number, len(instances), least)
        taken = owner(ring.walk(key), loads.__getitem__, limit)
        loads[taken] += 1
        assert loads[taken] <= limit
        assert limit <= max(least, LOAD_FACTOR * (number + 1) / len(instances) + 1)


def test_while_loads_are_small_a_key_keeps_its_instance():
    ring = Ring([InstanceId(f"i{n}") for n in range(3)])
    loads = Counter()
    for _ in range(8):
        loads[owner(ring.walk("sku"), loads.__getitem__, bound(sum(loads.values()), 3, 8))] += 1

    assert len(loads) == 1


def test_keys_are_spread_over_all():
    counts = Counter(owners({InstanceId(f"i{n}") for n in range(4)}).values())

    assert len(counts) == 4
    assert max(counts.values()) < 2 * min(counts.values())
