"""Whatever a controller decides, what comes out lies within the bounds."""

import json
import math

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.control.played import CALM, EPOCH_S, LEADER, SHOP, context, view

from aether.control.bounds import clamped, storable, within
from aether.control.decisions import Decision
from aether.control.evaluation import entry_shown
from aether.control.journal import entry
from aether.kv import keys
from aether.model.artifact import Artifact, ArtifactBase
from aether.model.decision import DecisionRow, Reason
from aether.model.limits import (
    CHANGES_PER_MINUTE_IN_ALL_MAX,
    CHANGES_PER_MINUTE_MAX,
    DECISION_REASONS_MAX,
    DECISION_TEXT_CHARS_MAX,
)
from aether.model.rows import OverrideRow

OTHER = ArtifactBase.parse("shop:nothing")


def changed(at, number=1):
    return DecisionRow(artifact=SHOP.base, number=number, before=1, after=2, controller="tree", node=LEADER, at=at)


@st.composite
def views(draw):
    low = draw(st.integers(0, 20))
    override = draw(st.sampled_from([None, "operator", "controller", "ingress"]))
    row = None
    if override is not None:
        until = draw(st.sampled_from([0.0, EPOCH_S - 1, EPOCH_S + 60]))
        row = OverrideRow(artifact=SHOP.base, instances=3, owner=override, until=until)
    return view(
        draw(st.integers(0, 40)),
        low=low,
        high=draw(st.integers(max(1, low), 40)),
        capacity=draw(st.none() | st.integers(0, 40)),
        moving=draw(st.sampled_from([0, 0, 0, 1])),
        update=draw(st.sampled_from(["", "", "", "orders-7"])),
        override=row,
        settings=attrs.evolve(CALM, enabled=draw(st.sampled_from([True, True, True, False]))),
        decisions=tuple(changed(EPOCH_S - age) for age in draw(st.lists(st.floats(-100, 120), max_size=8))),
    )


decisions = st.builds(
    Decision,
    artifact=st.sampled_from([SHOP.base, SHOP.base, SHOP.base, OTHER]),
    before=st.integers(0, 40),
    after=st.integers(-5, 2000) | st.sampled_from([None, 2.5, "7", True, math.nan]),
    confidence=st.floats(allow_nan=True),
    reasons=st.lists(
        st.builds(
            Reason,
            rule=st.text(max_size=60),
            text=st.text(st.characters(), max_size=400),
            value=st.floats(),
            threshold=st.floats() | st.integers() | st.just(10**400),
            count=st.integers(),
        ),
        max_size=20,
    ).map(tuple),
)


@given(seen=views(), said=st.lists(decisions, max_size=4))
def test_no_controller_passes_the_bounds(seen, said):
    made = clamped(context(seen), said)

    assert len(made) <= 1
    for each in made:
        assert each.before == seen.instances
        assert type(each.after) is int
        assert 0 <= each.confidence <= 1
        assert len(each.reasons) <= DECISION_REASONS_MAX + 1
        assert all(len(reason.text) <= DECISION_TEXT_CHARS_MAX for reason in each.reasons[1:])
        if each.changes_something:
            assert seen.override is None or seen.override.owner != "operator"
            assert seen.settings.enabled
            assert not seen.update
            assert not seen.moving
            assert seen.instances > 0
            assert each.after >= 1
            assert seen.instances - max(1, seen.instances // 2) <= each.after <= 2 * seen.instances
            if each.after > seen.instances:
                assert each.after <= min(seen.high, seen.ceiling)
            else:
                assert each.after >= seen.low
            recent = [row for row in seen.decisions if EPOCH_S - 60 < row.at <= EPOCH_S + 60]
            assert len(recent) < CHANGES_PER_MINUTE_MAX


@given(seen=views(), said=st.lists(decisions, max_size=4))
def test_what_is_within_the_bounds_passes_unchanged(seen, said):
    """Clamping twice is clamping once."""
    once = clamped(context(seen), said)
    again = clamped(context(seen), once)

    assert [each.after for each in again] == [each.after for each in once]


@pytest.mark.parametrize(
    ("at", "after", "allowed"),
    [(4, 9, 8), (4, 1, 2), (1, 5, 2), (8, 30, 10), (2, 0, 1), (20, 25, 20), (20, 19, 19)],
)
def test_one_step_at_most_doubles_or_halves_and_stays_within_the_range(at, after, allowed):
    """A count outside of its range, since that has changed, goes only towards it."""
    assert within(view(at), after) == allowed


@given(seen=views(), said=st.lists(decisions, max_size=2))
def test_what_comes_out_can_be_kept_and_read_by_every_node(seen, said):
    """A row that a node cannot read stops it; JSON knows no infinity."""
    asked = context(seen)
    for each in clamped(asked, said):
        row = entry(asked, seen, each, "mine", shadow=False)
        key = keys.decision(SHOP.base, row.number)

        assert key.decode(key.encode(row)) == row
        json.loads(json.dumps(entry_shown(row), allow_nan=False))


def test_half_a_character_is_not_kept():
    assert storable("a\ud800b" * 9, 4) == "a?ba"


def test_a_decision_on_a_count_that_is_no_longer_so_is_dropped():
    made = clamped(context(view(3)), [Decision(artifact=SHOP.base, before=2, after=4)])

    assert (made[0].after, made[0].reasons[0].rule) == (3, "bounds")
    assert "there are 3 by now" in made[0].reasons[0].text


def test_so_many_changes_within_a_minute_are_enough_for_all_slices_together():
    many = tuple(
        view(
            2,
            decisions=tuple(changed(EPOCH_S - 30) for _ in range(CHANGES_PER_MINUTE_MAX - 1)),
        )
        for _ in range(CHANGES_PER_MINUTE_IN_ALL_MAX // (CHANGES_PER_MINUTE_MAX - 1))
    )
    many = tuple(attrs.evolve(each, artifact=Artifact.parse(f"shop:s{n}:1.0.0")) for n, each in enumerate(many))

    made = clamped(context(*many), [Decision(artifact=each.base, before=2, after=3) for each in many])

    assert not any(each.changes_something for each in made)
