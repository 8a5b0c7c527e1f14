"""Instances that fail alone are left out for a while."""

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from aether.invocation.balance import Loads
from aether.invocation.ejection import CONSECUTIVE_FAILURES, EJECTION_S, EJECTION_S_MAX, FORGIVEN_S, Ejections
from aether.invocation.endpoints import Endpoint
from aether.model.artifact import Artifact
from aether.model.ids import InstanceId, NodeId

PRICING = Artifact.parse("shop:pricing:1.0.0")


def endpoints(count):
    return tuple(Endpoint(InstanceId(f"i{n}"), NodeId(f"n{n}"), PRICING) for n in range(count))


def fail(ejections, peers, index, now=0.0, times=CONSECUTIVE_FAILURES):
    return [ejections.record(peers[index].instance, now, peers, failed=True) for _ in range(times)][-1]


def usable(ejections, peers, now, loads=None):
    return [e.instance for e in ejections.usable(peers, now, loads or Loads())]


def test_an_instance_that_fails_while_its_peers_do_not_is_left_out_until_its_time_is_over():
    ejections, peers = Ejections(), endpoints(3)

    assert fail(ejections, peers, 0)
    assert usable(ejections, peers, EJECTION_S - 0.001) == ["i1", "i2"]
    assert usable(ejections, peers, EJECTION_S) == ["i0", "i1", "i2"]


def test_calls_that_fail_everywhere_eject_nobody():
    """A client that sends nonsense must not halve the capacity of everyone else."""
    ejections, peers = Ejections(), endpoints(4)
    for _ in range(50):
        for peer in peers:
            assert not ejections.record(peer.instance, 0.0, peers, failed=True)


def test_a_success_in_between_starts_the_count_anew():
    ejections, peers = Ejections(), endpoints(3)
    fail(ejections, peers, 0, times=CONSECUTIVE_FAILURES - 1)
    ejections.record(peers[0].instance, 0.0, peers, failed=False)

    assert not fail(ejections, peers, 0, times=CONSECUTIVE_FAILURES - 1)


def test_half_of_the_calls_failing_is_enough_without_a_row_of_failures():
    ejections, peers = Ejections(), endpoints(3)
    ejected = [ejections.record(peers[0].instance, 0.0, peers, failed=n % 3 != 0) for n in range(60)]

    assert any(ejected)


def test_on_trial_one_call_at_a_time_is_let_through_and_success_readmits():
    ejections, peers, loads = Ejections(), endpoints(3), Loads()
    fail(ejections, peers, 0)
    loads.of(peers[0].instance).in_flight = 1

    assert "i0" not in usable(ejections, peers, EJECTION_S, loads)
    ejections.record(peers[0].instance, EJECTION_S, peers, failed=False)
    assert "i0" in usable(ejections, peers, EJECTION_S, loads)


def test_each_ejection_lasts_longer_up_to_a_limit_and_good_conduct_is_remembered():
    ejections, peers, now, lasted = Ejections(), endpoints(2), 0.0, []
    fail(ejections, peers, 0)
    for _ in range(100):
        began = now
        while "i0" not in usable(ejections, peers, now):
            now += EJECTION_S
        lasted.append(now - began)
        fail(ejections, peers, 0, now, times=1)  # its trial fails

    assert lasted[:3] == [EJECTION_S, 2 * EJECTION_S, 3 * EJECTION_S]
    assert lasted[-1] == EJECTION_S_MAX
    now += EJECTION_S_MAX
    ejections.record(peers[0].instance, now, peers, failed=False)
    now += FORGIVEN_S * 200
    fail(ejections, peers, 0, now)
    assert "i0" in usable(ejections, peers, now + EJECTION_S)


def test_calls_that_began_before_the_ejection_do_not_prolong_it():
    ejections, peers = Ejections(), endpoints(3)
    fail(ejections, peers, 0)
    fail(ejections, peers, 0, now=1.0, times=20)

    assert "i0" in usable(ejections, peers, EJECTION_S)


def test_the_only_instance_is_never_left_out():
    ejections, peers = Ejections(), endpoints(1)
    fail(ejections, peers, 0, times=100)

    assert usable(ejections, peers, 0.0) == ["i0"]


def test_an_instance_that_is_gone_is_forgotten():
    ejections, peers = Ejections(), endpoints(3)
    fail(ejections, peers, 0)
    ejections.keep(["i1", "i2"])

    assert ejections.ejected(0.0) == frozenset()


@given(st.data())
def test_when_healthy_peers_go_the_ejected_come_back_rather_than_nobody(data):
    """Two of four were out; then a node with both healthy ones is lost."""
    ejections, peers = Ejections(), endpoints(4)
    fail(ejections, peers, 0)
    fail(ejections, peers, 1)
    left = data.draw(st.lists(st.sampled_from(peers), min_size=1, unique=True))

    assert len(usable(ejections, left, 0.0)) >= len(left) - len(left) // 2


class Outliers(RuleBasedStateMachine):
    """Whatever fails, and whoever comes and goes, at least half can be called."""

    def __init__(self):
        super().__init__()
        self.ejections, self.now, self.count = Ejections(), 0.0, 4

    @rule(index=st.integers(0, 7), failures=st.integers(1, 30))
    def fails(self, index, failures):
        peers = endpoints(self.count)
        fail(self.ejections, peers, index % self.count, self.now, failures)

    @rule(index=st.integers(0, 7))
    def succeeds(self, index):
        peers = endpoints(self.count)
        self.ejections.record(peers[index % self.count].instance, self.now, peers, failed=False)

    @rule(count=st.integers(1, 8))
    def scales(self, count):
        self.count = count
        self.ejections.keep(e.instance for e in endpoints(count))

    @rule(seconds=st.floats(0, 400))
    def time_passes(self, seconds):
        self.now += seconds

    @invariant()
    def half_are_usable(self):
        left = usable(self.ejections, endpoints(self.count), self.now)
        assert len(left) >= self.count - self.count // 2


TestOutliers = Outliers.TestCase
