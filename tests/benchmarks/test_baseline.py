"""When a benchmark has regressed, and what the page says: a verdict that is wrong would hide a slow release."""

import json
from xml.etree import ElementTree as ET

import attrs
import pytest
from benchmarks.baseline import Band, Change, bands, compare, has_regressed, middle
from benchmarks.figure import Figure, Goal
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import baseline, page

RATIOS = st.floats(0.01, 100.0)
SCATTER = st.lists(st.floats(0.95, 1.05), min_size=3, max_size=6)


def rounds(ratio, scatter=(0.98, 1.0, 1.03), unit="us", speed=1.0, goal=None):
    """One figure in some rounds on a machine of that speed."""
    return [[Figure("x", unit, ratio * each * speed, speed, goal)] for each in scatter]


def change(before, now):
    (compared,) = compare(bands(before), bands(now))
    return compared.change


@given(RATIOS, SCATTER, SCATTER, st.sampled_from(["us", "/s"]))
def test_scatter_alone_is_no_regression(ratio, before, now, unit):
    assert change(rounds(ratio, before, unit), rounds(ratio, now, unit)) is Change.SAME


@given(RATIOS, SCATTER, SCATTER, st.floats(1.6, 50.0))
def test_what_is_much_worse_in_every_round_is_a_regression_in_its_own_direction(ratio, before, now, factor):
    """Times are worse when they are longer, rates when they are lower."""
    assert change(rounds(ratio, before), rounds(ratio * factor, now)) is Change.WORSE
    assert change(rounds(ratio, before), rounds(ratio / factor, now)) is Change.BETTER
    assert change(rounds(ratio, before, "/s"), rounds(ratio / factor, now, "/s")) is Change.WORSE
    assert change(rounds(ratio, before, "/s"), rounds(ratio * factor, now, "/s")) is Change.BETTER


@given(RATIOS, SCATTER, st.floats(0.01, 100.0))
def test_another_machine_changes_nothing_where_both_columns_move_with_it(ratio, scatter, speed):
    assert change(rounds(ratio, scatter), rounds(ratio, scatter, speed=speed)) is Change.SAME


@given(RATIOS, SCATTER, SCATTER, st.floats(0.5, 4.0), st.floats(1.0, 3.0))
def test_wider_scatter_never_makes_a_regression(ratio, before, now, factor, wider):
    """Who measures badly must not be told that the code is slow."""
    tight = change(rounds(ratio, before), rounds(ratio * factor, now))
    wide = change(rounds(ratio, before), rounds(ratio * factor, [*now, min(now) / wider, max(now) * wider]))

    assert wide is tight or wide is Change.SAME


def test_a_goal_says_which_direction_is_better():
    goal = Goal(0.5, at_least=True)

    assert change(rounds(1.0, goal=goal), rounds(0.2, goal=goal)) is Change.WORSE


def test_few_rounds_new_figures_and_those_that_are_gone_are_told_and_do_not_fail():
    assert change(rounds(1.0), rounds(9.0, [1.0, 1.0])) is Change.TOO_FEW
    compared = compare(bands([[Figure("gone", "us", 1.0, 1.0)]] * 3), bands([[Figure("new", "us", 1.0, 1.0)]] * 3))

    assert [(each.name, each.change) for each in compared] == [("new", Change.NEW), ("gone", Change.NOT_MEASURED)]
    assert not has_regressed(compared)
    assert "gone: not measured" in baseline.table(compared)


@pytest.mark.parametrize("bare", [0.0, 1e-12])
def test_a_figure_without_a_bare_limit_has_no_ratio_to_compare(bare):
    assert bands([[Figure("x", "us", 1.0, bare)]] * 3) == {}


@given(st.dictionaries(st.text(), st.tuples(RATIOS, SCATTER), max_size=4))
def test_a_baseline_survives_its_file(figures):
    kept = {name: bands(rounds(ratio, scatter))["x"] for name, (ratio, scatter) in figures.items()}

    assert baseline.read(baseline.write(kept, {"machine": "2 cores"})) == kept


def test_the_middle_of_rounds_is_a_median_of_each_column():
    found = middle([[Figure("x", "us", ours, bare)] for ours, bare in ((1, 10), (100, 12), (2, 11))])

    assert [(each.ours, each.bare) for each in found] == [(2, 11)]


def test_the_baseline_of_the_repository_can_be_read():
    if baseline.PAGE.exists():
        assert baseline.read(baseline.PAGE.read_text())


# --- the page ---------------------------------------------------------------------------------------------------------

FIGURES = [
    Figure("a call <p50>", "us", 140.0, 100.0, Goal(2.0)),
    Figure("calls & more", "/s", 20.0, 100.0, Goal(0.5, at_least=True)),
    Figure("free", "ms", 3.0, 0.0),
]


def written():
    measured = bands([[attrs.evolve(f, ours=f.ours * each) for f in FIGURES] for each in (0.9, 1.0, 1.1)])
    compared = compare({"a call <p50>": Band(low=0.4, middle=0.5, high=0.6, rounds=3, at_least=False)}, measured)
    return page.text({"calls": FIGURES}, measured, compared, "nox -s bench", {"machine": "2 cores"}), measured


def test_the_page_says_ours_bare_ratio_noise_goal_and_what_changed():
    text, _ = written()
    lines = text.splitlines()

    assert "| a call <p50> | 140 us | 100 us | 1.40 | 20% | <= 2 x bare | met | WORSE |" in lines
    assert "| calls & more | 20 /s | 100 /s | 0.20 | 20% | >= 0.5 x bare | MISSED | new |" in lines
    assert "| free | 3 ms | 0 ms | - | - | - |  | - |" in lines
    assert lines[0] == page.BEGIN
    assert lines[-1] == page.END


def test_words_around_the_part_stay():
    text, _ = written()
    once = page.put("# Performance\n\nbefore\n", text)
    twice = page.put(once + "\nafter\n", text)

    assert once.startswith("# Performance\n\nbefore\n\n<!--")
    assert twice == once + "\nafter\n"


def test_the_picture_is_a_picture_with_a_bar_for_each_ratio():
    _, measured = written()
    root = ET.fromstring(page.picture(FIGURES, measured))
    texts = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]

    assert texts == ["1 x bare", "a call <p50>", "1.40 x", "calls & more", "0.20 x"]
    assert page.picture([], {}).startswith("<svg")
    assert json.dumps(page.picture(FIGURES, measured)) == json.dumps(page.picture(FIGURES, measured))
