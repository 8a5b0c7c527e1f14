"""The page of what is proven beyond the eighty scenarios names tests that exist, each once."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

from aether.testing.simulation.plots import PLOTS

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "design" / "validation-beyond.md").read_text()
ROWS = re.findall(r"^\| (\d+) \| (.+) \| (.+) \| `([\w/.]+)::(test_\w+)(?:\[(\w+)\])?` \| ([PVSF]) \|$", PAGE, re.M)
WANTED = 40


def functions(path):
    tree = ast.parse(path.read_text())
    return {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_rows_are_numbered_and_every_line_of_the_tables_is_a_row():
    assert [int(number) for number, *_ in ROWS] == list(range(1, len(ROWS) + 1))
    assert len(ROWS) == len(re.findall(r"^\| \d+ \|", PAGE, re.M))


def test_no_test_and_no_trouble_is_counted_twice():
    for column in (1, slice(3, 6)):
        assert [each for each, count in Counter(row[column] for row in ROWS).items() if count > 1] == []


def test_more_than_forty_run_on_processes_or_whole_nodes():
    assert len([row for row in ROWS if row[6] in "PV"]) >= WANTED


@pytest.mark.parametrize(("path", "name", "case"), [row[3:6] for row in ROWS])
def test_each_names_a_test_that_is_there_and_is_not_switched_off(path, name, case):
    found = functions(TESTS / path).get(name)

    assert found is not None, f"{path} has no {name}"
    marks = [ast.unparse(each) for each in found.decorator_list]
    assert not [mark for mark in marks if re.search(r"mark\.(skip\b|xfail)", mark)]
    assert not case or case in PLOTS


@pytest.mark.parametrize("path", sorted({row[3] for row in ROWS if row[6] == "P" and row[3].startswith("e2e/")}))
def test_what_is_said_to_run_on_processes_is_marked_so(path):
    assert "pytest.mark.process" in (TESTS / path).read_text()
