"""Every `aether ...` that a page tells the reader to type is a command line that the program takes."""

import re
import shlex
from pathlib import Path

import click
import pytest

from aether.cli.main import aether

ROOT = Path(__file__).parents[2]
PAGES = sorted((*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")))
_ENDS = ("&", "&&", "|", ">", ";")


def typed(page):
    """The words behind `aether` of each line in a console listing, and of each complete one in the text."""
    text = page.read_text()
    for body in re.findall(r"^```console\n(.*?)^```", text, flags=re.M | re.S):
        yield from (found for line in body.splitlines() for found in re.findall(r"^\$ aether (.+)$", line))
    prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    yield from re.findall(r"`aether ((?:kv|blueprint|rollout|update|nodes|slices|members) [^`]* -[^`]*)`", prose)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_what_a_page_tells_to_type_is_taken(page, tmp_path, monkeypatch):
    """Who types along at night must not be told that there is no such option."""
    for line in typed(page):
        words = shlex.split(line, comments=True)
        words = words[: next((n for n, word in enumerate(words) if word in _ENDS), len(words))]
        if "..." in line:
            continue
        problem = refusal(words)
        assert problem is None, f"{page.name}: aether {line}: {problem}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_what_a_text_names_is_a_command_with_these_options(page):
    """`aether wal verify` in a sentence: arguments may be left out there, but no command and no option be made up."""
    prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    for line in re.findall(r"`aether ([^`,]+)", prose):
        if "..." in line or "COMMAND" in line:
            continue
        problem = refusal(shlex.split(line)) or ""
        assert not problem.startswith("No such"), f"{page.name}: aether {line}: {problem}"


@pytest.mark.parametrize("line", ["nods", "nodes drane", "nodes drain n --fast", "status --no-such"])
def test_the_check_sees_what_it_is_for(line):
    assert (refusal(shlex.split(line)) or "").startswith("No such")


def refusal(words):
    """Why click does not take them; None when it does. Nothing is carried out, and files need not exist."""
    command, context = aether, None
    try:
        while isinstance(command, click.Group):
            context = command.make_context(command.name, list(words), parent=context)
            rest = [*context._protected_args, *context.args]
            if not rest:
                return None
            name, found, words = command.resolve_command(context, rest)
            if found is None:
                return f"no command {name}"
            command = found
        command.make_context(command.name, list(words), parent=context)
    except click.exceptions.Exit:
        return None
    except click.UsageError as error:
        message = error.format_message()
        return None if re.search(r"does not exist|is not a valid|is not in the range", message) else message
    return None
