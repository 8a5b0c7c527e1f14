"""The table of failures names tests that exist and limits with the values that are in force."""

import ast
import re
from pathlib import Path

import pytest

from aether.model import limits

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "design" / "what-happens-when.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.startswith("| | what happens")
]
SHOWN = dict(re.findall(r"^- ([PNDSC]\d+): (.+)$", PAGE, re.M))
BOUNDS = re.findall(r"([\d,.]+)(?: s| entries)? \(`(\w+)`\)", PAGE)


def names_in(path):
    file = ROOT / path
    if not file.is_file():
        return set()
    nodes = ast.walk(ast.parse(file.read_text()))
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_failure_has_all_that_a_reader_asks_and_a_test_that_exists(row):
    assert len(row) == 5
    assert all(row)
    named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", SHOWN[row[0]])
    assert named, "name a test that shows it"
    assert [test for path, test in named if test not in names_in(path)] == []


def test_every_failure_has_a_number_of_its_own():
    assert list(SHOWN) == [row[0] for row in ROWS]
    assert len(ROWS) == len(SHOWN) >= 35


def test_every_limit_that_is_named_has_the_value_that_is_said():
    named = set(re.findall(r"`([A-Z][A-Z_]+)`", PAGE)) - {"FAILED"}

    assert {name for _, name in BOUNDS} == named
    assert {name: float(said.replace(",", "")) for said, name in BOUNDS} == {n: getattr(limits, n) for n in named}


def test_every_figure_that_was_measured_is_in_the_report():
    """A time without a limit behind it was measured, and stands where the command and the machine stand."""
    report = (ROOT / "docs" / "operations" / "performance.md").read_text()
    said = [cell.partition("measured")[2] for row in ROWS for cell in row]
    figures = {number for text in said for number in re.findall(r"\d[\d,.]*\d (?:ms|s)\b", text)}

    assert len(figures) >= 7
    assert [figure for figure in figures if figure not in report] == []
