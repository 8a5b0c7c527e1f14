"""The page of the command line names every command and every option, and nothing that does not exist."""

import re
from pathlib import Path

import click
import pytest

from aether.cli.exits import STATUS_EXITS, Exit
from aether.cli.main import COMMANDS, aether
from aether.node.settings_table import SETTINGS

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "cli.md").read_text()
HEAD = PAGE.partition("\n## ")[0]


def sections():
    parts = re.split(r"^## aether (\S+)\n", PAGE, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def below(command, words):
    """Every command at or below `command`, with the words that call it."""
    yield words, command
    for name, inner in command.commands.items() if isinstance(command, click.Group) else ():
        yield from below(inner, [*words, name])


def every_command():
    for name in COMMANDS:
        yield from below(aether.get_command(click.Context(aether), name), [name])


def test_every_command_has_a_heading_and_every_heading_a_command():
    assert set(sections()) == set(COMMANDS)


@pytest.mark.parametrize(
    ("words", "command"), [pytest.param(words, command, id=" ".join(words)) for words, command in every_command()]
)
def test_every_command_and_every_option_is_on_the_page(words, command):
    """What nobody can find might as well not exist. Options of all commands stand at the head of the page."""
    text = sections()[words[0]] + (sections()["node"] if words[0] in ("dev", "config") else "")
    options = [opt for parameter in command.params for opt in parameter.opts if opt.startswith("--")]
    missing = [o for o in options if not re.search(rf"(?<![\w-]){o}(?![\w-])", text + HEAD)]
    missing += [word for word in words[1:] if not re.search(rf"\b{word}\b", text)]

    assert missing == []


def test_the_options_of_the_root_are_at_the_head():
    assert [o for p in aether.params for o in p.opts if o not in HEAD] == []


def test_the_exit_codes_of_the_page_are_those_of_the_program():
    rows = {int(code): text for code, text in re.findall(r"^\| (\d+) \|(.*)\|$", HEAD, flags=re.M)}

    assert set(rows) == set(Exit)
    for status, code in STATUS_EXITS.items():
        assert [c for c, text in rows.items() if str(status) in text] == [code], status


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_setting_is_on_the_page_in_each_of_its_spellings(setting):
    """A row says the option, the variables of the environment and the key of the file."""
    spellings = [*setting.variables, *([setting.name] if setting.section else [])]
    if setting.argument:
        spellings.append(f"--{setting.argument}")
    rows = [line for line in sections()["node"].splitlines() if line.startswith("|")]
    assert any(all(re.search(rf"`{re.escape(s)}[ `]", row) for s in spellings) for row in rows), spellings
