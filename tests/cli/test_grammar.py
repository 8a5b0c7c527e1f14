"""Every command line that a document shows can be typed, with shared options before and after the command."""

import re
import shlex
from pathlib import Path

import click
import pytest

from aether.cli.main import aether, run
from aether.cli.options import settings

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])


def documented():
    for document in DOCUMENTS:
        for line in re.findall(r"^\$ (.*)$", document.read_text(), re.M):
            for command in re.split(r"&&|\||>|(?<!\S)&", line):
                if command.strip().startswith(("aether ", "python -m aether ")):
                    yield command.strip()


def context_of(arguments):
    """The innermost context of a command line; raises click.UsageError. Runs nothing."""
    context = aether.make_context("aether", list(arguments))
    while isinstance(context.command, click.Group):
        given = [*context._protected_args, *context.args]
        if not given and context.command.invoke_without_command:
            return context
        name, command, rest = context.command.resolve_command(context, given)
        context = command.make_context(name, rest, parent=context)
    return context


@pytest.mark.parametrize("line", sorted(set(documented())))
def test_a_documented_line_parses(line):
    """A manual that shows a command which does not exist is worse than none."""
    words = shlex.split(line)
    arguments = words[3:] if words[0] == "python" else words[1:]
    if {"--help", "-h", "--version", "-V"} & set(arguments):
        return

    context_of(arguments)


def test_there_are_documented_lines():
    assert len(set(documented())) > 5


@pytest.mark.parametrize(
    "arguments",
    [
        "-o json -c h:1 nodes", "nodes -o json -c h:1", "-o json nodes -c h:1",
        "kv -o json -c h:1 list", "token -o json -c h:1 list", "ca -o json -c h:1 show",
        "controller -o json -c h:1 history", "blueprint -o json -c h:1 list",
    ],
)  # fmt: skip
def test_shared_options_stand_on_either_side(arguments):
    """People type them where they think of them."""
    found = settings(context_of(arguments.split()))

    assert (found.output, found.connect) == ("json", "h:1")


def test_the_option_nearest_to_the_command_wins():
    assert settings(context_of(["-o", "json", "nodes", "-o", "jsonl"])).output == "jsonl"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ("status -c 127.0.0.1:1", 3, "aether node"),
        ("status -c non:sense", 2, "HOST:PORT"),
        ("sttus", 2, "Did you mean 'status'"),
        ("scale app:x", 2, "--instances"),
        ("deploy a:b:1.0.0 -n -1", 2, "-1"),
        ("blueprint apply /nowhere/x.toml", 2, "/nowhere/x.toml"),
        ("node --peers a", 2, "id:host:port"),
        ("node --bind 0.0.0.0", 2, "--insecure"),
        ("node --config /nowhere.toml", 2, "/nowhere.toml"),
        ("node --app no_such_module", 2, "no_such_module"),
        ("demo --rate 0", 2, "--rate"),
        ("demo --nodes 2", 2, "majority"),
        ("dev no_such_module", 2, "no_such_module"),
    ],
)
def test_a_wrong_command_line_says_what_to_do_and_exits_with_the_right_code(arguments, code, says, capsys):
    """Scripts read the code, people read the line; nobody wants a traceback."""
    got = run(arguments.split())

    printed = capsys.readouterr().err
    assert got == code
    assert says in printed
    assert "Traceback" not in printed


def test_help_needs_no_heavy_import():
    """`aether --help` answers before a reader looks away."""
    import subprocess
    import sys

    code = (
        "import sys; from aether.cli.main import run; run(['--help']); "
        "print([m for m in ('trio', 'httpx', 'rich') if m in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert printed.endswith("[]\n")
