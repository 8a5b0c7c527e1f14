"""Choice while two versions run that differ: in methods, in terms, in who gets calls."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.invocation.chooser import Chooser
from aether.invocation.endpoints import EndpointRegistry, View
from aether.invocation.outgoing import OutgoingCall
from aether.invocation.reply import Form
from aether.invocation.span import Span
from aether.model.artifact import Artifact
from aether.model.ids import Incarnation, InstanceId, NodeId
from aether.model.lifecycle import SliceState
from aether.model.rows import DesiredRow, InstanceRow, MemberRow, RouteRow, TrafficRow
from aether.model.serving import with_version
from aether.model.version import Version
from aether.slice_api.call import PLAIN, CallOptions

OLD, NEW = Artifact.parse("shop:pricing:1.0.0"), Artifact.parse("shop:pricing:2.0.0")
BASE = OLD.base
ME = NodeId("me")
SAID = with_version(
    RouteRow(artifact=BASE, version="1.0.0", methods=("quote", "gone"), idempotent=("quote",), deadline_s=10.0),
    RouteRow(artifact=BASE, version="2.0.0", methods=("quote", "fresh"), deadline_s=3.0),
    ("1.0.0", "2.0.0"),
)


def registry_of(old, new, weights=None, rules=(), sticky="", routes=SAID):
    registry = EndpointRegistry(ME)
    rows = [
        InstanceRow(
            instance=InstanceId(f"{artifact.version}-{n}"),
            artifact=artifact,
            node=ME,
            incarnation=Incarnation("x"),
            state=SliceState.ACTIVE,
        )
        for artifact, count in ((OLD, old), (NEW, new))
        for n in range(count)
    ]
    desired = DesiredRow(artifact=OLD, instances=old, blueprint="app", beside=NEW.version, beside_instances=new)
    traffic = (
        [TrafficRow(artifact=BASE, weights=weights, rules=dict(rules), sticky=sticky)] if weights is not None else []
    )
    registry.rebuild(
        View(
            instances=rows,
            members=[MemberRow(node=ME, incarnation=Incarnation("x"))],
            routes=[routes],
            traffic=traffic,
            desired=[desired],
        )
    )
    return registry


def call(method="quote", payload=None, form=Form.WIRE, options=PLAIN):
    return OutgoingCall(
        target=BASE,
        method=method,
        payload={} if payload is None else payload,
        form=form,
        request_id="",
        options=options,
        span=Span("Pricing.quote", 0.0),
        idempotent=False,
        began=0.0,
        within_s=1.0,
    )


def versions(registry, calls, **asked):
    chooser = Chooser(ME, registry, Random(1), lambda: 0.0)
    chosen = [chooser.choose(call(**asked)) for _ in range(calls)]
    return Counter(None if endpoint is None else str(endpoint.artifact.version) for endpoint in chosen)


def test_one_in_a_hundred_goes_to_the_only_instance_of_the_new_version():
    registry = registry_of(1, 1, {"1.0.0": 99, "2.0.0": 1})
    assert versions(registry, 1_000) == {"1.0.0": 990, "2.0.0": 10}


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 50), st.integers(1, 50))
def test_shares_are_exact_for_any_counts_of_instances(old, new, weight_old, weight_new):
    registry = registry_of(old, new, {"1.0.0": weight_old, "2.0.0": weight_new})
    total = weight_old + weight_new
    assert versions(registry, 2 * total) == {"1.0.0": 2 * weight_old, "2.0.0": 2 * weight_new}


def test_a_version_without_an_instance_passes_its_share_on():
    assert versions(registry_of(1, 0, {"1.0.0": 1, "2.0.0": 99}), 100) == {"1.0.0": 100}
    assert versions(registry_of(0, 2, {"1.0.0": 1, "2.0.0": 1}), 100) == {"2.0.0": 100}


@pytest.mark.parametrize("weights", [None, {"1.0.0": 1, "2.0.0": 1}, {"1.0.0": 99, "2.0.0": 1}])
def test_a_method_of_one_version_alone_is_asked_of_that_version(weights):
    registry = registry_of(2, 2, weights)
    assert versions(registry, 50, method="fresh") == {"2.0.0": 50}
    assert versions(registry, 50, method="gone") == {"1.0.0": 50}
    assert set(versions(registry, 100, method="quote")) == {"1.0.0", "2.0.0"}


def test_a_method_that_no_version_has_is_refused_by_an_instance_and_not_waited_for():
    assert versions(registry_of(1, 1, {"1.0.0": 1, "2.0.0": 1}), 10, method="nonsense").keys() <= {"1.0.0", "2.0.0"}


def test_a_version_that_said_nothing_of_itself_may_have_any_method():
    known = RouteRow(artifact=BASE, version="1.0.0", methods=("quote",))
    registry = registry_of(1, 1, {"1.0.0": 1, "2.0.0": 1}, routes=known)
    assert versions(registry, 100, method="fresh") == {"1.0.0": 50, "2.0.0": 50}


def test_terms_are_those_of_the_version_that_takes_the_call():
    registry = registry_of(1, 1, {"1.0.0": 1, "2.0.0": 1})
    old, new = registry.terms(BASE, OLD.version), registry.terms(BASE, NEW.version)
    assert (old.deadline_of("quote"), old.idempotent) == (10.0, {"quote"})
    assert (new.deadline_of("quote"), new.idempotent) == (3.0, frozenset())
    assert registry.terms(BASE).deadline_s == 10.0


def test_terms_follow_the_traffic_once_all_of_it_has_moved():
    registry = registry_of(1, 1, {"1.0.0": 0, "2.0.0": 1})
    assert registry.terms(BASE).deadline_s == 3.0
    assert not registry.terms(BASE).versions


RULES = {"header:x-beta=yes": "2.0.0", "key=ann": "2.0.0"}


def request(**headers):
    return ["GET", "/quote", {}, {}, headers, {}, b"", "", "/quote", ""]


def test_a_rule_is_above_the_weights_and_others_never_see_that_version():
    registry = registry_of(1, 1, {"1.0.0": 1, "2.0.0": 0}, RULES)
    beta = {"x-beta": "yes"}
    assert versions(registry, 20, payload=request(**beta), form=Form.HTTP) == {"2.0.0": 20}
    assert versions(registry, 20, payload=request(), form=Form.HTTP) == {"1.0.0": 20}
    assert registry.ruled_fields == {"header:x-beta"}


def test_a_key_rule_looks_at_the_sticky_parameter_or_the_affinity_of_the_call():
    registry = registry_of(1, 1, {"1.0.0": 1}, RULES, sticky="customer")
    assert versions(registry, 20, payload={"customer": "ann"}) == {"2.0.0": 20}
    assert versions(registry, 20, payload={"customer": "bob"}) == {"1.0.0": 20}
    bare = registry_of(1, 1, {"1.0.0": 1}, RULES)
    assert versions(bare, 20, options=CallOptions(affinity_key="ann")) == {"2.0.0": 20}


def test_a_rule_whose_version_has_no_instance_is_no_rule():
    registry = registry_of(1, 0, {"1.0.0": 1}, RULES)
    assert versions(registry, 20, payload=request(**{"x-beta": "yes"}), form=Form.HTTP) == {"1.0.0": 20}


def test_without_weights_rules_hold_and_the_rest_goes_by_instances():
    registry = registry_of(1, 1, {}, RULES)
    assert versions(registry, 20, payload=request(**{"x-beta": "yes"}), form=Form.HTTP) == {"2.0.0": 20}
    assert set(versions(registry, 200)) == {"1.0.0", "2.0.0"}


def test_a_call_without_a_rule_waits_rather_than_go_to_a_version_of_rules_alone():
    registry = registry_of(0, 1, {"1.0.0": 1}, RULES)
    chooser = Chooser(ME, registry, Random(1), lambda: 0.0)
    assert chooser.choose(call()) is None
    assert not chooser.has_any(call())
    ruled = call(payload=request(**{"x-beta": "yes"}), form=Form.HTTP)
    assert chooser.choose(ruled) is not None
    assert chooser.has_any(ruled)
    only_there = call(method="fresh")
    assert registry_of(1, 1, {"1.0.0": 1}, RULES).terms(BASE).only["fresh"] == {NEW.version}
    assert Chooser(ME, registry_of(1, 1, {"1.0.0": 1}, RULES), Random(1), lambda: 0.0).choose(only_there) is not None


def test_a_retry_stays_inside_its_version_while_that_has_another_instance():
    registry = registry_of(2, 2, {"1.0.0": 1, "2.0.0": 1})
    chooser = Chooser(ME, registry, Random(1), lambda: 0.0)
    for _ in range(20):
        asked = call()
        first = chooser.choose(asked)
        asked.excluded = frozenset({first.instance})
        second = chooser.choose(asked)
        assert second.artifact == first.artifact
        asked.excluded |= {second.instance}
        third = chooser.choose(asked)
        assert third.artifact != first.artifact
        assert asked.version == Version.parse(str(first.artifact.version))
