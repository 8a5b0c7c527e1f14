"""Who gets the next call."""

from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from aether.invocation.balance import Loads, choose
from aether.invocation.endpoints import Endpoint
from aether.model.artifact import Artifact
from aether.model.ids import InstanceId, NodeId

PRICING = Artifact.parse("shop:pricing:1.0.0")


def endpoints(count):
    return tuple(Endpoint(InstanceId(f"i{n}"), NodeId(f"n{n}"), PRICING) for n in range(count))


@given(st.integers(0, 8), st.sets(st.integers(0, 7)), st.integers())
def test_an_excluded_instance_is_never_chosen_and_somebody_is_while_anybody_is_left(count, excluded, seed):
    out = {InstanceId(f"i{n}") for n in excluded}
    chosen = choose(endpoints(count), Loads(), Random(seed), out)
    left = {e.instance for e in endpoints(count)} - out

    assert (chosen is None) == (not left)
    assert chosen is None or chosen.instance in left


@given(st.integers())
def test_of_two_the_one_with_fewer_calls_in_flight_gets_the_next(seed):
    """In-flight counts see a stalled instance long before its latency does."""
    loads = Loads()
    loads.of(InstanceId("i0")).in_flight = 1

    assert choose(endpoints(2), loads, Random(seed)).instance == "i1"


def test_the_faster_of_two_idle_instances_gets_most_calls_and_the_slower_is_not_forgotten():
    """Without exploring, one slow first call would condemn an instance for ever."""
    loads = Loads()
    loads.of(InstanceId("i0")).latency_s = 0.5
    loads.of(InstanceId("i1")).latency_s = 0.001
    rng = Random(1)
    counts = Counter(choose(endpoints(2), loads, rng).instance for _ in range(2_000))

    assert counts["i1"] > 1_800
    assert counts["i0"] > 10


def test_load_spreads_evenly_when_calls_do_not_end():
    loads, rng = Loads(), Random(2)
    for _ in range(1_000):
        loads.of(choose(endpoints(5), loads, rng).instance).in_flight += 1
    counts = [loads.of(e.instance).in_flight for e in endpoints(5)]

    assert max(counts) - min(counts) <= 10


def test_every_pair_can_be_drawn():
    """A choice that never compares some pair would leave one instance idle."""
    rng = Random(3)
    drawn = {choose(endpoints(3), Loads(), rng).instance for _ in range(200)}

    assert drawn == {"i0", "i1", "i2"}


def test_an_instance_that_is_gone_is_forgotten_once_its_last_call_ended():
    loads = Loads()
    gone, busy = loads.of(InstanceId("gone")), loads.of(InstanceId("busy"))
    busy.in_flight = 1
    gone.latency_s = 1.0
    loads.keep([])

    assert loads.of(InstanceId("gone")).latency_s == 0.0
    assert loads.of(InstanceId("busy")) is busy
