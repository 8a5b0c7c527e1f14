"""What counts as success of the demo: each way to fail is told, and a success has nothing to tell."""

import attrs
import pytest

from aether.cli.demo_command import report
from aether.errors import BadInput
from aether.forge.audit import Audit
from aether.forge.demo import DemoPlan, DemoResult, Disturbance, order_client, order_demo
from aether.forge.load import IN_FLIGHT_MAX, OrderOutcome


def outcome(**changes):
    facts = {"key": "k", "order": {}, "sent_s": 0.0, "latency_s": 0.01, "repeats": 0, "status": 200, "answer": {}}
    return OrderOutcome(**{**facts, **changes})


def audited(node="node-1", **changes):
    facts = {
        "node": node, "acknowledged": 1, "missing": (), "duplicated": (), "undecided": (),
        "taken": {"p": 1}, "sold": {"p": 1}, "reserved": {"p": 1},
    }  # fmt: skip
    return Audit(**{**facts, **changes})


HIT = Disturbance(
    node="node-3",
    was_leader=False,
    in_flight=8,
    killed_s=5.0,
    healed_s=7.0,
    placement_during=(("a:b:1", "n", "ACTIVE"),),
)
GOOD = DemoResult(
    plan=DemoPlan(),
    outcomes=(outcome(), outcome(sent_s=6.0), outcome(sent_s=9.0, status=409)),
    audits=tuple(audited(f"node-{n}") for n in (1, 2, 3)),
    before=(("g:a:1.0.0", "node-1", "ACTIVE"),),
    after=(("g:a:1.0.0", "node-2", "ACTIVE"),),
    disturbance=HIT,
)


def test_a_good_run_has_no_problem():
    assert GOOD.problems == ()
    assert "success" in list(report(GOOD))[-1]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"outcomes": (outcome(), outcome(status=0, problem="no answer"))}, "no answer"),
        ({"outcomes": (outcome(status=409),)}, "no order was placed"),
        ({"audits": (audited(), audited("node-2"), audited("node-3", missing=("ORD-1",)))}, "audit of node-3"),
        ({"audits": (audited(), audited("node-2", sold={"p": 2}), audited("node-3"))}, "audit of node-2"),
        ({"audits": (audited(), audited("node-2"))}, "only node-1, node-2"),
        ({"disturbance": attrs.evolve(HIT, healed_s=None)}, "healing took inf"),
        ({"disturbance": attrs.evolve(HIT, healed_s=10.1)}, "healing took 5.1"),
        ({"disturbance": attrs.evolve(HIT, in_flight=7)}, "only 7 orders were in flight"),
        ({"plan": DemoPlan(kill="leader")}, "did not lead"),
    ],
)
def test_every_shortcoming_is_a_failure_that_is_told(changes, says):
    """A demo that ends in "success" by not looking is worse than none."""
    result = attrs.evolve(GOOD, **changes)

    assert any(says in problem for problem in result.problems), result.problems
    assert "FAILED" in list(report(result))[-1]


@pytest.mark.parametrize(
    "plan",
    [DemoPlan(rate=0), DemoPlan(rate=2_001), DemoPlan(seconds=1), DemoPlan(nodes=2), DemoPlan(rate=float("nan"))],
)
def test_a_plan_that_cannot_work_is_refused(plan):
    with pytest.raises(BadInput):
        plan.check()


def test_the_shop_is_found_in_the_repository():
    assert (order_demo() / "orders.jsonl").is_file()


async def test_every_order_in_flight_has_a_connection():
    """An order that waits for a connection of its client looks like a cluster that does not answer."""
    async with order_client() as client:
        pool = client._transport._pool

        assert pool._max_connections > IN_FLIGHT_MAX
