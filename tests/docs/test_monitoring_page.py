"""The runbook of monitoring lists every figure, as the code has it."""

import re
from pathlib import Path

import pytest

from aether.metrics.derived import LAG_SATURATED_S
from aether.metrics.figures import FIGURES

PAGE = (Path(__file__).parents[2] / "docs" / "operations" / "monitoring.md").read_text()
ROWS = {
    row[0]: row[1:] for row in re.findall(r"^\| `([a-z._0-9]+)` \| (.+?) \| (.+?) \| (mean|worst|last) \|$", PAGE, re.M)
}


def test_every_figure_is_on_the_page_and_nothing_else():
    assert list(ROWS) == list(FIGURES)


@pytest.mark.parametrize("figure", FIGURES.values(), ids=lambda figure: figure.name)
def test_a_figure_has_the_unit_and_the_meaning_that_the_page_says(figure):
    assert ROWS[figure.name] == (figure.unit, figure.about, figure.fold.value)


def test_a_saturated_loop_is_what_the_reference_says():
    reference = (Path(__file__).parents[2] / "docs" / "reference" / "management-api.md").read_text()
    assert f"{LAG_SATURATED_S * 1e3:g} ms late" in reference
