"""The page of settings says what the table of settings says: type, default, and each spelling."""

import re
from pathlib import Path

import pytest

from aether.errors import BadInput
from aether.node.config_sources import Sources, load
from aether.node.settings_table import FILE_KEYS, SETTINGS

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "configuration.md").read_text()
ROWS = {
    cells[0].strip("`"): cells[1:]
    for line in PAGE.splitlines()
    if len(cells := [cell.strip() for cell in line.strip("|").split("|")]) == 6 and cells[0].startswith("`")
}
SAMPLES = {  # type -> (what it takes, what it refuses)
    "name": (["n-1"], ["", "a b", "-"]),
    "text": (["shop"], []),
    "path": (["/var/lib/x"], []),
    "port": ([0, 8080, "65535"], [-1, 65536, "x", True]),
    "whole number": ([7, "7"], ["x", 1.5, True]),
    "seconds": ([0.5, 30], [0, -1, "x", True]),
    "true or false": ([True, False], ["yes", 1]),
    "list of ID:HOST:PORT": (["a:h:1,b:h:2", ["a:h:1"]], ["a", ["h:x"]]),
    "list of HOST:PORT": (["h:1,g:2", ["h:1"]], ["h", ["h:x"]]),
}


def shown(default):
    if default in (None, "", {}, ()):
        return "none"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


def test_every_setting_has_a_row_and_every_row_is_a_setting():
    assert list(ROWS) != []
    assert set(ROWS) == {setting.name for setting in SETTINGS}


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_a_row_says_default_and_spellings(setting):
    _, default, environment, option, meaning = ROWS[setting.name]

    assert default == shown(setting.default)
    assert tuple(re.findall(r"`(\w+)`", environment)) == setting.variables
    assert option == (f"`--{setting.argument}`" if setting.argument else "")
    assert len(meaning) > 10


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_the_type_on_the_page_is_what_is_read(setting):
    takes, refuses = SAMPLES[ROWS[setting.name][0]]
    for value in takes:
        setting.read(value, "a test")
    for value in refuses:
        with pytest.raises(BadInput):
            setting.read(value, "a test")


def test_every_section_of_the_file_is_on_the_page():
    assert [section for section in FILE_KEYS if f"[{section}]" not in PAGE] == []


def test_the_file_of_the_page_is_taken():
    text = re.search(r"```toml\n(.*?)```", PAGE, re.S).group(1)
    assert load(Sources(toml=text, file="aether.toml")).node == "node-1"
