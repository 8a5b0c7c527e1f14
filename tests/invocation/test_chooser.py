"""The steps of a choice together: versions first, then who is left inside them."""

from collections import Counter
from random import Random

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.invocation.balance import CallFacts, Candidate, PowerOfTwo
from aether.invocation.chooser import Chooser
from aether.invocation.endpoints import EndpointRegistry, Nearness, View
from aether.invocation.reply import FULL, Done, Failed, Form, NotStarted
from aether.model.artifact import Artifact
from aether.model.ids import Incarnation, InstanceId, NodeId
from aether.model.lifecycle import SliceState
from aether.model.rows import InstanceRow, MemberRow, RouteRow, TrafficRow
from aether.model.version import Version
from aether.slice_api.call import PLAIN, CallOptions

BASE = Artifact.parse("shop:pricing:1.0.0").base
ME = NodeId("me")


@attrs.define
class Call:
    payload: object = None
    options: CallOptions = PLAIN
    target: object = BASE
    method: str = "quote"
    form: Form = Form.WIRE
    attempt: int = 0
    excluded: frozenset = frozenset()
    version: Version | None = None


class House:
    """A chooser, and the rows that it sees."""

    def __init__(self, *, balancer=None, seed=1):
        self.now = 0.0
        self.members = {ME: MemberRow(node=ME, incarnation=Incarnation("x"))}
        self.rows = []
        self.terms = RouteRow(artifact=BASE, affinity={"quote": "sku"}, concurrency=8)
        self.traffic = None
        self.registry = EndpointRegistry(ME)
        self.chooser = Chooser(ME, self.registry, Random(seed), lambda: self.now, balancer)

    def host(self, instance, version="1.0.0", node=None, address="", zone=""):
        node = NodeId(node or f"node-{instance}")
        labels = {"zone": zone} if zone else {}
        self.members[node] = MemberRow(node=node, incarnation=Incarnation("x"), cluster_address=address, labels=labels)
        self.rows.append(
            InstanceRow(
                instance=InstanceId(instance),
                artifact=Artifact.parse(f"shop:pricing:{version}"),
                node=node,
                incarnation=Incarnation("x"),
                state=SliceState.ACTIVE,
            )
        )
        return self.publish()

    def share(self, sticky="", **weights):
        named = {version.strip("v").replace("_", "."): weight for version, weight in weights.items()}
        self.traffic = TrafficRow(artifact=BASE, weights=named, sticky=sticky)
        return self.publish()

    def publish(self):
        self.registry.rebuild(
            View(
                instances=self.rows,
                members=self.members.values(),
                routes=[self.terms],
                traffic=[self.traffic] if self.traffic else [],
                connected=frozenset(self.members) - {ME},
            )
        )
        self.chooser.endpoints_changed()
        return self

    def chosen(self, call=None):
        endpoint = self.chooser.choose(call or Call())
        return None if endpoint is None else endpoint

    def begin(self, call=None):
        endpoint = self.chosen(call)
        return endpoint, self.chooser.began(endpoint, "quote")

    def end(self, endpoint, load, outcome, latency_s=0.01):
        self.chooser.ended(endpoint, *load, outcome, latency_s)


def failed(kind="ValueError"):
    return Failed(kind=kind, message="")


# --- versions ---------------------------------------------------------------------------------------------------------


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 99), st.integers(1, 150), st.integers())
def test_weights_are_exact_whatever_the_number_of_instances(old, new, percent, calls, seed):
    """Routing by instances would give one canary beside three old ones 25 %, whatever was asked for."""
    house = House(seed=seed)
    for n in range(old):
        house.host(f"a{n}")
    for n in range(new):
        house.host(f"b{n}", "1.1.0")
    house.share(v1_0_0=100 - percent, v1_1_0=percent)
    counts = Counter(house.chosen().artifact.version.minor for _ in range(calls))

    assert abs(counts[1] - calls * percent / 100) < 1


def test_a_repeat_stays_in_the_version_of_its_first_try_while_that_has_an_instance_left():
    house = House().host("a1").host("a2").host("b1", "1.1.0").host("b2", "1.1.0").share(v1_0_0=1, v1_1_0=1)
    for _ in range(20):
        call = Call()
        first = house.chosen(call)
        call.excluded = frozenset([first.instance])
        second = house.chosen(call)
        assert second.artifact.version == first.artifact.version
        call.excluded |= {second.instance}
        assert house.chosen(call).artifact.version != first.artifact.version


def test_a_version_without_weight_gets_no_call_even_when_it_alone_is_there():
    """Code that nobody has approved yet must not serve because the approved one crashed."""
    house = House().host("b1", "1.1.0").share(v1_0_0=1, v1_1_0=0)

    assert house.chosen() is None
    assert house.registry.state(BASE) == ("ACTIVE", "but no instance of a version that has traffic")


def test_calls_with_one_sticky_key_see_one_version():
    house = House().host("a1").host("b1", "1.1.0").share(sticky="customer", v1_0_0=1, v1_1_0=1)
    seen = {
        name: {house.chosen(Call({"customer": name})).artifact.version for _ in range(10)} for name in "abcdefghijkl"
    }

    assert all(len(versions) == 1 for versions in seen.values())
    assert len(set.union(*seen.values())) == 2


# --- affinity ---------------------------------------------------------------------------------------------------------


def test_calls_with_one_value_of_the_named_parameter_go_to_one_instance():
    house = House().host("i1").host("i2").host("i3")
    homes = {
        sku: {house.chosen(Call({"sku": sku, "qty": n})).instance for n in range(10)} for sku in map(str, range(40))
    }

    assert all(len(home) == 1 for home in homes.values())
    assert len(set.union(*homes.values())) == 3


def test_a_typed_call_and_an_http_request_with_one_value_meet():
    """`/prices/7` and quote(7) read the same cache."""
    house = House().host("i1").host("i2").host("i3")
    for sku in range(30):
        paths = ["GET", "/prices/{sku}", {"sku": str(sku)}, {}, {}, {}, b"", ""]
        bodies = ["POST", "/prices", {}, {}, {}, {}, b'{"sku": %d}' % sku, "application/json"]
        chosen = {house.chosen(Call({"sku": sku})).instance}
        chosen |= {house.chosen(Call(plain, form=Form.HTTP)).instance for plain in (paths, bodies)}
        assert len(chosen) == 1


def test_a_key_of_the_caller_comes_before_the_parameter():
    house = House().host("i1").host("i2").host("i3")
    options = CallOptions(affinity_key="ann")
    homes = {house.chosen(Call({"sku": str(n)}, options)).instance for n in range(20)}

    assert len(homes) == 1


def test_one_popular_key_spills_over_instead_of_burying_its_instance():
    house = House().host("i1").host("i2").host("i3")
    counts = Counter(house.begin(Call({"sku": "hot"}))[0].instance for _ in range(60))

    assert max(counts.values()) <= 1.25 * 60 / 3 + 1


def test_a_call_without_the_parameter_is_balanced_like_any_other():
    house = House().host("i1").host("i2")
    counts = Counter(house.begin(Call({}))[0].instance for _ in range(20))

    assert len(counts) == 2


# --- locality ---------------------------------------------------------------------------------------------------------


def everywhere():
    house = House()
    house.members[ME] = MemberRow(
        node=ME, incarnation=Incarnation("x"), cluster_address="10.0.0.1:1", labels={"zone": "a"}
    )
    house.host("far", address="10.0.9.9:1", zone="b").host("zone", address="10.0.0.2:1", zone="a")
    house.host("host", address="10.0.0.1:2", zone="a")
    house.rows.append(attrs.evolve(house.rows[0], instance=InstanceId("here"), node=ME))
    return house.publish()


def test_the_nearest_instance_is_preferred_and_load_spills_over_to_the_next_nearest():
    house = everywhere()
    chosen = [house.begin()[0] for _ in range(16)]

    assert [e.nearness for e in chosen] == [
        *[Nearness.HERE] * 4, *[Nearness.HOST] * 4, *[Nearness.ZONE] * 4, *[Nearness.FAR] * 4
    ]  # fmt: skip


def test_when_nobody_has_room_all_share_what_comes():
    house = everywhere()
    counts = Counter(house.begin()[0].instance for _ in range(64))

    assert max(counts.values()) - min(counts.values()) <= 6


def test_one_that_said_that_it_is_full_is_not_asked_again_at_once():
    house = everywhere()
    endpoint, load = house.begin()
    house.end(endpoint, load, NotStarted(FULL, 8))

    assert house.chosen().instance == "host"
    house.now = 2.0
    assert house.chosen().instance == "here"


# --- ejection ---------------------------------------------------------------------------------------------------------


def test_an_instance_whose_calls_fail_is_left_out_and_comes_back():
    house = House().host("i1").host("i2")
    for _ in range(40):
        endpoint, load = house.begin()
        house.end(endpoint, load, failed() if endpoint.instance == "i1" else Done(1))

    assert {house.chosen().instance for _ in range(30)} == {"i2"}
    house.now = 6.0
    assert {house.chosen().instance for _ in range(30)} == {"i1", "i2"}


@pytest.mark.parametrize(
    "outcome",
    [*(failed(kind) for kind in ("Overloaded", "NoInstance", "StorageFull")), NotStarted("draining"), None],
)
def test_what_is_no_fault_of_the_instance_never_counts_against_it(outcome):
    """A method that could not reach its own dependency, a drain, a caller that left."""
    house = House().host("i1").host("i2")
    for _ in range(100):
        endpoint, load = house.begin()
        house.end(endpoint, load, outcome if endpoint.instance == "i1" else Done(1))

    assert house.chooser.ejections.ejected(0.0) == frozenset()


def test_a_broken_canary_is_not_hidden_by_ejection():
    """All instances of a version fail alike: that is for the rollout to see, with its full share of calls."""
    house = House().host("a1").host("b1", "1.1.0").host("b2", "1.1.0").share(v1_0_0=1, v1_1_0=1)
    counts = Counter()
    for _ in range(200):
        endpoint, load = house.begin()
        counts[endpoint.artifact.version.minor] += 1
        house.end(endpoint, load, failed() if endpoint.artifact.version.minor else Done(1))

    assert counts == {0: 100, 1: 100}
    assert house.chooser.ejections.ejected(0.0) == frozenset()


# --- balancers --------------------------------------------------------------------------------------------------------


class First:
    """Takes the candidate with the smallest id."""

    def __init__(self):
        self.seen = []

    def pick(self, candidates, facts, random):
        self.seen.append((candidates, facts))
        return candidates[0]


def test_a_balancer_of_the_node_chooses_among_those_that_may_take_the_call():
    first = First()
    house = House(balancer=first).host("i2").host("i1").host("b1", "1.1.0").share(v1_0_0=1)

    assert house.chosen(Call({"sku": "a"})).instance == "i1"
    candidates, facts = first.seen[0]
    assert [c.instance for c in candidates] == ["i1", "i2"]
    assert facts == CallFacts(target=BASE, method="quote", node=ME, affinity_key="a")
    assert type(candidates[0]) is Candidate


def test_a_balancer_of_one_call_comes_before_that_of_the_node():
    first = First()
    house = House(balancer=PowerOfTwo()).host("i1").host("i2")
    chosen = {house.chosen(Call(options=CallOptions(balancer=first))).instance for _ in range(20)}

    assert chosen == {"i1"}


def test_a_balancer_that_invents_a_candidate_is_told_so():
    class Inventive:
        def pick(self, candidates, facts, random):
            return "i1"

    house = House(balancer=Inventive()).host("i1").host("i2")

    with pytest.raises(TypeError, match="return one of the candidates"):
        house.chosen()


def test_power_of_two_as_a_balancer_spreads_load_as_the_built_in_choice_does():
    house = House(balancer=PowerOfTwo()).host("i1").host("i2").host("i3")
    counts = Counter(house.begin()[0].instance for _ in range(300))

    assert max(counts.values()) - min(counts.values()) <= 10
