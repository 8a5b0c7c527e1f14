"""Which rows make an endpoint."""

import attrs
from hypothesis import given
from hypothesis import strategies as st

from aether.invocation.endpoints import EndpointRegistry, Terms, View
from aether.model.artifact import Artifact
from aether.model.ids import Incarnation, InstanceId, NodeId
from aether.model.lifecycle import SliceState
from aether.model.rows import DesiredRow, InstanceRow, MemberRow, RouteRow

ME, PEER = NodeId("n1"), NodeId("n2")
PRICING = Artifact.parse("shop:pricing:1.0.0")
BASE = PRICING.base


def row(instance="i1", node=ME, incarnation="x", state=SliceState.ACTIVE, reason=""):
    return InstanceRow(
        instance=InstanceId(instance), artifact=PRICING, node=node, incarnation=Incarnation(incarnation),
        state=state, reason=reason,
    )  # fmt: skip


def member(node=ME, incarnation="x", draining=False):
    return MemberRow(node=node, incarnation=Incarnation(incarnation), draining=draining)


def registry_of(view):
    registry = EndpointRegistry(ME)
    registry.rebuild(view)
    return registry


@given(st.sampled_from(SliceState))
def test_only_an_active_instance_takes_calls(state):
    registry = registry_of(View(instances=[row(state=state)], members=[member()]))

    assert bool(registry.endpoints(BASE)) == (state is SliceState.ACTIVE)


def test_a_row_of_an_earlier_process_of_its_node_is_lost_at_once():
    """The node restarted: its old instances are gone although their rows still say ACTIVE."""
    registry = registry_of(View(instances=[row(incarnation="old")], members=[member(incarnation="new")]))

    assert registry.endpoints(BASE) == ()
    assert registry.state(BASE)[0] == "LOST"


def test_a_node_without_a_member_row_hosts_nothing():
    assert registry_of(View(instances=[row()])).endpoints(BASE) == ()


def test_an_instance_on_a_peer_counts_only_while_the_peer_is_connected():
    view = View(instances=[row(node=PEER)], members=[member(PEER)])

    assert registry_of(view).endpoints(BASE) == ()
    assert [e.node for e in registry_of(attrs.evolve(view, connected={PEER})).endpoints(BASE)] == [PEER]


def test_an_instance_on_a_draining_node_is_asked_only_while_no_other_is_there():
    """It would refuse soon and cost the call a hop; before its successor serves it is all there is."""
    leaving, staying = row("i1", ME), row("i2", PEER)
    view = View(instances=[leaving], members=[member(draining=True), member(PEER)], connected={PEER})

    assert [e.instance for e in registry_of(view).endpoints(BASE)] == ["i1"]
    both = attrs.evolve(view, instances=[leaving, staying])
    assert [e.instance for e in registry_of(both).endpoints(BASE)] == ["i2"]


def test_whoever_finds_no_endpoint_learns_why():
    """The state and reason end up in NoInstance, which is often all that a user sees."""
    waiting = row(state=SliceState.ACTIVATING, reason="waits for shop:stock")
    desired = DesiredRow(artifact=PRICING, instances=1, blueprint="app")

    assert registry_of(View()).state(BASE) == ("UNKNOWN", "it is not deployed")
    assert registry_of(View(desired=[desired])).state(BASE)[0] == "UNSATISFIED"
    assert registry_of(View(desired=[desired], instances=[waiting], members=[member()])).state(BASE) == (
        "ACTIVATING",
        "waits for shop:stock",
    )


def test_terms_come_from_the_route_row():
    registry = registry_of(View(routes=[RouteRow(artifact=BASE, idempotent=("quote",), deadline_s=2.0)]))

    assert registry.terms(BASE) == Terms(frozenset({"quote"}), 2.0)
    assert registry.terms(BASE).deadline_of("quote") == 2.0
    assert EndpointRegistry(ME).terms(BASE) == Terms()


@given(st.permutations([row("i1"), row("i2", PEER), row("i3"), row("i4", incarnation="old")]))
def test_the_table_depends_on_the_rows_alone_not_on_their_order(rows):
    """Level over edge: whatever woke the rebuild, the same rows give the same table, and no needless wake-up."""
    view = View(instances=rows, members=[member(), member(PEER)], connected={PEER})
    registry = registry_of(view)

    assert [e.instance for e in registry.endpoints(BASE)] == ["i1", "i2", "i3"]
    assert not registry.rebuild(attrs.evolve(view, instances=sorted(rows, key=lambda r: r.instance)))
