"""What applying a blueprint changes: dependencies, versions, owners; all of it decided before anything is written."""

import itertools

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.deployment.blueprint_plan import Action, plan_of
from aether.deployment.blueprint_wishes import Wish, decide_apply, decide_delete
from aether.deployment.dependencies import expand
from aether.deployment.standing import Standing
from aether.deployment.wishes import decide_undeploy
from aether.errors import BadInput, Conflict
from aether.model.artifact import Artifact, ArtifactBase
from aether.model.blueprint_toml import parse_blueprint
from aether.model.duty import Duty
from aether.model.ids import Incarnation, NodeId
from aether.model.rollout import RolloutRow, RolloutState, Strategy
from aether.model.rows import DesiredRow, MemberRow, OverrideRow
from aether.slice_api.description import ContractDescription, DependencyDescription

NONE = Wish()


def artifact(name, version="1.0.0"):
    return Artifact.parse(f"shop:{name}:{version}")


def base(name):
    return ArtifactBase.parse(f"shop:{name}")


def contract(name, needs=(), required=True):
    dependencies = tuple(
        DependencyDescription(field=n, name=n.title(), artifact=f"shop:{n}:1.0.0", required=required) for n in needs
    )
    return ContractDescription(
        name=name, artifact=f"shop:{name}:1.0.0", methods={}, faults={}, definitions={}, dependencies=dependencies
    )


def standing(graph=None, offered=None, **fields):
    """graph  name -> names of what it needs; every one of them has version 1.0.0 and 2.0.0 on the one member"""
    graph = graph or {}
    names = set(graph) | {n for needs in graph.values() for n in needs} if offered is None else set(offered)
    available = tuple(sorted(artifact(n, v) for n in names for v in ("1.0.0", "2.0.0")))
    member = MemberRow(node=NodeId("n1"), incarnation=Incarnation("i"), available=available)
    known = {base(name): contract(name, needs) for name, needs in graph.items()}
    return Standing(members=(member,), contracts=lambda a: known.get(a.base), now=1_000.0, **fields)


def text(*names, owner="shop", extra="", version="1.0.0"):
    return f'id = "{owner}"\n' + "".join(f'[slices.{n}]\nartifact = "shop:{n}:{version}"\n' for n in names) + extra


def apply(state, source, wish=NONE):
    return decide_apply(parse_blueprint(source), state, wish)


def after(state, decision):
    """The rows as they stand once the decision is written."""
    desired = {**state.desired, **decision.desired}
    return attrs.evolve(state, desired={b: row for b, row in desired.items() if row is not None})


# --- dependencies -------------------------------------------------------------------------------------------------


def test_what_a_slice_needs_comes_with_one_instance_and_loads_first():
    """Nobody has to write down what the contracts say already."""
    state = standing({"orders": ["pricing", "stock"], "pricing": ["tax"], "stock": [], "tax": []})

    applying = apply(state, text("orders"))

    assert [a.base.name for a in applying.slices] == ["tax", "pricing", "stock", "orders"]
    rows = applying.decision.desired
    assert {b.name: row.is_dependency for b, row in rows.items()} == {
        "orders": False, "pricing": True, "stock": True, "tax": True,
    }  # fmt: skip
    assert rows[base("tax")].instances == 1


def test_a_dependency_that_is_named_keeps_its_count():
    state = standing({"orders": ["pricing"], "pricing": []})

    rows = apply(state, text("orders", "pricing", extra="instances = 4\n")).decision.desired

    assert (rows[base("pricing")].instances, rows[base("pricing")].is_dependency) == (4, False)


def test_a_dependency_of_another_blueprint_is_used_and_not_taken():
    row = DesiredRow(artifact=artifact("pricing"), instances=3, blueprint="prices")
    state = standing({"orders": ["pricing"], "pricing": ["tax"], "tax": []}, desired={base("pricing"): row})

    rows = apply(state, text("orders")).decision.desired

    assert set(rows) == {base("orders")}


def test_a_circle_is_named_and_runs():
    """Proxies are lazy: slices may need each other. Who did not mean it reads it."""
    state = standing({"a": ["b"], "b": ["c"], "c": ["a"]})

    applying = apply(state, text("a"))

    assert applying.expansion.cycles == ("shop:a -> shop:b -> shop:c -> shop:a",)
    assert len(applying.slices) == 3


def test_a_dependency_that_nobody_offers_is_refused_with_who_needs_it():
    state = standing({"orders": ["pricing"]}, offered=["orders"])

    with pytest.raises(BadInput) as caught:
        apply(state, text("orders"))

    assert caught.value.problems == (
        "shop:pricing: shop:orders:1.0.0 needs it (pricing), and no member offers it",
    )  # fmt: skip


def test_an_optional_dependency_is_left_out_unless_bound():
    state = standing({"orders": [], "pricing": []})
    state = attrs.evolve(state, contracts=lambda a: contract(a.base.name, ["pricing"], required=False))

    assert set(apply(state, text("orders")).decision.desired) == {base("orders")}
    bound = apply(state, text("orders", extra='[bind]\nPricing = "shop:pricing"\n'))
    assert set(bound.decision.desired) == {base("orders"), base("pricing")}


def test_a_dependency_that_nobody_needs_any_more_goes():
    state = standing({"orders": ["pricing"], "pricing": [], "stock": []})
    state = after(state, apply(state, text("orders", "stock")).decision)

    rows = apply(state, text("stock")).decision.desired

    assert rows[base("orders")] is None
    assert rows[base("pricing")] is None
    undeployed = decide_undeploy(base("orders"), None, state).desired
    assert undeployed == {base("orders"): None, base("pricing"): None}


def test_nothing_goes_while_a_contract_is_not_known():
    """An operator's node may know less than the one that applied the text first."""
    state = standing({"orders": ["pricing"], "pricing": [], "stock": []})
    state = after(state, apply(state, text("orders", "stock")).decision)
    blind = attrs.evolve(state, contracts=lambda a: None)

    assert apply(blind, text("orders", "stock")).decision.desired[base("pricing")] is not None
    assert base("pricing") not in decide_undeploy(base("stock"), None, blind).desired


names = st.sampled_from(["a", "b", "c", "d", "e"])


@given(st.dictionaries(names, st.lists(names, max_size=3), min_size=1), st.data())
def test_everything_that_is_needed_is_there_and_comes_before_unless_in_a_circle(graph, data):
    graph = {**{n: [] for needs in graph.values() for n in needs}, **graph}
    wanted = data.draw(st.lists(st.sampled_from(sorted(graph)), min_size=1, unique=True))
    state = standing(graph)

    found = expand({base(n): artifact(n) for n in wanted}, {}, state.contracts, state.offered, {}, "shop")

    order = [a.base.name for a in found.order]
    assert len(order) == len(set(order))
    reached, left = set(wanted), list(wanted)
    while left:
        new = [n for n in graph[left.pop()] if n not in reached]
        reached |= set(new)
        left += new
    assert set(order) == reached
    if not found.cycles:
        assert all(order.index(need) < order.index(name) for name in order for need in graph[name])
    for circle in found.cycles:
        steps = [step.removeprefix("shop:") for step in circle.split(" -> ")]
        assert steps[0] == steps[-1]
        assert all(b in graph[a] for a, b in itertools.pairwise(steps))


# --- owners ---------------------------------------------------------------------------------------------------------


def test_deleting_what_another_blueprint_needs_is_refused_unless_forced():
    state = standing({"orders": ["pricing"], "pricing": []})
    state = after(state, apply(state, text("pricing", owner="prices")).decision)
    state = after(state, apply(state, text("orders")).decision)

    with pytest.raises(Conflict, match="shop:pricing: shop:orders of blueprint 'shop' needs it"):
        decide_delete("prices", state, force=False)
    with pytest.raises(Conflict, match="needs it"):
        apply(state, 'id = "prices"\nslices = []\n')
    assert decide_delete("prices", state, force=True).desired == {base("pricing"): None}


def test_a_dependency_that_another_blueprint_uses_changes_hands():
    """It was never that blueprint's own wish, so it is no reason to refuse."""
    state = standing({"orders": ["pricing"], "carts": ["pricing"], "pricing": []})
    state = after(state, apply(state, text("orders")).decision)
    state = after(state, apply(state, text("carts", owner="carts")).decision)

    rows = decide_delete("shop", state, force=False).desired

    assert rows[base("orders")] is None
    assert (rows[base("pricing")].blueprint, rows[base("pricing")].is_dependency) == ("carts", True)


# --- versions -------------------------------------------------------------------------------------------------------


def running(**fields):
    state = standing({"pricing": []})
    state = after(state, apply(state, text("pricing", extra="instances = 2\n")).decision)
    return attrs.evolve(state, running=frozenset({artifact("pricing")}), **fields)


def test_another_version_of_a_slice_that_runs_begins_an_update():
    """The row keeps the version in force: the update moves it, without a failed request."""
    source = text("pricing", version="2.0.0", extra='instances = 3\n[deployment]\nstrategy = "blue_green"\n')

    decision = apply(running(), source, Wish(by="ann")).decision

    (rollout,) = decision.rollouts
    assert (rollout.old, rollout.new) == (artifact("pricing").version, artifact("pricing", "2.0.0").version)
    assert (rollout.plan.strategy, rollout.by, rollout.state) == (Strategy.BLUE_GREEN, "ann", RolloutState.PENDING)
    row = decision.desired[base("pricing")]
    assert (row.artifact, row.instances) == (artifact("pricing"), 3)


def test_another_version_of_what_never_ran_is_changed_at_once():
    """A broken version is replaced by its fix; there is no traffic to be careful with."""
    state = attrs.evolve(running(), running=frozenset())

    decision = apply(state, text("pricing", version="2.0.0")).decision

    assert decision.rollouts == ()
    assert decision.desired[base("pricing")].artifact == artifact("pricing", "2.0.0")


def updated(state, reached):
    row = RolloutRow(
        id="u1", artifact=base("pricing"), old=artifact("pricing").version, new=artifact("pricing", "2.0.0").version
    )
    return attrs.evolve(state, rollouts={base("pricing"): attrs.evolve(row, state=reached)})


def test_a_text_that_would_take_back_a_completed_update_is_a_conflict_unless_forced():
    """A pipeline with an old file must not undo what an operator did in the evening."""
    state = updated(running(), RolloutState.COMPLETED)
    row = attrs.evolve(state.desired[base("pricing")], artifact=artifact("pricing", "2.0.0"))
    state = attrs.evolve(state, desired={base("pricing"): row}, running=frozenset({row.artifact}))

    with pytest.raises(Conflict, match=r"the text says 1\.0\.0, but update u1 has brought 2\.0\.0 since"):
        apply(state, text("pricing"))
    (rollout,) = apply(state, text("pricing"), Wish(force=True)).decision.rollouts
    assert rollout.new == artifact("pricing").version


def test_while_an_update_is_under_way_its_counts_and_versions_are_left_alone():
    state = updated(running(), RolloutState.ROUTING)
    row = attrs.evolve(
        state.desired[base("pricing")], instances=1, beside=artifact("pricing", "2.0.0").version, beside_instances=1
    )
    state = attrs.evolve(state, desired={base("pricing"): row})

    decision = apply(state, text("pricing", version="2.0.0", extra="instances = 5\n")).decision

    assert decision.rollouts == ()
    assert decision.desired[base("pricing")] == attrs.evolve(row, wished=5)
    third = attrs.evolve(state, members=(attrs.evolve(state.members[0], available=(artifact("pricing", "3.0.0"),)),))
    with pytest.raises(Conflict, match=r"its update u1 from 1\.0\.0 to 2\.0\.0 is under way \(ROUTING\)"):
        apply(third, text("pricing", version="3.0.0"))


def test_an_update_that_breaks_callers_is_refused_unless_forced():
    state = attrs.evolve(running(), breaks=lambda old, new: ["shop:orders:1.0.0 calls it: quote: gone"])

    with pytest.raises(Conflict, match=r"2\.0\.0 breaks its callers: shop:orders:1\.0\.0 calls it"):
        apply(state, text("pricing", version="2.0.0"))
    forced = apply(state, text("pricing", version="2.0.0"), Wish(force=True))
    assert forced.decision.rollouts
    assert plan_of("shop", forced, state, None, "").warnings == (
        "shop:pricing:2.0.0 breaks its callers: shop:orders:1.0.0 calls it: quote: gone",
    )


# --- room -----------------------------------------------------------------------------------------------------------


def test_an_atomic_blueprint_that_finds_no_room_is_refused_and_another_one_is_warned_of():
    state = standing({"pricing": []})
    source = text("pricing", extra="instances = 3\nmax_per_node = 1\n")
    line = "2 of 3 instances of shop:pricing:1.0.0 find no place: max_per_node = 1 is reached on n1"

    assert apply(state, source).short == (line,)
    with pytest.raises(Conflict, match="mode is atomic, and not all would run: 2 of 3"):
        apply(state, source + '[deployment]\nmode = "atomic"\n')


def test_labels_and_pins_count_before_anything_is_placed():
    state = standing({"pricing": []})
    source = text("pricing", extra='placement = { labels = { disk = "ssd" } }\n')

    (line,) = apply(state, source).short
    assert line.startswith(
        "1 of 1 instances of shop:pricing:1.0.0 find no place: no node that offers it has label disk"
    )


# --- plans ----------------------------------------------------------------------------------------------------------


def plan(state, source):
    return plan_of("shop", apply(state, source), state, None, source)


def test_a_plan_says_for_each_slice_what_becomes_of_it():
    state = standing({"orders": ["pricing"], "pricing": [], "stock": [], "carts": []})
    state = after(state, apply(state, text("orders", "stock")).decision)
    override = OverrideRow(artifact=base("orders"), instances=5, owner="operator", by="ann", reason="sale")
    state = attrs.evolve(state, overrides={base("orders"): override}, running=frozenset({artifact("orders")}))
    source = text("carts") + '[slices.orders]\nartifact = "shop:orders:2.0.0"\ninstances = 2\n'

    found = {s.artifact.name: s for s in plan(state, source).slices}

    assert {name: s.action for name, s in found.items()} == {
        "carts": Action.CREATE, "orders": Action.CHANGE, "pricing": Action.UNCHANGED, "stock": Action.DELETE,
    }  # fmt: skip
    orders = found["orders"]
    assert (orders.old, orders.new) == (artifact("orders"), artifact("orders", "2.0.0"))
    assert (orders.rollout, orders.instances) == ("rolling", (1, 2))
    assert orders.taken_back == "5 instances by ann: sale"
    assert found["pricing"].is_dependency


def test_a_plan_of_what_is_so_changes_nothing():
    state = standing({"orders": ["pricing"], "pricing": []})
    source = text("orders")
    state = after(state, apply(state, source).decision)

    assert all(s.action is Action.UNCHANGED for s in plan(state, source).slices)


# --- room: as the decision about places sees it -----------------------------------------------------------------------


def crowded(**fields):
    """`pricing` 1.0.0 is in force, and serves."""
    old = DesiredRow(artifact=artifact("pricing"), instances=1, wished=1, blueprint="shop", max_per_node=1)
    state = standing({"pricing": []}, desired={base("pricing"): old}, running=frozenset({artifact("pricing")}))
    return attrs.evolve(state, **fields)


def test_an_update_that_comes_with_a_blueprint_needs_room_as_any_other():
    """The one instance may not go, and there is no second place."""
    extra = "instances = 1\nmax_per_node = 1\nmin_available = 1\n"
    source = text("pricing", version="2.0.0", extra=extra)
    with pytest.raises(Conflict, match=r"2 instances of two versions do not fit, the members have room for 1"):
        apply(crowded(), source)
    back = apply(crowded(), source, Wish(force=True, taking_back=True))
    assert len(back.decision.rollouts) == 1, "what did not come off goes back all the same"
    (second,) = apply(crowded(), text("pricing", version="2.0.0", extra="max_per_node = 1\n")).decision.rollouts
    assert second.new == artifact("pricing", "2.0.0").version


@pytest.mark.parametrize(
    ("fields", "extra", "why"),
    [
        ({"duties": {NodeId("n1"): Duty.DECOMMISSIONED}}, "", "draining or do not answer: n1"),
        ({"duties": {NodeId("n1"): Duty.JOINING}}, "", "draining or do not answer: n1"),
        ({"learners": frozenset({NodeId("n1")})}, 'placement = { on = "core" }\n', "has kind = core: n1"),
    ],
)
def test_a_member_that_takes_no_instances_is_no_room(fields, extra, why):
    state = attrs.evolve(standing({"pricing": []}), **fields)
    (line,) = apply(state, text("pricing", extra=extra)).short
    assert line.startswith("1 of 1 instances of shop:pricing:1.0.0 find no place: ")
    assert why in line


def test_the_capacity_of_members_bounds_what_they_hold():
    state = standing({"pricing": []})
    member = attrs.evolve(state.members[0], labels={"capacity": "2"})
    (line,) = apply(attrs.evolve(state, members=(member,)), text("pricing", extra="instances = 3\n")).short
    assert line.startswith("1 of 3 instances of shop:pricing:1.0.0 find no place: ")
