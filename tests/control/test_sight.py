"""Rows and figures become what a controller sees; decisions become rows; all of it is explained."""

import math

import attrs
import pytest
from tests.control.played import EPOCH_S, SHOP, context, figures, view

from aether.control import journal
from aether.control.decisions import Decision
from aether.control.explanation import explained
from aether.control.gathering import AGE_S_MAX, Running, gathered
from aether.control.settings import ControllerSettings
from aether.control.sight import Rows, has_range, node_views, slice_views
from aether.errors import NotFound
from aether.kv import keys
from aether.kv.commands import Delete, Put
from aether.metrics.methods import MethodFigures
from aether.model.artifact import Artifact
from aether.model.decision import DecisionRow, Reason
from aether.model.ids import Incarnation, InstanceId, NodeId
from aether.model.lifecycle import SliceState
from aether.model.limits import DECISIONS_KEPT, DECISIONS_OF_GONE_S
from aether.model.rows import DesiredRow, InstanceRow, MemberRow, OverrideRow, RouteRow, UnsatisfiedRow

STOCK = Artifact.parse("shop:stock:2.0.0")
A, B = NodeId("a"), NodeId("b")
ROW = DesiredRow(artifact=SHOP, instances=2, blueprint="app", wished=1, instances_min=1, instances_max=8)


class Told:
    """ClusterFigures of two nodes."""

    def __init__(self, ages=(1.0, 2.0)):
        self.ages = dict(zip((A, B), ages, strict=True))

    def nodes(self, names=None, age_max_s=None):
        return {A: {"cpu.usage": 0.9, "loop.lag_s": 0.02}, B: {"cpu.usage": 0.3, "loop.lag_s": 0.2}}

    round_s = 1.0

    def age_s(self, node):
        return self.ages.get(node, math.inf)


def method(artifact=SHOP, **fields):
    return MethodFigures(artifact=artifact, method="place", **fields)


def instance(name, node=A, state=SliceState.ACTIVE, artifact=SHOP, since=EPOCH_S - 100):
    return InstanceRow(
        instance=InstanceId(name), artifact=artifact, node=node, incarnation=Incarnation("i"), state=state, since=since
    )


def rows(*instances, **fields):
    members = tuple(MemberRow(node=node, incarnation=Incarnation("i")) for node in (A, B))
    fields = {"desired": (ROW,), "members": members, "live": {A: Incarnation("i"), B: Incarnation("i")}} | fields
    return Rows(instances=instances, **fields)


def seen(found, **fields):
    (only,) = slice_views(found, EPOCH_S, ControllerSettings(), {}, lambda row: None, **fields)
    return only


# --- figures ----------------------------------------------------------------------------------------------------------


def test_figures_of_a_slice_are_made_of_its_methods_and_its_nodes():
    running = {SHOP.base: Running((A, B), slots=4), STOCK.base: Running((B,))}
    made = gathered(
        EPOCH_S,
        running,
        Told(),
        [
            method(rate=30.0, failure_rate=0.1, in_flight=9, p50_s=0.1, p95_s=0.4),
            attrs.evolve(method(rate=10.0, in_flight=3, p50_s=0.1, p95_s=0.9), method="cancel"),
            method(STOCK, rate=10.0, in_flight=12, p50_s=0.1),
            MethodFigures(artifact=None, method="other", rate=1e6),
        ],
    )[SHOP.base]

    assert (made.rate, made.in_flight, made.queued) == (40.0, 8.0, 4.0)
    assert (made.cpu, made.loop_lag_s, made.p95_s, made.age_s) == (pytest.approx(0.6), 0.2, 0.9, 2.0)
    assert made.failure_rate == pytest.approx(3 / 40)
    assert made.share == pytest.approx(0.5)


def test_a_node_that_told_nothing_makes_figures_old_and_not_low():
    made = gathered(EPOCH_S, {SHOP.base: Running((NodeId("c"),))}, Told(), [])[SHOP.base]

    assert made.age_s == AGE_S_MAX


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -1.0])
def test_figures_that_cannot_be_are_none(wrong):
    """They come from other processes, and must not end this one."""
    told = Told()
    told.nodes = lambda: {A: {"cpu.usage": wrong, "loop.lag_s": wrong}}
    called = [method(rate=wrong, failure_rate=wrong, in_flight=wrong, p50_s=wrong, p95_s=wrong)]

    made = gathered(EPOCH_S, {SHOP.base: Running((A,))}, told, called)[SHOP.base]

    assert (made.cpu, made.rate, made.in_flight, made.failure_rate, made.loop_lag_s) == (0, 0, 0, 0, 0)


def test_a_slice_that_nobody_calls_has_no_share():
    assert gathered(EPOCH_S, {SHOP.base: Running((A,))}, Told(), [])[SHOP.base].share == 0.0


# --- views ------------------------------------------------------------------------------------------------------------


def test_instances_are_counted_by_where_they_stand():
    gone = attrs.evolve(instance("x4"), incarnation=Incarnation("older"))
    found = seen(
        rows(
            instance("x1"),
            instance("x2", B, since=EPOCH_S - 4),
            instance("x3", state=SliceState.ACTIVATING),
            gone,
            instance("x5", state=SliceState.FAILED),
            routes=(RouteRow(artifact=SHOP.base, concurrency=7),),
            unsatisfied=(UnsatisfiedRow(artifact=SHOP.base, missing=2, reason="no room"),),
        )
    )

    assert (found.active, found.moving, found.failed, found.youngest_s) == (2, 2, 1, 4)
    assert (found.concurrency, found.missing, found.unsatisfied) == (7, 2, "no room")
    assert (found.low, found.high, found.wished, found.instances) == (1, 8, 1, 2)


def test_only_a_slice_with_a_range_is_seen():
    assert has_range(ROW)
    assert not has_range(attrs.evolve(ROW, instances_max=None))
    assert not has_range(attrs.evolve(ROW, singleton=True))
    assert slice_views(rows(desired=()), EPOCH_S, ControllerSettings(), {}, lambda row: 9) == ()


def test_a_second_version_beside_it_is_an_update():
    assert seen(rows(desired=(attrs.evolve(ROW, beside=STOCK.version),))).update == "to 2.0.0"


def test_members_are_shown_with_their_figures():
    first, second = node_views(rows(live={A: Incarnation("i")}), Told())

    assert (first.node, first.live, first.cpu, first.duty) == (A, True, 0.9, "ON_DUTY")
    assert (second.live, second.age_s) == (False, 2.0)


# --- the journal ------------------------------------------------------------------------------------------------------

UP = Decision(artifact=SHOP.base, before=2, after=4, reasons=(Reason(rule="cpu", text="CPU 0.9"),))


def entry(number, at=EPOCH_S - 1000, shadow=False, before=1, after=2):
    return DecisionRow(
        artifact=SHOP.base, number=number, before=before, after=after, controller="t", node=A, at=at, shadow=shadow
    )


def made(seen_view, *, shadow=False):
    return journal.entry(context(seen_view), seen_view, UP, "decision_tree", shadow=shadow)


def test_count_override_and_entry_are_one_batch_on_the_rows_as_they_were():
    one = view(2, [figures(EPOCH_S, 2, 900.0)], decisions=(entry(7),))
    batch = journal.acting(ROW, one, made(one), lambda key: 11)

    written = {change.key.text: change.value for change in batch.changes}
    assert written["desired/shop:orders"] == attrs.evolve(ROW, instances=4)
    assert written["overrides/shop:orders"] == OverrideRow(
        artifact=SHOP.base,
        instances=4,
        owner="controller",
        reason="CPU 0.9",
        by="decision_tree",
        at=EPOCH_S,
        until=EPOCH_S + 3600,
    )
    assert written["decisions/shop:orders/8"].inputs["rate"] == 900.0
    assert [(each.key.text, each.version) for each in batch.compares] == [
        ("desired/shop:orders", 11),
        ("overrides/shop:orders", 11),
        ("decisions/shop:orders/8", 0),
    ]


def test_in_shadow_the_entry_is_all():
    one = view(2)
    batch = journal.acting(ROW, one, made(one, shadow=True), lambda key: 11)

    assert [change.key.text for change in batch.changes] == ["decisions/shop:orders/1"]


def test_in_shadow_the_same_is_said_once():
    said = view(2, decisions=(entry(1, shadow=True, before=2, after=4),))

    assert not journal.is_news(said, made(said, shadow=True))
    assert journal.is_news(said, made(said))
    assert journal.is_news(view(2), made(view(2), shadow=True))


def test_the_journal_of_a_slice_is_bounded():
    full = view(2, decisions=tuple(entry(number) for number in range(1, DECISIONS_KEPT + 4)))
    batch = journal.acting(ROW, full, made(full), lambda key: 1)

    gone = [change.key.parts[1] for change in batch.changes if isinstance(change, Delete)]
    left = {row.number for row in full.decisions} - set(gone) | {DECISIONS_KEPT + 4}
    assert gone == [1, 2, 3, 4]
    assert len(left) == DECISIONS_KEPT


def test_a_count_is_said_again_when_half_of_its_time_has_passed():
    own = OverrideRow(artifact=SHOP.base, instances=4, owner="controller", until=EPOCH_S + 3000)
    assert journal.renewal(view(4, override=own), EPOCH_S, lambda key: 5) is None

    late = attrs.evolve(own, until=EPOCH_S + 1000)
    batch = journal.renewal(view(4, override=late), EPOCH_S, lambda key: 5)
    assert batch.changes == (Put(keys.override(SHOP.base), attrs.evolve(late, until=EPOCH_S + 3600)),)

    others = attrs.evolve(late, owner="operator")
    assert journal.renewal(view(4, override=others), EPOCH_S, lambda key: 5) is None
    assert journal.renewal(view(4), EPOCH_S, lambda key: 5) is None


def test_the_journal_of_what_nobody_wants_goes_when_it_is_old():
    old, young = entry(1, EPOCH_S - DECISIONS_OF_GONE_S - 1), entry(2)

    assert journal.left_behind([old, young], [], EPOCH_S) == [Delete(keys.decision(SHOP.base, 1))]
    assert journal.left_behind([old, young], [SHOP.base], EPOCH_S) == []


# --- why --------------------------------------------------------------------------------------------------------------


def test_every_word_about_a_count_is_told_in_order():
    found = rows(
        instance("x1"),
        instance("x2", B, SliceState.ACTIVATING),
        overrides=(
            OverrideRow(artifact=SHOP.base, instances=2, owner="controller", reason="busy", until=EPOCH_S + 60),
        ),
        unsatisfied=(UnsatisfiedRow(artifact=SHOP.base, missing=1, reason="no room"),),
        decisions=(entry(1),),
    )
    answer = explained(found, SHOP.base, EPOCH_S, {"action": "NoAction", "to": 2, "reasons": [{"text": "cool-down"}]})

    assert answer["why"] == [
        "blueprint 'app' wants 1, within 1 to 8",
        "controller wants 2 for 60 s more: busy",
        "2 are wanted: 1 ACTIVATING, 1 ACTIVE",
        "1 find no place: no room",
        "last change: 1000 s ago from 1 to 2 by t: no reason given",
        "controller now: NoAction to 2: cool-down",
    ]
    assert (answer["owner"], answer["range"], answer["states"]) == (
        "controller",
        {"min": 1, "max": 8},
        {"ACTIVATING": 1, "ACTIVE": 1},
    )


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (attrs.evolve(ROW, instances=0, instances_min=0), "it sleeps: the next call wakes it"),
        (attrs.evolve(ROW, instances_max=None), "no controller has a say: it has no range {min, max}"),
        (attrs.evolve(ROW, singleton=True), "no controller has a say: it has no range {min, max}, and is a singleton"),
        (ROW, "the leader has not looked at it yet, or does not answer"),
    ],
)
def test_what_has_no_controller_says_why(row, words):
    assert words in explained(rows(desired=(row,)), SHOP.base, EPOCH_S, None)["why"]


def test_what_is_wanted_no_more_is_about_to_go():
    answer = explained(rows(instance("x1"), desired=()), SHOP.base, EPOCH_S, None)

    assert answer["why"] == ["nobody wants it any more: what runs is about to go"]


def test_what_nobody_knows_is_not_found():
    with pytest.raises(NotFound):
        explained(rows(), STOCK.base, EPOCH_S, None)
