"""House rules that a reviewer should not have to repeat."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src" / "aether"
MODULES = sorted(SRC.rglob("*.py"))
BANNED_WORDS = {"util", "utils", "helper", "helpers", "common", "misc", "impl", "data", "info"}
MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 80


def name(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_module_tells_its_purpose_at_the_door(path):
    """One line of promise, then what the module knows and what it never does."""
    if path.name in {"__init__.py", "__main__.py"} and len(path.read_text().splitlines()) < 8:
        return
    doc = ast.get_docstring(ast.parse(path.read_text())) or ""

    assert doc, "write a module docstring"
    if path.name != "__main__.py":
        assert re.search(r"^Knows:", doc, re.M), "say what the module knows"
        assert re.search(r"^Never:", doc, re.M), "say what the module never does"


SPELT_BY_OTHERS = {"src/aether/testing/memory_http.py"}
"""Where a library calls our methods by its own names for their arguments."""


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_names_say_what_a_thing_is(path):
    """`util` and its cousins are rooms without a noun; bare `timeout` has no unit."""
    tree = ast.parse(path.read_text())
    classes = [n.name for n in ast.walk(tree) if isinstance(n, ast.ClassDef)]
    arguments = {a.arg for n in ast.walk(tree) if isinstance(n, ast.arguments) for a in (*n.args, *n.kwonlyargs)}

    assert not BANNED_WORDS & set(path.stem.split("_"))
    assert not [c for c in classes if set(re.findall(r"[A-Z][a-z]+", c.lower().title())) & {"Util", "Helper", "Impl"}]
    assert not [c for c in classes if re.search(r"(Util|Helper|Impl|Misc)s?$", c)]
    assert "timeout" not in arguments or name(path) in SPELT_BY_OTHERS, "name the unit: timeout_s, deadline_s"


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_module_has_one_noun(path):
    """Past this many lines, ask which noun is missing."""
    assert len(path.read_text().splitlines()) <= MODULE_LINES_MAX


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_functions_are_short(path):
    long = [
        f"{node.name} has {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno - node.lineno + 1 > FUNCTION_LINES_MAX
    ]

    assert not long


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_nothing_unfinished_or_dangerous_is_left_behind(path):
    """Markers of unfinished work, and functions that turn received bytes into running code."""
    text = path.read_text()

    assert not re.search(r"\b(TODO|FIXME|XXX)\b", text)
    assert not re.search(r"\b(pickle|marshal|shelve)\b", text)
    assert not re.search(r"(?<![\w.])eval\(", text)
    assert "shell=True" not in text


def test_tests_do_not_sleep_on_the_wall_clock():
    """A sleeping test is slow on a fast machine and flaky on a slow one."""
    guilty = [
        name(p)
        for p in (ROOT / "tests").rglob("*.py")
        if p != Path(__file__) and re.search(r"\btime\.sleep\(", p.read_text())
    ]

    assert not guilty


def test_the_repository_speaks_of_the_project_alone():
    """Paths of one machine mean nothing to the next reader."""
    pattern = re.compile(r"(?<![\w.])/(?:work|farm)/(?:main|shared|\.library)")
    guilty = [
        name(p)
        for p in ROOT.rglob("*")
        if p.suffix in {".py", ".md", ".toml"} and not {".git", ".nox", ".venv"} & set(p.parts) and p != Path(__file__)
        if pattern.search(p.read_text())
    ]

    assert not guilty
