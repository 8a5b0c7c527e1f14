"""What a decision costs, in calls of functions: they are the same on a busy machine."""

import itertools
import sys

import pytest

from aether.deployment.fleet import Fleet
from aether.deployment.orders import View
from aether.deployment.reconcile import reconcile
from aether.model.artifact import Artifact
from aether.model.ids import Incarnation, InstanceId, NodeId
from aether.model.lifecycle import SliceState
from aether.model.rows import DesiredRow, InstanceRow, MemberRow

HERE = Incarnation("i")
CALLS_PER_INSTANCE_MAX = 90  # measured: 31 settled, 51 fresh, 33 with a tenth of the nodes lost
CALLS_PER_PART_MAX = 9_000  # a few milliseconds


def view_of(size, kind):
    artifacts = tuple(Artifact.parse(f"shop:s{n:04}:1.0.0") for n in range(size))
    nodes = [NodeId(f"n{n:04}") for n in range(size)]
    numbers = itertools.count()
    rows = [
        InstanceRow(
            instance=InstanceId(f"x{number:06}"),
            artifact=artifact,
            node=nodes[number % size],
            incarnation=HERE,
            state=SliceState.ACTIVE,
        )
        for artifact, number in zip(itertools.cycle(artifacts), itertools.islice(numbers, 10 * size), strict=False)
        if kind != "fresh"
    ]
    gone = size // 10 if kind == "lost" else 0
    return View(
        desired={a.base: DesiredRow(artifact=a, instances=10, blueprint="app") for a in artifacts},
        instances=tuple(rows),
        members={node: MemberRow(node=node, incarnation=HERE, available=artifacts) for node in nodes[gone:]},
    )


def effort(view):
    """Calls of the whole decision, and of its longest part."""
    numbers = itertools.count()
    parts = reconcile(view, lambda: InstanceId(f"y{next(numbers)}"))
    calls, longest, over = 0, 0, False
    counted = 0

    def count(frame, event, _):
        nonlocal counted
        counted += event == "call"

    while not over:
        counted = 0
        sys.setprofile(count)
        try:
            over = next(parts, None) is None
        finally:
            sys.setprofile(None)
        calls, longest = calls + counted, max(longest, counted)
    return calls, longest


@pytest.mark.parametrize("kind", ["settled", "fresh", "lost"])
def test_a_decision_costs_a_few_calls_per_instance_however_many_there_are(kind):
    """Nodes times slices would be a hundred times as much, and a thousand of each is what must work."""
    small, _ = effort(view_of(60, kind))
    large, longest = effort(view_of(240, kind))

    assert large <= 4 * small * 1.4, "four times the size costs about four times as much"
    assert large <= 2_400 * CALLS_PER_INSTANCE_MAX
    assert longest <= CALLS_PER_PART_MAX


def test_a_thousand_members_are_indexed_in_steps():
    """A new leader has other things to do as well, and this comes before its first order."""
    fleet = Fleet(view_of(1_000, "fresh"))
    assert not fleet.standings, "nothing of it is done outside the steps"

    assert sum(1 for _ in fleet.prepare()) >= 10
    assert [standing.order for standing in fleet.standings.values()] == list(range(1_000))
