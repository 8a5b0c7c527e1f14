"""The page of errors names every error and every type of problem, with its status and exit code as they are."""

import re
from pathlib import Path

import pytest

import aether.errors
from aether.cli.exits import Exit, exit_of
from aether.errors import AetherError
from aether.web.problem import status_of

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "errors.md").read_text()
CLASSES = {
    name: (kind, int(status), int(code))
    for name, kind, status, code in re.findall(r"^\| `(\w+)` \| `([\w-]+)` \| (\d+) \| (\d) \|", PAGE, re.MULTILINE)
}
KINDS = {
    kind: (int(status), int(code))
    for kind, status, code in re.findall(r"^\| `([\w-]+)` \| (\d+) \| (\d) \|", PAGE, re.MULTILINE)
}
TREE = {name: getattr(aether.errors, name) for name in aether.errors.__all__}


def test_every_error_has_a_row_and_every_row_an_error():
    assert set(CLASSES) == {name for name, kind in TREE.items() if issubclass(kind, AetherError)} - {"AetherError"}


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_an_error_has_the_status_and_exit_code_that_the_page_says(name):
    kind, status, code = CLASSES[name]
    error = TREE[name].__new__(TREE[name])  # its facts do not matter here

    assert kind == re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()
    assert status == status_of(error)
    assert Exit(code) is exit_of(status, kind)


def test_every_type_of_problem_that_a_port_answers_is_on_the_page():
    said_at = r'problem\(\s*(\d+),[^)]*?kind="([\w-]+)"'
    rooms = [path.read_text() for room in ("web", "management") for path in (ROOT / "src/aether" / room).glob("*.py")]
    said = {kind for text in rooms for kind in re.findall(r'kind="([\w-]+)"', text)}
    said |= {kind for text in rooms for kind in re.findall(r'_refused\(request, \d+, \w+, "([\w-]+)"', text)}

    assert said - KINDS.keys() == set()
    assert [at for text in rooms for at in re.findall(said_at, text) if KINDS[at[1]][0] != int(at[0])] == []


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_refusal_ends_a_command_as_the_page_says(kind):
    status, code = KINDS[kind]
    assert Exit(code) is exit_of(status, kind)
