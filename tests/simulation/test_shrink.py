"""A failing run is made small, kept, and can be run again."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.simulation.mutants import votes_twice

from aether.errors import BadInput
from aether.testing.simulation import run
from aether.testing.simulation.graveyard import Grave, grave_of, graves, read_grave, write_grave
from aether.testing.simulation.shrink import fewest, shrink

GRAVEYARD = Path(__file__).parents[1] / "sim" / "graveyard"


@given(st.sets(st.integers(0, 60)), st.integers(1, 60))
def test_exactly_the_needed_parts_are_left(needed, count):
    """Delta debugging, where a failure needs certain parts and no others."""
    needed = {part for part in needed if part < count}
    assert set(fewest(range(count), lambda parts: needed <= set(parts))) == needed


def test_a_failure_is_shrunk_kept_and_found_again(monkeypatch, tmp_path):
    """From a failing seed to a file that fails in the same way, with far fewer faults."""
    votes_twice(monkeypatch)
    report = next(report for seed in range(20) if (report := run(seed, 2_000)).violation)
    small = shrink(report, lambda only, steps: run(report.seed, steps, plot=report.plot, only=only))
    assert small.rule == report.rule
    assert len(small.struck) < len(report.struck)
    grave = grave_of(small)
    path = tmp_path / grave.file_name
    path.write_text(write_grave(grave))
    kept = read_grave(path)
    assert kept == grave
    again = run(kept.seed, kept.steps, plot=kept.plot, only=kept.only)
    assert again.violation == small.violation


def test_a_file_that_describes_no_run_is_refused(tmp_path):
    """With the file's name and what is wrong with it."""
    for text in ("seed = ", 'seed = 1\nplot = "none"\nsteps = 3\nfound = ""', "plots = 3"):
        path = tmp_path / "grave.toml"
        path.write_text(text)
        with pytest.raises(BadInput, match=r"grave\.toml describes no failed run"):
            read_grave(path)


def test_text_of_a_violation_survives_the_file(tmp_path):
    """Quotes and line ends included."""
    grave = Grave(seed=3, plot="mixed", steps=9, found='I3 it said "no"\nand ended')
    path = tmp_path / grave.file_name
    path.write_text(write_grave(grave))
    assert read_grave(path) == grave


@pytest.mark.parametrize("path", graves(GRAVEYARD), ids=lambda path: path.stem)
def test_a_seed_that_failed_once_never_fails_again(path):
    """Each of these files was a bug; the plot of it, and all its faults, are run again as well."""
    grave = read_grave(path)
    for only in (grave.only, None):
        report = run(grave.seed, grave.steps, plot=grave.plot, only=only)
        assert report.violation is None, f"{report}\n" + "\n".join(report.trace.lines(30))
