"""Pages that compare and warn give figures that the report has, and limits that are in force."""

import re
from pathlib import Path

import pytest

from aether.model import limits

DOCS = Path(__file__).parents[2] / "docs"
REPORTS = (DOCS / "operations/performance.md").read_text() + (DOCS / "design/performance.md").read_text()
PAGES = {name: (DOCS / name).read_text() for name in ("when-not-to-use.md", "how-it-compares.md")}
FIGURE = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?(?: (?:us|ms|/s|x|MiB|%)(?!\w)|(?=,? \*{0,2}\|))")
TIMES = {"": 1, "MiB": 2**20, "s": 1, "entries": 1}


def figures(text):
    """Numbers with a unit in rows, and rates without one; those of limits are looked up below."""
    rows = "\n".join(line for line in text.splitlines() if line.startswith("|"))
    return FIGURE.findall(re.sub(r"[\d,]+(?: \w+)? \(`\w+`\)", "", rows))


@pytest.mark.parametrize("name", PAGES)
def test_every_figure_was_measured_and_is_in_a_report(name):
    found = figures(PAGES[name])

    assert len(found) >= 8
    assert [each for each in found if each.removesuffix(" x") not in REPORTS] == []


def test_every_limit_that_is_named_has_the_value_that_is_said():
    text = "".join(PAGES.values())
    said = re.findall(r"([\d,]+)(?: (entries|MiB|s))? \(`([A-Z_]+)`\)", text)

    assert {name for *_, name in said} == set(re.findall(r"`([A-Z][A-Z_]+)`", text))
    for number, unit, name in said:
        assert float(number.replace(",", "")) * TIMES[unit] == getattr(limits, name), name
