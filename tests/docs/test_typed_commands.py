"""Every `aether ...` that a page tells the reader to type is a command line that the program takes."""

import re
import shlex
from pathlib import Path

import click
import pytest

from aether.cli.main import aether

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(
    (*DOCS.glob("howto/*.md"), *DOCS.glob("operations/*.md"), *DOCS.glob("tutorial/*.md"), DOCS.parent / "README.md")
)
_ENDS = ("&", "&&", "|", ">", ";")


def typed(page):
    """The words behind `aether` of each line in a console listing, and of each complete one in the text."""
    text = page.read_text()
    for body in re.findall(r"^```console\n(.*?)^```", text, flags=re.M | re.S):
        yield from (found for line in body.splitlines() for found in re.findall(r"^\$ aether (.+)$", line))
    prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    yield from re.findall(r"`aether ((?:kv|blueprint|rollout|update|nodes|slices|members) [^`]* -[^`]*)`", prose)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_a_page_tells_to_type_is_taken(page, tmp_path, monkeypatch):
    """Who types along at night must not be told that there is no such option."""
    for line in typed(page):
        words = shlex.split(line, comments=True)
        words = words[: next((n for n, word in enumerate(words) if word in _ENDS), len(words))]
        if "..." in line:
            continue
        problem = refusal(words)
        assert problem is None, f"{page.name}: aether {line}: {problem}"


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
