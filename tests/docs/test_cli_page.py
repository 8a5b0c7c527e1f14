"""The page of the command line names every command and every option, and nothing that does not exist."""

import re
from pathlib import Path

import click
import pytest

from aether.cli.main import COMMANDS, aether
from aether.node.config import ENVIRONMENT

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "cli.md").read_text()


def sections():
    parts = re.split(r"^## aether (\S+)\n", PAGE, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_command_has_a_heading_and_every_heading_a_command():
    assert set(sections()) == set(COMMANDS)


@pytest.mark.parametrize("name", ["node", "dev", "demo"])
def test_every_option_is_on_the_page(name):
    """Options that nobody can find might as well not exist."""
    command = aether.get_command(click.Context(aether), name)
    options = [opt for parameter in command.params for opt in parameter.opts if opt.startswith("--")]
    text = sections()[name] + (sections()["node"] if name == "dev" else "")

    assert [opt for opt in options if opt not in text] == []


def test_every_environment_variable_is_on_the_page():
    for variables in ENVIRONMENT.values():
        for variable in variables:
            assert f"`{variable}`" in PAGE
