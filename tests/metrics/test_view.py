"""What one node knows of all nodes."""

import tracemalloc
from math import inf

import pytest

from aether.metrics.alert_samples import gather
from aether.metrics.figures import FIGURES, PLACES
from aether.metrics.figures_messages import NodeFigures
from aether.metrics.rings import empty_row
from aether.metrics.view import FiguresView
from aether.model.ids import NodeId
from aether.model.limits import FIGURE_NODES_MAX

A, B = NodeId("a"), NodeId("b")


class Clocks:
    def __init__(self):
        self.now, self.offset = 500.25, 1_000_000.0

    def view(self, live=(A, B)):
        return FiguresView(A, lambda: live, lambda: self.now, lambda: self.now + self.offset)


class NoCalls:
    def methods(self):
        return []


def told(node, stamp, age_s=0.0, cpu=0.5):
    row = empty_row(len(FIGURES))
    row[PLACES["cpu.usage"]] = cpu
    return NodeFigures(node, stamp, age_s, row)


def test_the_newest_of_each_live_node_is_shown_and_what_it_does_not_know_is_left_out():
    view = Clocks().view(live=(A,))
    view.take(told(A, 1))
    view.take(told(B, 1))

    assert view.nodes() == {A: {"cpu.usage": 0.5}}
    assert view.known() == [A, B]


def test_a_row_that_was_told_before_says_nothing_new():
    """Also when it comes by another way, and its age was measured a little differently."""
    clocks = Clocks()
    view = clocks.view()
    assert view.take(told(B, 7))
    clocks.now += 1.1

    assert not view.take(told(B, 7, age_s=0.9))
    assert view.age_s(B) == pytest.approx(1.1)
    assert len(view.window(B, "cpu.usage", 60)) == 1


def test_a_late_row_fills_its_second_and_stays_behind_the_newest():
    clocks = Clocks()
    view = clocks.view()
    view.take(told(B, 9, cpu=0.75))

    assert not view.take(told(B, 8, age_s=2.0, cpu=0.25))
    assert view.nodes()[B] == {"cpu.usage": 0.75}
    assert view.window(B, "cpu.usage", 10) == [(1_000_498.0, 0.25), (1_000_500.0, 0.75)]


def test_age_is_what_the_teller_said_and_the_time_since():
    clocks = Clocks()
    view = clocks.view()
    view.take(told(B, 1, age_s=0.5))
    clocks.now += 2

    assert view.age_s(B) == pytest.approx(2.5)
    assert view.age_s(NodeId("nobody")) == inf
    assert view.newest(B).age_s == pytest.approx(2.5)


def test_who_asks_for_few_figures_gets_those_and_none_that_are_too_old():
    clocks = Clocks()
    view = clocks.view()
    view.take(told(A, 1, cpu=0.25))
    view.take(told(B, 1, age_s=9.0, cpu=0.75))
    clocks.now += 2.0

    assert view.nodes(["cpu.usage", "heap.used", "of another version"]) == {
        A: {"cpu.usage": 0.25},
        B: {"cpu.usage": 0.75},
    }
    assert view.nodes(["heap.used"], 10.0) == {A: {}}
    assert view.nodes(age_max_s=11.0).keys() == view.heard_within(11.0) == {A, B}
    assert view.heard_within(10.0) == {A}


def test_figures_that_are_too_old_raise_no_alert():
    """Ten seconds; in a large cluster also for as long as a node waits for its turn."""
    clocks = Clocks()
    for others, stale in ((1, True), (150, False)):
        view = clocks.view(live=[A, B, *(NodeId(f"n{n}") for n in range(others))])
        view.take(told(A, 1))
        view.take(told(B, 1, age_s=11.0))
        assert (("cpu.usage", "b") not in gather(["cpu.usage"], view, NoCalls())) is stale
        assert gather(["cpu.usage"], view, NoCalls())["cpu.usage", "a"] == 0.5


def test_a_step_of_the_wall_clock_moves_what_is_shown_and_loses_nothing():
    """An hour back in the middle of everything."""
    clocks = Clocks()
    view = clocks.view()
    view.take(told(B, 1))
    clocks.now, clocks.offset = clocks.now + 1, clocks.offset - 3600
    view.take(told(B, 2))

    (first, _), (second, _) = view.window(B, "cpu.usage", 60)
    assert second - first == 1
    assert second == pytest.approx(clocks.now + clocks.offset, abs=1)


def test_an_unknown_name_or_node_has_no_window():
    view = Clocks().view()
    view.take(told(A, 1))

    assert view.window(A, "no.such", 60) == ()
    assert view.window(B, "cpu.usage", 60) == ()
    assert view.minutes(B) == ()


def test_the_node_unheard_of_for_longest_is_forgotten_when_there_are_too_many():
    clocks = Clocks()
    view = clocks.view()
    for n in range(FIGURE_NODES_MAX + 3):
        clocks.now += 1
        view.take(told(NodeId(f"n{n}"), 1))

    assert len(view.known()) == FIGURE_NODES_MAX
    assert "n2" not in view.known()
    assert "n3" in view.known()


def test_two_hours_of_ten_nodes_and_fifty_methods_take_less_than_sixteen_mebibytes():
    """Measured, with everything around the numbers, and full."""
    from aether.metrics.method_windows import MethodWindows

    tracemalloc.start()
    try:
        clocks = Clocks()
        view, methods = clocks.view(), MethodWindows()
        for second in range(0, 7200, 300):
            clocks.now += 300
            for n in range(10):
                view.take(told(NodeId(f"n{n}"), second))
            methods.put(clocks.now, {("g:a:1.0.0", f"m{n}"): (1.0, 0.0, 0.01, 2.0) for n in range(60)})
        taken_bytes = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()

    assert taken_bytes < 16 * 2**20
    assert len(methods.keys()) == 50
