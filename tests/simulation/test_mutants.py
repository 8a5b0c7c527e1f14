"""The checker is checked: each planted bug must break a rule, in few seeds, and the documented table is complete."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.simulation.mutants import HEAD, MUTANTS, Mutant, hunt

PAGE = Path(__file__).parents[2] / "docs" / "design" / "simulation.md"


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.mutate.__name__)
def test_the_simulator_finds(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checker that finds nothing proves nothing."""
    found = hunt(mutant, monkeypatch)
    assert found is not None, "not found"
    assert re.search(mutant.rule, found.violation), found


def test_the_table_lists_exactly_the_mutants() -> None:
    """`python -m tests.simulation.mutants` prints it."""
    _, _, table = PAGE.read_text().partition(HEAD)
    rows = [line.split("|") for line in table.strip().splitlines() if line.startswith("| ")]
    documented = [(row[1].strip(), row[3].strip(), row[4].strip()) for row in rows]
    assert documented == [(mutant.name, mutant.bug, mutant.plot) for mutant in MUTANTS]
    assert all(row[5].strip().isdecimal() for row in rows), "a mutant that was not found proves nothing"


def test_at_least_thirty_bugs_are_planted() -> None:
    assert len({mutant.mutate for mutant in MUTANTS}) >= 30
