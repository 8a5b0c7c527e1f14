"""What the change of a row tells, and that every node is told the same."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aether.kv import keys
from aether.kv.store import RowChange
from aether.metrics.derivation import OBSERVED, Derivation
from aether.metrics.events import EventType
from aether.model.access import ApiTokenRow, Role
from aether.model.alerts import AlertRow, Severity, ThresholdRow
from aether.model.artifact import Artifact
from aether.model.duty import Duty, DutyRow
from aether.model.lifecycle import SliceState
from aether.model.rollout import RolloutRow, RolloutState
from aether.model.rows import (
    ApplyRow,
    ApplyState,
    BlueprintRow,
    DesiredRow,
    InstanceRow,
    LeadershipRow,
    MemberRow,
    OverrideRow,
    RemovedRow,
    UnsatisfiedRow,
)
from aether.model.setting import SettingRow
from aether.model.version import Version

ORDERS = Artifact.parse("shop:orders:1.0.0")
BASE = ORDERS.base
DESIRED = DesiredRow(artifact=ORDERS, instances=2, blueprint="shop")
SECRET = "s3cr3t"


def instance(name, state, reason="", node="n1"):
    return InstanceRow(
        instance=name, artifact=ORDERS, node=node, incarnation=f"{node}.1", state=SliceState(state), reason=reason
    )


def change(key, old, new, revision=1):
    raw = [None if value is None else key.encode(value) for value in (old, new)]
    return RowChange(revision, revision * 1000, key.text, *raw)


class Story:
    """Changes one after the other, each row's old value remembered."""

    def __init__(self):
        self.derivation, self.rows, self.told = Derivation(), {}, []

    def put(self, key, value):
        old, self.rows[key.text] = self.rows.get(key.text), value
        found = self.derivation.derive(change(key, old, value))
        self.told += found
        return [each.type.value for each in found]


def types(key, old, new):
    return [each.type.value for each in Derivation().derive(change(key, old, new))]


MEMBER = MemberRow(node="n1", incarnation="i1")
ROLLOUT = RolloutRow(id="r1", artifact=BASE, old=Version.parse("1.0.0"), new=Version.parse("2.0.0"), by="ann")
APPLY = ApplyRow(id="shop", number=2, previous=1, slices=(ORDERS,), timeout_s=60.0)
ALERT = AlertRow(metric="cpu.usage", subject="n1", severity=Severity.WARNING, value=0.8, threshold=0.7, since=1.0)
TOKEN = ApiTokenRow(id="t1", digest=b"x", role=Role.VIEWER, created_by="ann")
THRESHOLD = ThresholdRow(metric="cpu.usage", warning=0.7, critical=0.9, by="ann")
OVERRIDE = OverrideRow(artifact=BASE, instances=4, owner="scaler", reason="load")
SHORT = UnsatisfiedRow(artifact=BASE, missing=1, reason="no room")
TEXT = BlueprintRow(id="shop", number=2, text="id", applied_by="ann")


@pytest.mark.parametrize(
    ("key", "old", "new", "expected"),
    [
        (keys.member("n1"), None, attrs.evolve(MEMBER, incarnation=""), ["NODE_ANNOUNCED"]),
        (keys.member("n1"), None, attrs.evolve(MEMBER, joining=True), []),
        (keys.member("n1"), attrs.evolve(MEMBER, joining=True), MEMBER, ["NODE_JOINED"]),
        (keys.member("n1"), MEMBER, attrs.evolve(MEMBER, incarnation="i2"), ["NODE_JOINED"]),
        (keys.member("n1"), MEMBER, attrs.evolve(MEMBER, http_address="h:1"), []),
        (keys.member("n1"), MEMBER, attrs.evolve(MEMBER, draining=True), ["NODE_SHUTTING_DOWN"]),
        (keys.member("n1"), MEMBER, None, ["NODE_LEFT"]),
        (keys.removed("n1"), None, RemovedRow(node="n1", by="ann"), ["NODE_REMOVED"]),
        (keys.duty("n1"), None, DutyRow(node="n1", duty=Duty.DRAINING), ["NODE_DRAINING"]),
        (
            keys.duty("n1"),
            DutyRow(node="n1", duty=Duty.DRAINING),
            DutyRow(node="n1", duty=Duty.DECOMMISSIONED),
            ["NODE_DECOMMISSIONED"],
        ),
        (keys.duty("n1"), DutyRow(node="n1", duty=Duty.DRAINING), None, ["NODE_ACTIVATED"]),
        (keys.leadership, LeadershipRow(term=1, node="n1"), LeadershipRow(term=2, node="n2"), ["LEADER_ELECTED"]),
        (keys.cluster, None, keys.ClusterRow(uuid="u", name="shop"), ["CLUSTER_CREATED"]),
        (keys.feature_level, 1, 2, ["FEATURE_LEVEL_RAISED"]),
        (keys.override(BASE), None, OVERRIDE, ["OVERRIDE_SET"]),
        (keys.override(BASE), OVERRIDE, attrs.evolve(OVERRIDE, at=5.0), []),
        (keys.override(BASE), OVERRIDE, None, ["OVERRIDE_ENDED"]),
        (keys.unsatisfied(BASE), None, SHORT, ["PLACEMENT_SHORT"]),
        (keys.unsatisfied(BASE), SHORT, None, ["PLACEMENT_SATISFIED"]),
        (keys.blueprint("shop", 2), None, TEXT, ["BLUEPRINT_APPLIED"]),
        (keys.blueprint("shop", 2), None, attrs.evolve(TEXT, reason="back to 1"), ["BLUEPRINT_ROLLED_BACK"]),
        (keys.blueprint("shop", 2), TEXT, None, []),
        (keys.blueprint_current("shop"), 2, None, ["BLUEPRINT_DELETED"]),
        (keys.atomic_apply("shop"), APPLY, attrs.evolve(APPLY, state=ApplyState.RETURNING), ["DEPLOYMENT_FAILED"]),
        (keys.rollout(BASE, "r1"), None, ROLLOUT, ["UPDATE_STARTED"]),
        (keys.rollout(BASE, "r1"), ROLLOUT, attrs.evolve(ROLLOUT, state=RolloutState.DEPLOYING), ["UPDATE_STEP"]),
        (keys.rollout(BASE, "r1"), ROLLOUT, attrs.evolve(ROLLOUT, weight_new=1), ["UPDATE_STEP"]),
        (keys.rollout(BASE, "r1"), ROLLOUT, attrs.evolve(ROLLOUT, health={"p99": "1"}), []),
        (keys.rollout(BASE, "r1"), ROLLOUT, attrs.evolve(ROLLOUT, paused=True), ["UPDATE_PAUSED"]),
        (keys.rollout(BASE, "r1"), attrs.evolve(ROLLOUT, paused=True), ROLLOUT, ["UPDATE_RESUMED"]),
        (keys.rollout(BASE, "r1"), ROLLOUT, attrs.evolve(ROLLOUT, state=RolloutState.COMPLETED), ["UPDATE_COMPLETED"]),
        (keys.rollout(BASE, "r1"), ROLLOUT, None, []),
        (keys.alert("cpu.usage", "n1"), None, ALERT, ["ALERT_TRIGGERED"]),
        (keys.alert("cpu.usage", "n1"), ALERT, attrs.evolve(ALERT, severity=Severity.CRITICAL), ["ALERT_TRIGGERED"]),
        (keys.alert("cpu.usage", "n1"), ALERT, None, ["ALERT_RESOLVED"]),
        (keys.threshold("cpu.usage"), None, THRESHOLD, ["THRESHOLD_SET"]),
        (keys.threshold("cpu.usage"), THRESHOLD, attrs.evolve(THRESHOLD, is_off=True), ["THRESHOLD_REMOVED"]),
        (keys.threshold("cpu.usage"), THRESHOLD, None, ["THRESHOLD_REMOVED"]),
        (keys.setting("alert-sinks"), None, SettingRow(value="{}", by="ann"), ["SETTING_CHANGED"]),
        (keys.token("t1"), None, TOKEN, ["TOKEN_CREATED"]),
        (keys.token("t1"), TOKEN, None, ["TOKEN_REVOKED"]),
    ],
    ids=lambda value: value.text if hasattr(value, "text") else None,
)
def test_a_change_tells_what_it_means(key, old, new, expected):
    """Each is derived from the row before and after, and from nothing else."""
    assert types(key, old, new) == expected
    assert key.text.startswith(OBSERVED)


def test_the_instances_of_a_slice_tell_when_all_are_there_and_when_some_are_not():
    story = Story()
    one, two = keys.instance(BASE, "i1"), keys.instance(BASE, "i2")

    assert story.put(keys.desired(BASE), DESIRED) == ["DEPLOYMENT_STARTED"]
    assert story.put(one, instance("i1", "LOADING")) == []
    assert story.put(one, instance("i1", "ACTIVE")) == []
    assert story.put(two, instance("i2", "ACTIVE")) == ["DEPLOYMENT_COMPLETED"]
    assert story.put(two, instance("i2", "FAILED", "boom")) == ["SLICE_FAILURE", "SLICE_DEGRADED"]
    assert story.put(one, None) == ["SLICE_ALL_INSTANCES_FAILED"]
    assert story.put(one, instance("i1", "ACTIVE")) == []
    assert story.put(two, instance("i2", "ACTIVE")) == ["DEPLOYMENT_COMPLETED"]
    assert story.put(keys.desired(BASE), attrs.evolve(DESIRED, instances=1)) == ["SCALED"]
    assert story.put(two, instance("i2", "DEACTIVATE")) == []
    assert story.put(keys.desired(BASE), None) == ["SLICE_UNDEPLOYED"]
    assert story.put(one, None) == []


def test_an_update_under_way_does_not_count_as_a_slice_that_lacks_instances():
    """Its instances come and go by plan; the update has events of its own."""
    story = Story()
    one, updating = keys.instance(BASE, "i1"), attrs.evolve(DESIRED, instances=1, beside=Version.parse("2.0.0"))
    story.put(keys.desired(BASE), updating)
    story.put(one, instance("i1", "ACTIVE"))

    assert story.put(one, instance("i1", "DEACTIVATE")) == []


def test_an_instance_that_stops_in_order_is_no_failure_of_the_slice():
    story = Story()
    one = keys.instance(BASE, "i1")
    story.put(keys.desired(BASE), attrs.evolve(DESIRED, instances=1, singleton=True))
    story.put(one, instance("i1", "ACTIVE"))

    assert story.put(one, instance("i1", "DEACTIVATE")) == ["SLICE_DEGRADED"]


def test_no_event_holds_the_value_of_a_setting_or_the_digest_of_a_token():
    story = Story()
    story.put(keys.setting("alert-sinks"), SettingRow(value=f'{{"url": "https://h/{SECRET}"}}', by="ann"))
    story.put(keys.token("t1"), attrs.evolve(TOKEN, digest=SECRET.encode()))

    assert len(story.told) == 2
    assert SECRET not in repr(story.told)


def test_a_row_that_this_version_does_not_understand_is_told_of_and_hides_nothing():
    derivation = Derivation()
    (found,) = derivation.derive(RowChange(1, 0, keys.threshold("x").text, None, b"\xc1"))

    assert found.type is EventType.ROW_UNREADABLE
    assert [each.type for each in derivation.derive(change(keys.threshold("x"), None, THRESHOLD))] == ["THRESHOLD_SET"]


STATES = st.sampled_from([None, "LOADING", "ACTIVE", "FAILED", "DEACTIVATE"])
STEPS = st.one_of(
    st.tuples(st.sampled_from(["i1", "i2", "i3"]), STATES),
    st.tuples(st.just("desired"), st.sampled_from([None, 0, 1, 2, 3])),
)


@settings(max_examples=150)
@given(st.lists(STEPS, max_size=30), st.integers(0, 30))
def test_a_node_that_begins_with_a_snapshot_goes_on_as_the_one_that_saw_everything(steps, at):
    """The tally depends on rows alone: otherwise two nodes would tell different stories under the same ids."""
    whole = Story()
    for number, (what, value) in enumerate(steps):
        if number == at:
            rows = [(text, keys.parse(text).encode(row)) for text, row in whole.rows.items() if row is not None]
            late = Derivation(rows)
        if what == "desired":
            key, row = keys.desired(BASE), None if value is None else attrs.evolve(DESIRED, instances=value)
        else:
            key, row = keys.instance(BASE, what), None if value is None else instance(what, value)
        old = whole.rows.get(key.text)
        whole.told.clear()
        whole.put(key, row)
        if number >= at:
            assert late.derive(change(key, old, row)) == whole.told
