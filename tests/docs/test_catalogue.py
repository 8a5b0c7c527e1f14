"""The catalogue of known bugs names every test and every story, and nothing that does not exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "design" / "catalogue.md").read_text()
BUGS, STORIES = PAGE.split("## Bugs\n")[1].split("## Stories\n")
ROWS = re.findall(r"^\| B(\d+) \| (.+) \| (.+) \|$", BUGS, re.M)
SCRIPTS = re.findall(r"^\| (\w+) \| ([^|]+) \| ([^|]+) \|$", STORIES, re.M)


def names_in_the_tree():
    trees = [ast.parse(path.read_text()) for path in (ROOT / "tests").rglob("test_*.py")]
    return {
        node.name
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }


TESTS = names_in_the_tree()


def named(text):
    return re.findall(r"`(test_\w+)`", text)


def test_every_bug_is_there_once_and_in_order():
    assert [int(number) for number, _, _ in ROWS] == list(range(1, 45))


@pytest.mark.parametrize(("number", "tests"), [(number, tests) for number, _, tests in ROWS])
def test_the_tests_of_a_bug_are_those_that_bear_its_number(number, tests):
    """So `pytest -k b07` runs exactly what the page says."""
    bearing = {test for test in TESTS if test.startswith(f"test_b{int(number):02}_")}

    assert bearing, "no test: write one, or the reason why the bug cannot occur"
    assert set(named(tests)) == bearing


def test_every_story_is_told_and_every_file_is_a_story_of_the_page():
    stories = {path.name for path in (ROOT / "tests" / "consensus" / "data").glob("*.txt")}

    assert set(re.findall(r"`(\w+\.txt)`", STORIES)) == stories
    assert [test for test in named(STORIES) if test not in TESTS] == []


def test_every_script_has_a_story_or_a_reason():
    """28 of them; a row without a file begins with "none:" and says why."""
    assert len({script for script, _, _ in SCRIPTS}) == 28
    assert [script for script, _, ours in SCRIPTS if ".txt" not in ours and not re.match(r"none: \w+ \w+", ours)] == []
