"""When a slice that may scale to zero sleeps, and what wakes it: the decisions alone."""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.deployment.sleeping import (
    Quiet,
    decide_sleep,
    decide_sleepers,
    decide_wake,
    is_idle,
    looked,
    noted,
)
from aether.model.artifact import Artifact
from aether.model.ids import Incarnation, InstanceId, NodeId
from aether.model.lifecycle import SliceState
from aether.model.rows import DesiredRow, InstanceRow, OverrideRow
from aether.model.version import Version

ECHO = Artifact.parse("a:echo:1.0.0")
LIGHT = DesiredRow(artifact=ECHO, instances=1, blueprint="app", instances_min=0, instances_max=9, idle_s=60)
ASLEEP = attrs.evolve(LIGHT, instances=0, wished=1)
NOW = 1_000.0


def instance(name="x1", state=SliceState.ACTIVE, since=100.0, idle_since=500.0):
    return InstanceRow(
        instance=InstanceId(name),
        artifact=ECHO,
        node=NodeId("n1"),
        incarnation=Incarnation("i1"),
        state=state,
        since=since,
        idle_since=idle_since,
    )


def override(owner, instances=1, at=900.0, until=0.0):
    return OverrideRow(artifact=ECHO.base, instances=instances, owner=owner, at=at, until=until)


def test_a_slice_sleeps_when_all_its_instances_are_idle():
    decided = decide_sleep(LIGHT, [instance("x1"), instance("x2")], None, NOW)

    assert decided is not None
    assert (decided.desired.instances, decided.desired.wished) == (0, 1)
    assert (decided.override.instances, decided.override.owner) == (0, "sleep")
    assert len(decided.seen) == 2


@pytest.mark.parametrize(
    "row",
    [
        attrs.evolve(LIGHT, instances_min=1),
        attrs.evolve(LIGHT, instances_min=None),
        attrs.evolve(LIGHT, beside=Version.parse("2.0.0"), beside_instances=1),
        attrs.evolve(LIGHT, min_available="1"),
        attrs.evolve(LIGHT, min_available="50%"),
        ASLEEP,
    ],
)
def test_it_never_sleeps_below_its_bounds_during_an_update_or_against_its_disruption_budget(row):
    assert decide_sleep(row, [instance()], None, NOW) is None


@pytest.mark.parametrize(
    "busy",
    [
        instance("x2", idle_since=0.0),
        instance("x2", idle_since=99.0),  # of before it became ACTIVE again
        instance("x2", SliceState.ACTIVATING),
        instance("x2", SliceState.DEACTIVATING),
        instance("x2", SliceState.LOAD),
    ],
)
def test_one_instance_that_is_used_or_on_its_way_keeps_all_of_them(busy):
    assert decide_sleep(LIGHT, [instance("x1"), busy], None, NOW) is None


def test_a_count_that_an_operator_set_stands_until_it_is_over():
    assert decide_sleep(LIGHT, [instance()], override("operator"), NOW) is None
    assert decide_sleep(LIGHT, [instance()], override("operator", until=NOW), NOW) is not None
    assert decide_sleep(LIGHT, [instance()], override("scaler", instances=5), NOW) is not None


def test_a_slice_that_cannot_start_sleeps_again_when_the_call_that_woke_it_would_have_let_it():
    """Its calls were told why; nobody asks any more, and it need not try for ever."""
    failed = [instance("x1", SliceState.FAILED, idle_since=0.0)]

    assert decide_sleep(LIGHT, failed, override("ingress", at=NOW - 59), NOW) is None
    assert decide_sleep(LIGHT, failed, override("ingress", at=NOW - 60), NOW) is not None
    assert decide_sleep(LIGHT, failed, None, NOW) is None  # nobody woke it: a deployment that still tries
    assert decide_sleep(LIGHT, [], override("ingress", at=0.1), NOW) is None


def test_a_call_wakes_what_sleeps_with_the_count_that_the_blueprint_wishes():
    decided = decide_wake(attrs.evolve(ASLEEP, wished=3), "n2", NOW, "a call found it asleep")

    assert decided is not None
    assert (decided.desired.instances, decided.override.instances) == (3, 3)
    assert (decided.override.owner, decided.override.by, decided.override.at) == ("ingress", "n2", NOW)


@pytest.mark.parametrize("row", [None, LIGHT, attrs.evolve(ASLEEP, instances_min=None)])
def test_a_call_wakes_nothing_that_is_awake_unwanted_or_was_set_to_nothing_by_hand(row):
    assert decide_wake(row, "n2", NOW, "") is None


def test_a_slice_whose_wish_is_none_is_woken_with_one():
    decided = decide_wake(attrs.evolve(ASLEEP, wished=0), "n2", NOW, "")

    assert decided is not None
    assert (decided.desired.instances, decided.desired.wished) == (1, 0)


def test_what_sleeps_without_known_routes_is_woken_by_the_leader():
    """After a restore nobody could reach it over HTTP, and so nobody would wake it."""
    [woken] = decide_sleepers([ASLEEP], {}, {}, frozenset(), NOW)

    assert woken.desired.instances == 1
    assert list(decide_sleepers([ASLEEP], {}, {}, {ECHO.base}, NOW)) == []


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3), st.floats(0.01, 50)), max_size=40))
def test_an_instance_is_idle_exactly_when_no_look_saw_a_call_for_so_long(looks):
    """A row is written only when what it says changes, and says "idle" only after 60 quiet seconds."""
    row, quiet, now, asked, quiet_since = instance(since=NOW, idle_since=0.0), None, 0.0, 0, None
    for runs, calls, pause_s in looks:
        now += pause_s
        asked += calls
        quiet = looked(quiet, int(runs), asked, now)
        if runs or calls or quiet_since is None:
            quiet_since = now
        said = noted(row, quiet, 60.0, now, NOW + now)
        if said is not None:
            assert is_idle(said) != is_idle(row)
            row = said
        assert is_idle(row) == (now - quiet_since >= 60.0)


def test_what_a_row_said_before_its_instance_became_active_again_is_said_anew():
    again = instance(since=700.0, idle_since=500.0)

    assert not is_idle(again)
    assert noted(again, Quiet(0, 0.0), 60.0, 30.0, NOW) == attrs.evolve(again, idle_since=0.0)
    assert noted(again, Quiet(0, 0.0), 60.0, 70.0, NOW) == attrs.evolve(again, idle_since=NOW - 70.0)
