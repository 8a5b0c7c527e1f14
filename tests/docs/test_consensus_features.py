"""The page of consensus features names what exists, counts right, and compares the defaults that are in force."""

import ast
import math
import re
from collections import Counter
from pathlib import Path

import pytest

from aether.model import limits

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "design" / "consensus-features.md").read_text()
SECTIONS = dict(re.findall(r"^## (.+)\n((?:(?!^## ).*\n?)*)", PAGE, re.M))
FEATURE = re.compile(r"^\| ([^|]+) \| (complete|partial|absent) \| ([^|]+) \| ?([^|]*?) ?\|$", re.M)
ROWS = [(section, *row) for section, text in SECTIONS.items() for row in FEATURE.findall(text)]
COUNTS = re.findall(r"^\| ([A-Za-z, ]+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", PAGE, re.M)
DEFAULTS = re.findall(r"^\| [^|]+ \| ([\d,.]+)(?: (\w+))? \| `([A-Z_* ]+)` \| [^|]+ \|$", PAGE, re.M)
TIMES = {"": 1, "entries": 1, "ms": 0.001, "s": 1, "KiB": 2**10, "MiB": 2**20}
COMPLETE_MIN = 56


def functions(path):
    nodes = ast.walk(ast.parse((ROOT / path).read_text()))
    return [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def is_planted(function):
    """Whether the simulator's tests look for this mutant."""
    return any(isinstance(by, ast.Call) and ast.unparse(by.func) == "mutant" for by in function.decorator_list)


def exists(name):
    if mutant := re.fullmatch(r"mutant: (.+)", name):
        planted = filter(is_planted, functions("tests/simulation/mutants.py"))
        return mutant[1] in {function.name.replace("_", " ") for function in planted}
    path, _, test = name.partition("::")
    if not test:
        return path.startswith("tests/consensus/data/") and path.endswith(".txt") and (ROOT / path).is_file()
    tests = {function.name for function in functions(path)} if (ROOT / path).is_file() else set()
    return test.startswith("test_") and test in tests


def test_a_name_that_exists_nowhere_is_noticed():
    assert exists("tests/docs/test_consensus_features.py::test_a_name_that_exists_nowhere_is_noticed")
    assert not any(
        map(exists, ["tests/docs/test_links.py::test_x", "tests/x.py::test_x", "tests/conftest.py", "mutant: x"])
    )


def test_each_feature_is_there_once():
    assert len(ROWS) == 63
    assert len({feature for _, feature, *_ in ROWS}) == 63


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[1])
def test_what_a_feature_names_exists(row):
    """In backticks and parted by commas, nothing else: so that nothing is overlooked."""
    _, _, mark, why, shown = row
    names = re.findall(r"`([^`]+)`", shown)

    assert shown == ", ".join(f"`{name}`" for name in names)
    assert [name for name in names if not exists(name)] == []
    assert names or mark != "complete", "name a test that fails without it, or do not call it complete"
    assert mark == "complete" or len(why.split()) >= 8, "say why it is not complete"


def test_the_counts_of_the_page_are_those_of_its_rows():
    counted = {}
    for section in [*dict.fromkeys(section for section, *_ in ROWS), "together"]:
        marks = Counter(mark for its, _, mark, *_ in ROWS if section in (its, "together"))
        counted[section] = [marks.total(), marks["complete"], marks["partial"], marks["absent"]]

    assert {section: [int(count) for count in counts] for section, *counts in COUNTS} == counted
    assert counted["together"][1] >= COMPLETE_MIN


def test_the_defaults_of_the_page_are_those_in_force():
    said = {names: float(number.replace(",", "")) * TIMES[unit] for number, unit, names in DEFAULTS}
    in_force = {names: math.prod(getattr(limits, name) for name in names.split(" * ")) for names in said}

    assert len(said) == len(re.findall(r"^\| ", SECTIONS["Defaults worth comparing"], re.M)) - 1
    assert said == pytest.approx(in_force)
