"""The page of limits says what the code does."""

import importlib
import re
from pathlib import Path

import pytest

from aether.model import limits

PAGE = Path(__file__).parents[2] / "docs" / "design" / "limits.md"
ROW = re.compile(r"^\| `([\w.:]+)` \| (\S+)(?: (\w+))? \| ([\w ]*?) ?\| (.+) \|$", re.M)
ROWS = ROW.findall(PAGE.read_text())
TIMES = {"": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
UNITS = {"BYTES": "bytes", "TICKS": "ticks", "CHARS": "characters", "S": "s"}


def test_every_limit_is_on_the_page_once_and_nothing_else():
    named = [name for name, *_ in ROWS if ":" not in name]

    assert sorted(named) == sorted(name for name in vars(limits) if name.isupper())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_limit_has_the_value_that_the_page_says(row):
    name, number, times, _, _ = row
    module, _, attribute = name.rpartition(":")
    value = getattr(importlib.import_module(module or limits.__name__), attribute)

    assert float(number.replace(",", "")) * TIMES[times] == value


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_limit_has_the_unit_of_its_name_and_says_what_happens(row):
    """A number without a unit or a consequence helps nobody at three in the morning."""
    name, _, _, unit, what = row
    words = name.rpartition(":")[2].split("_")

    assert unit == next((UNITS[word] for word in words if word in UNITS), "")
    assert len(what) > 2
