"""What the decision tree does under loads that clusters meet, each with the decisions that are expected."""

import itertools
import math

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.control.played import CALM, EPOCH_S, SHOP, Played, figures, rules, view

from aether.control.settings import ControllerSettings
from aether.control.trending import rising
from aether.model.rows import OverrideRow

COARSE = attrs.evolve(CALM, interval_s=15.0, up_window_s=30.0)
"""A third of the looks, for loads of hours."""


def test_a_ramp_is_followed_upwards_step_by_step_and_never_turned_round():
    """From 200 to 2000 calls a second within half an hour."""
    played = Played(lambda second: 200 + 1800 * min(1.0, second / 1800)).run(2400)

    assert [count for _, count in played.counts] == [4, 7]
    assert max(each.cpu for each in played.window) < CALM.cpu_up


def test_a_ramp_is_seen_coming_before_any_instance_is_full():
    played = Played(lambda second: 100 + second * 1.2).run(600)

    first, _ = played.counts[0]
    cpu = played.window[int(first // 5)].cpu
    assert "trend" in [reason.rule for reason in played.journal[0].reasons]
    assert cpu < CALM.cpu_up


def test_without_a_horizon_a_ramp_waits_for_the_threshold():
    calm = attrs.evolve(CALM, trend_horizon_s=0.0)
    played = Played(lambda second: 100 + second * 1.2, settings=calm).run(600)

    first, _ = played.counts[0]
    assert played.window[int(first // 5)].cpu > CALM.cpu_up
    assert "trend" not in [reason.rule for reason in played.journal[0].reasons]


def test_instances_that_take_in_what_waited_are_no_rise_of_the_load():
    """Twelve calls all the time: first one instance has four of them, then two have eight, then three have all."""
    taken = [1] * 4 + [2] * 4 + [3] * 4
    looks = [
        figures(EPOCH_S - 5.0 * (len(taken) - n), active, in_flight=4.0 * active, queued=12.0 - 4.0 * active)
        for n, active in enumerate(taken, 1)
    ]

    assert rising(view(3, looks, concurrency=4), EPOCH_S) is None


def test_a_spike_that_stays_is_met_within_half_a_minute():
    played = Played(lambda second: 300 if second < 600 else 1500).run(700)

    assert played.counts[0] == (615.0, 4)
    assert "cpu" in [reason.rule for reason in played.journal[0].reasons]


def test_a_spike_that_is_over_at_once_changes_nothing():
    """Five seconds of a hundred times the load are one look, and a window wants more."""
    played = Played(lambda second: 3000 if second == 600 else 300).run(1200)

    assert played.counts == []


def test_a_slow_drift_downwards_ends_at_the_fewest_that_carry_it():
    played = Played(lambda second: max(100.0, 2000 - second / 4), instances=8, low=2, settings=COARSE).run(10_000)

    counts = [count for _, count in played.counts]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] == 2
    assert all(later - sooner >= CALM.cool_down_down_s for sooner, later in _pairs([at for at, _ in played.counts]))


def test_fewer_are_only_wanted_after_the_whole_long_window_was_calm():
    played = Played(lambda second: 1200 if second < 600 else 100, instances=4).run(1500)

    first, count = played.counts[0]
    assert first >= 600 + CALM.down_window_s - 2 * CALM.interval_s
    assert count == 2


@settings(max_examples=20, deadline=None)
@given(
    period_s=st.floats(20, 3000),
    low=st.floats(0, 800),
    swing=st.floats(0, 3000),
    square=st.booleans(),
    instances=st.integers(1, 10),
)
def test_a_periodic_load_turns_the_count_round_a_bounded_number_of_times(period_s, low, swing, square, instances):
    """Two turns within one cool-down at the most, whatever the period: nothing flaps."""

    def load(second):
        wave = math.sin(2 * math.pi * second / period_s)
        return low + swing * ((wave > 0) if square else (1 + wave) / 2)

    hours_s = 7200.0
    played = Played(load, instances=instances, settings=COARSE).run(hours_s)

    assert played.reversals <= 2 * (hours_s / CALM.cool_down_down_s + 1)
    downs = [
        at
        for (at, count), was in zip(played.counts, [instances, *(c for _, c in played.counts)], strict=False)
        if count < was
    ]
    assert all(later - sooner >= CALM.cool_down_down_s for sooner, later in _pairs(downs))


@settings(max_examples=10, deadline=None)
@given(period_s=st.floats(20, 250), low=st.floats(0, 800), swing=st.floats(0, 3000))
def test_a_square_load_shorter_than_the_window_goes_up_once_and_stays(period_s, low, swing):
    """Its peaks lie in every long window, so nothing ever asks for fewer than they do."""
    calm = attrs.evolve(COARSE, trend_horizon_s=0.0)
    played = Played(lambda s: low + swing * (s % period_s < period_s / 2), settings=calm, instances=1).run(5000)

    assert played.reversals == 0


def test_a_dead_node_is_waited_for_until_its_instances_run_elsewhere():
    """Four instances, one lost: the rest is busy because of that, and not because of the load."""
    played = Played(lambda second: 1200, instances=4).run(600)

    played.look(active=3, moving=1)
    assert rules(played.last) == ["transition"]
    played.look(active=3)
    assert rules(played.last) == ["transition"]
    assert played.counts == []


def test_stuck_metrics_hold_the_count_whatever_they_said_last():
    played = Played(lambda second: 3000).run(5)

    played.look(age_s=60.0)

    assert not played.last.changes_something
    assert rules(played.last) == ["stuck-metrics"]
    assert played.last.reasons[0].value >= 60


def test_a_gap_in_the_figures_is_not_read_as_a_window():
    played = Played(lambda second: 300).run(600)
    played.second = 900
    played.load = lambda second: 3000

    played.look()

    assert rules(played.last) == ["short-window"]


def test_what_was_in_a_gap_nobody_knows_so_it_is_no_reason_for_fewer():
    """The process stood still for a minute: who says that there was no peak?"""
    played = Played(lambda second: 1200 if second < 100 else 100, instances=4)
    played.run(300)
    played.second = 360
    played.run(500)

    assert played.counts == []
    assert "nobody looked for" in played.last.reasons[0].text
    assert played.run(700).counts[0][0] > 600


def test_a_cold_start_is_waited_for():
    """A leader that has just begun, and an instance that has just become ACTIVE, say nothing yet."""
    fresh = Played(lambda second: 3000, leader_since=EPOCH_S).run(20)
    assert rules(fresh.last) == ["leader-warm-up"]

    fresh.look(youngest_s=3.0)
    fresh.second = 60
    fresh.look(youngest_s=3.0)
    assert rules(fresh.last) == ["instance-warm-up"]


def test_slow_calls_of_idle_instances_are_no_reason_for_more():
    """Conflicting signals: what waits for a database does not get faster by more waiting."""
    played = Played(lambda second: 450).run(600, p95_s=5.0, in_flight=2.0)

    assert played.counts == []
    assert "p95" in rules(played.last)


def test_a_busy_machine_of_somebody_else_is_no_reason_for_more():
    """Conflicting signals: CPU is high, but this slice has two of a hundred calls there."""
    played = Played(lambda second: 450).run(600, cpu=0.97, share=0.02)

    assert played.counts == []
    assert any("would not help" in each.words for each in _all_opinions(played))


def test_errors_block_what_cpu_asks_for():
    played = Played(lambda second: 1500).run(120, failure_rate=0.3)

    assert played.counts == []
    assert rules(played.last)[0] == "failures"
    assert "cpu" in rules(played.last)


def test_one_signal_that_asks_for_more_outweighs_all_that_ask_for_fewer():
    played = Played(lambda second: 20).run(120, queued=40.0)

    assert played.counts[0][1] > 2
    assert rules(played.journal[0])[0] == "queue"


def test_a_cool_down_survives_a_change_of_the_leader_because_it_is_in_the_journal():
    old = Played(lambda second: 300 if second < 600 else 3000).run(615)
    assert old.counts[-1] == (615.0, 4)

    new = Played(
        lambda second: 3000,
        instances=4,
        second=620.0,
        window=list(old.window),
        journal=list(old.journal),
        settings=attrs.evolve(CALM, warm_up_s=0.0, instance_warm_up_s=0.0),
    ).run(640)

    assert new.counts == []
    assert "cool-down" in rules(new.last)
    assert new.run(655).counts[0][0] == 645.0


def test_an_operators_count_stands_until_its_time_is_over():
    word = OverrideRow(artifact=SHOP.base, instances=2, owner="operator", by="ann", until=EPOCH_S + 300)
    played = Played(lambda second: 3000).run(290, override=word)

    assert played.counts == []
    assert rules(played.last) == ["operator"]
    assert "ann wants 2 for 10 s more" in played.last.reasons[0].text
    assert played.run(310, override=word).counts == []  # over, but the count is not the blueprint's again yet
    assert played.run(400).counts[0][0] == 315.0


def test_a_sleeping_slice_is_left_to_its_sleep():
    played = Played(lambda second: 0, instances=0, low=0)

    played.look()

    assert rules(played.last) == ["asleep"]


def test_the_last_instance_of_a_slice_that_may_sleep_is_left_to_its_sleep():
    played = Played(lambda second: 0, instances=2, low=0).run(2000)

    assert played.instances == 1


def test_an_update_under_way_is_left_alone():
    played = Played(lambda second: 3000).run(60, update="orders-17")

    assert rules(played.last) == ["update"]


def test_a_shortage_of_places_is_no_reason_to_ask_for_further_ones():
    played = Played(lambda second: 3000).run(60, missing=1, unsatisfied="no member has room", active=1)

    assert rules(played.last)[0] == "unsatisfied"


def test_the_range_and_the_room_of_the_members_end_every_rise():
    assert max(count for _, count in Played(lambda second: 9000, high=5).run(600).counts) == 5

    roomy = Played(lambda second: 9000).run(600, capacity=3)
    assert roomy.instances == 3
    assert rules(roomy.last)[0] == "capacity"


def test_a_controller_that_is_switched_off_for_a_slice_says_so():
    off = ControllerSettings(slices={SHOP.base: {"enabled": False}}).of(SHOP.base)
    played = Played(lambda second: 3000, settings=off).run(60)

    assert rules(played.last) == ["disabled"]


def test_each_change_names_rule_signal_value_threshold_and_window():
    played = Played(lambda second: 3000).run(20)

    cpu = next(reason for reason in played.journal[0].reasons if reason.rule == "cpu")
    assert (cpu.signal, cpu.value, cpu.threshold, cpu.window_s) == ("cpu", 1.0, 0.8, 15.0)
    assert cpu.count == 4


def test_the_same_context_gives_the_same_decisions_again():
    played = Played(lambda second: 200 + second)
    again = Played(lambda second: 200 + second)

    assert played.run(900).journal == again.run(900).journal


def _pairs(values):
    return itertools.pairwise(values)


def _all_opinions(played):
    from aether.control.rules import opinions

    return opinions(played.window[-1], CALM, view().concurrency)
