"""Every listing of every page is read by what it is meant for, or says in its first line why it cannot be.

What runs besides: listings with a title (test_links, test_tutorial), lines of `aether` (test_typed_commands).
"""

import argparse
import ast
import inspect
import json
import re
import runpy
import shlex
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import attrs
import pytest
import yaml

import aether
from aether.deployment import plugins
from aether.model.blueprint_toml import parse_blueprint
from aether.node.config_sources import Sources, load
from aether.node.settings_table import FILE_KEYS

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])
LISTING = re.compile(r"^( *)```(.*)\n((?:(?! *```).*\n)*) *```$", re.M)
INFO = re.compile(r'(\w*)(?: (title|sketch)="([^"]+)")?')
LANGUAGES = {"python", "toml", "json", "http", "yaml", "console", "text", "mermaid", "dockerfile"}
MANAGEMENT = (ROOT / "docs/reference/management-api.md").read_text()


@attrs.frozen
class Listing:
    """What stands between two fences."""

    where: str
    language: str
    mark: str  # "title", "sketch" or ""
    said: str  # the title, or why it is a sketch
    text: str


def listings():
    for page in PAGES:
        text = page.read_text()
        for match in LISTING.finditer(text):
            language, mark, said = INFO.fullmatch(match[2]).groups("") if INFO.fullmatch(match[2]) else ("?", "", "")
            body = "".join(line.removeprefix(match[1]) for line in match[3].splitlines(keepends=True))
            where = f"{page.relative_to(ROOT).as_posix()}:{text[: match.start()].count(chr(10)) + 1}"
            yield Listing(where, language, mark, said, body)


LISTINGS = list(listings())
GROUPS = [value for value in vars(plugins).values() if isinstance(value, str) and value.startswith("aether.")]


def of(language, *marks):
    chosen = [each for each in LISTINGS if each.language == language and each.mark in marks]
    return pytest.mark.parametrize("listing", chosen, ids=lambda listing: listing.where)


@pytest.mark.parametrize("listing", LISTINGS, ids=lambda listing: listing.where)
def test_a_listing_says_what_it_is(listing):
    """A language that a test here reads; for a sketch, the reason why nothing can read it."""
    assert listing.language in LANGUAGES, "name its language in the first line"
    assert listing.mark != "sketch" or len(listing.said.split()) >= 3, "say why it cannot be read"
    assert listing.mark != "sketch" or listing.language == "python"


def names_used(tree):
    """Each `aether.a.b` of a listing, with the call whose function it is."""
    called = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        path, inner = [], node
        while isinstance(inner, ast.Attribute):
            path.insert(0, inner.attr)
            inner = inner.value
        if path and isinstance(inner, ast.Name) and inner.id == "aether":
            yield path, called.get(id(node))


def check_names(text):
    tree = compile(textwrap.dedent(text), "listing", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    for path, call in names_used(tree):
        value = aether
        for name in path:
            value = getattr(value, name)
        keywords = {word.arg for word in call.keywords if word.arg} if call else set()
        if path == ["slice"] and keywords:
            eval(ast.unparse(call), {"aether": aether})  # it looks at its options before it has a class
        elif keywords:
            assert keywords <= set(inspect.signature(value).parameters), f"aether.{'.'.join(path)}: no such keyword"


@of("python", "", "title")
def test_python_is_python_and_uses_names_that_exist(listing):
    check_names(listing.text)


@pytest.mark.parametrize("text", ["x = = 1", "aether.slyce", "@aether.slice(instanzes=2)\nclass A: ..."])
def test_the_check_of_python_sees_what_it_is_for(text):
    with pytest.raises((SyntaxError, AttributeError, AssertionError, aether.ContractError)):
        check_names(text)


@pytest.mark.process
@pytest.mark.parametrize(
    "listing",
    [each for each in LISTINGS if each.language == "python" and not each.mark and re.match("import |from ", each.text)],
    ids=lambda listing: listing.where,
)
def test_a_listing_that_imports_what_it_needs_runs(listing, tmp_path):
    subprocess.run([sys.executable, "-c", listing.text], cwd=tmp_path, check=True, timeout=50)


def check_toml(text):
    """A file of settings, the metadata of a package, or a blueprint, whole or in part."""
    parsed = tomllib.loads(text)
    if set(parsed) <= set(FILE_KEYS):
        load(Sources(toml=text, file="aether.toml"))
    elif set(parsed) <= {"project", "build-system", "tool"}:
        groups = parsed.get("project", {}).get("entry-points", {})
        assert set(groups) <= set(GROUPS)
    elif "path" in parsed:
        assert set(parsed) <= {"artifact", "slice", "path"}  # of a tree: test_ship_slices reads it
    else:
        id_, slices = 'id = "page"\n' * ("id" not in parsed), '\n[[slices]]\nartifact = "a:b:1.0.0"\n'
        parse_blueprint(f"{id_}{text}{slices * ('slices' not in parsed)}", "page")


def check_dockerfile(text):
    """Known instructions; what is copied from a stage has that stage; in our image nothing is run, its user stays."""
    lines = [line.split() for line in text.splitlines() if line]
    assert {words[0] for words in lines} <= {"FROM", "COPY", "RUN", "ENV", "USER", "WORKDIR", "CMD", "ENTRYPOINT"}
    stages = {words[3] for words in lines if words[0] == "FROM" and len(words) == 4}
    assert {word.partition("=")[2] for words in lines for word in words if word.startswith("--from=")} <= stages
    last = [words for words in lines if words[0] == "FROM"][-1]
    assert last[1] != "aether-node" or not [
        words for words in lines[lines.index(last) :] if words[0] in ("RUN", "USER")
    ]


@of("dockerfile", "")
def test_a_dockerfile_fits_the_image(listing):
    check_dockerfile(listing.text)


@pytest.mark.parametrize("text", ["FORM debian", "FROM a\nCOPY --from=b / /", "FROM aether-node\nRUN pip install shop"])
def test_the_check_of_dockerfiles_sees_what_it_is_for(text):
    with pytest.raises(AssertionError):
        check_dockerfile(text)


@of("toml", "", "title")
def test_toml_is_what_the_program_reads(listing):
    check_toml(listing.text)


@pytest.mark.parametrize(
    "text",
    [
        "a = ",
        "[ports]\nmanagment = 1",
        '[[slices]]\nartifact = "nonsense"',
        '[[slices]]\nartifact = "a:b:1.0.0"\ninstanzes = 1',
        '[project.entry-points."aether.nothing"]\na = "b:c"',
    ],
)
def test_the_check_of_toml_sees_what_it_is_for(text):
    with pytest.raises((ValueError, AssertionError, aether.BadInput)):
        check_toml(text)


def test_json_is_json():
    for listing in LISTINGS:
        if listing.language == "json":
            json.loads(listing.text)


@of("yaml", "")
def test_yaml_is_yaml(listing):
    assert isinstance(yaml.safe_load(listing.text), dict)


@of("http", "")
def test_a_request_goes_to_a_path_that_is_there(listing):
    head, _, body = listing.text.partition("\n\n")
    first, *fields = head.splitlines()
    verb, target = re.fullmatch(r"([A-Z]+) (\S+) HTTP/1.1", first).groups()

    assert re.search(rf"^### {verb} {re.escape(target.partition('?')[0])}$", MANAGEMENT, re.M)
    assert all(re.fullmatch(r"[A-Za-z-]+: \S.*", field) for field in fields)
    json.loads(body or "{}")


class Parsed(Exception):
    """The command line was taken; nothing shall be done."""


@pytest.fixture
def parse_alone(monkeypatch):
    """What `python -m` runs ends where its arguments are parsed."""
    for name in ("parse_args", "parse_known_args"):
        real = getattr(argparse.ArgumentParser, name)

        def parse(self, *given, _real=real, **named):
            _real(self, *given, **named)
            raise Parsed

        monkeypatch.setattr(argparse.ArgumentParser, name, parse)
    monkeypatch.chdir(ROOT)

    def parse_alone(module, arguments):
        monkeypatch.setattr(sys, "argv", [module, *arguments])
        known = sys.modules.get(module)
        for name in (f"{module}.__main__", *(() if hasattr(known, "__path__") else (module,))):
            monkeypatch.delitem(sys.modules, name, raising=False)  # runpy warns of what another test has imported
        with pytest.raises(Parsed):
            runpy.run_module(module, run_name="__main__")

    return parse_alone


SESSIONS = set(re.findall(r"^@nox\.session.*\n(?:@nox.*\n)*def (\w+)", (ROOT / "noxfile.py").read_text(), re.M))


def lines(listing):
    return re.findall(r"^\$ (.+)$", listing.text, re.M)


@of("console", "")
def test_other_commands_than_ours_are_there(listing, parse_alone):
    """Modules that `python -m` starts and their arguments, sessions of nox, paths of pytest."""
    for line in lines(listing):
        words = shlex.split(line, comments=True)
        if words[:2] == ["python", "-m"] and words[2].startswith(("benchmarks", "aether.")):
            parse_alone(words[2], words[3:])
        elif words[:2] == ["nox", "-s"]:
            assert words[2] in SESSIONS, line
        elif words[0] == "pytest":
            assert [w for w in words if w.startswith("tests/") and not (ROOT / w).exists()] == [], line


def test_commands_in_tables_and_text_are_there(parse_alone):
    """The same in backticks: `nox -s sim`, `pytest tests/kv`, `python -m benchmarks kv`."""
    for page in PAGES:
        prose = LISTING.sub("", page.read_text())
        for line in re.findall(r"`((?:nox -s|pytest|python -m (?:benchmarks|aether\.)\S*) [^`]+)`", prose):
            if "..." in line or re.search(r"\b[A-Z]{2,}\b|\bN\b", line):
                continue
            words = shlex.split(line)
            if words[0] == "nox":
                assert words[2] in SESSIONS, f"{page.name}: {line}"
            elif words[0] == "pytest":
                gone = [w for w in words if w.startswith("tests/") and not (ROOT / w.partition("::")[0]).exists()]
                assert gone == [], f"{page.name}: {line}"


def test_links_to_other_sites_are_few_and_encrypted():
    """They are not fetched: a page must not fail because somebody else's machine is down. This is the list of hosts."""
    hosts = set()
    for page in PAGES:
        for scheme, host in re.findall(r"\]\((https?)://([^/)\s]+)", LISTING.sub("", page.read_text())):
            assert scheme == "https", page.name
            hosts.add(host)
    assert hosts <= {"github.com", "keepachangelog.com", "semver.org", "www.w3.org"}
