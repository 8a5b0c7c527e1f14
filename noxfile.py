"""Every check of this repository, each in a virtual environment of its own: `nox` runs all that decide."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2024.10"
nox.options.sessions = ["check", "typing", "docs", "wheel", "tests", "nemesis", "sim"]
nox.options.default_venv_backend = "venv"
nox.options.error_on_missing_interpreters = True

OLDEST_MYPY = "mypy==1.19.*"  # 1.18 does not know TypeForm: a Protocol given to `get` would be Never
WHEEL_EXTRAS = ("cli", "fast", "otel", "tls")
OLDEST_PYRIGHT = "pyright==1.1.400"
# What decides about a change draws the same every time; `nox -s tests -- -n 2` draws anew, and says which seed it took.
SAME_DRAWS = ("--randomly-seed=1", "--hypothesis-profile=gate")
SAME_SEEDS = ("--seed-from", "100000", "--seeds", "1000")  # a minute of two cores
WORKERS = "2"  # on two cores; a test that starts nodes waits more than it computes
ONE_WORKER = ("-n", "1")  # a test that outlasts its time ends its process: the other one names it, and goes on


def install(session: nox.Session, *groups: str, extras: str = "cli,tls") -> None:
    """This project, editable, with the dependency groups of pyproject.toml."""
    requirements = nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), *groups)
    session.install("-e", f".[{extras}]", *requirements)


def pytest(session: nox.Session, suite: str, *arguments: str) -> bool:
    """Run pytest; in CI its results go to the summary as `suite`. False when it failed: what follows still runs."""
    report: list[str] = []
    if results := os.environ.get("AETHER_CI_RESULTS"):
        file = Path(results) / f"{suite}.xml"
        file.touch()  # empty it stays where pytest is killed, and the summary says so
        report = [f"--junitxml={file}"]
    try:
        session.run("pytest", *arguments, *report)
    except nox.command.CommandFailed:
        session.warn(f"{suite} failed")
        return False
    return True


@nox.session
def check(session: nox.Session) -> None:
    """ruff's rules and format."""
    session.install(*nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "check"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def typing(session: nox.Session) -> None:
    """mypy --strict and pyright strict, the newest and the oldest supported, on sources, examples and tests/typing."""
    install(session, "tests", "typing")
    session.run("mypy")
    session.run("pyright")
    newest = pytest(session, "typing", "tests/typing", *session.posargs)
    session.install(OLDEST_MYPY, OLDEST_PYRIGHT)
    if not (pytest(session, "typing-oldest", "tests/typing", *session.posargs) and newest):
        session.error("tests of the type checkers failed")


@nox.session
def tests(session: nox.Session) -> None:
    """Every test but the type checkers' and nemesis'. Arguments go to pytest: `nox -s tests -- tests/kv -k watch`.

    Without arguments two processes share the files between them; what is marked `alone` runs afterwards, by itself;
    and every run draws the same.
    """
    install(session, "tests")
    if session.posargs:
        session.run("pytest", *session.posargs)
        return
    others = ("--ignore=tests/typing", "--ignore=tests/nemesis", *SAME_DRAWS)
    shared = pytest(session, "tests", *others, "-m", "not alone", "-n", WORKERS, "--dist", "loadfile")
    alone = pytest(session, "tests-alone", *others, "-m", "alone", *ONE_WORKER)
    if not (shared and alone):
        session.error("tests failed")


@nox.session
def e2e(session: nox.Session) -> None:
    """All scenarios, in memory and on processes, whose figures go to docs/design/validation.md; then hard times."""
    install(session, "tests")
    results = str(Path(session.create_tmp()).resolve() / "scenarios.xml")
    tests = ["tests/scenarios", "tests/e2e/test_scenarios.py", "--junitxml", results, *session.posargs]
    session.run("pytest", *tests, env={"AETHER_SCENARIOS": "all"}, success_codes=[0, 1])
    session.run("python", "-m", "tests.scenarios.report", results)
    if not session.posargs:
        hard = map(str, sorted(Path("tests/e2e").glob("test_hard_*.py")))
        session.run("pytest", *hard, "tests/cluster/test_thousand_deployments.py", "-rs", env={"AETHER_E2E": "all"})


@nox.session
def nemesis(session: nox.Session) -> None:
    """Real nodes under real faults: the smoke of tests/nemesis, or a run of your own: `-- --seconds 600 --seed 7`."""
    install(session, "tests")
    if session.posargs:
        session.run("python", "-m", "aether.testing.nemesis", *session.posargs)
    elif not pytest(session, "nemesis", "tests/nemesis", "-rs", *ONE_WORKER):
        session.error("nemesis failed")


@nox.session
def fuzz(session: nox.Session) -> None:
    """The parsers of bytes from outside, by coverage (atheris): `nox -s fuzz -- --seconds 60 frames hello`."""
    install(session, "tests", "fuzz")
    session.run("python", "-m", "tests.fuzz", *session.posargs)


@nox.session
def demo(session: nox.Session) -> None:
    """The order demo from a built wheel, in an empty folder, without extras: `nox -s demo -- --kill leader`."""
    session.install(".")
    folder = Path(session.create_tmp()).resolve()
    with session.chdir(folder):
        session.run("aether", "demo", *session.posargs)


@nox.session
def image(session: nox.Session) -> None:
    """The image of a node, in a root made by debootstrap: built, started as process 1, stopped. Needs root."""
    install(session, "tests")
    session.run("pytest", "tests/docker", "-rs", *session.posargs, env={"AETHER_E2E": "all"})


@nox.session
def release(session: nox.Session) -> None:
    """Wheel and sdist, looked at; what the changelog would say. `-- --write YYYY-MM-DD` writes that down."""
    built = _built(session)
    session.log(f"wheel and sdist are in {built}")
    session.run("python", "scripts/changelog.py", *session.posargs)


@nox.session
@nox.parametrize("requirements", ["newest", "lowest"])
def wheel(session: nox.Session, requirements: str) -> None:
    """The built wheel where nothing else is installed, beside the newest and the oldest requirements: the demo runs."""
    (built,) = _built(session).glob("*.whl")
    session.run("python", "-m", "pip", "uninstall", "-qy", "build", "hatchling", "packaging", "twine")
    constraints: list[str] = []
    if requirements == "lowest":
        session.install("packaging")
        pins = session.run("python", "scripts/lowest.py", *WHEEL_EXTRAS, silent=True)
        file = Path(session.create_tmp()) / "lowest.txt"
        file.write_text(str(pins))
        constraints = ["-c", str(file)]
    session.install(f"{built}[{','.join(WHEEL_EXTRAS)}]", *constraints)
    session.run("python", "-m", "pip", "check")
    folder = Path(session.create_tmp()).resolve()
    with session.chdir(folder):
        session.run("aether", "--version")
        session.run("aether", "demo", *(session.posargs or ["--rate", "20", "--seconds", "4", "--kill", "none"]))


def _built(session: nox.Session) -> Path:
    """A folder with wheel and sdist of this tree, whose metadata and contents are as they should be."""
    groups = nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "release")
    session.install(*groups)
    folder = Path(session.create_tmp()).resolve() / "dist"
    shutil.rmtree(folder, ignore_errors=True)
    session.run("python", "-m", "build", "--no-isolation", "--outdir", str(folder), ".")  # the wheel from the sdist
    session.run("python", "-m", "twine", "check", "--strict", *map(str, folder.glob("*")))
    session.run("python", "scripts/dist.py", str(folder))
    return folder


@nox.session
def bench(session: nox.Session) -> None:
    """The numbers, each beside its bare limit and its peers in one run: `nox -s bench -- --seconds 2 calls http`."""
    install(session, "bench")
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session
def soak(session: nox.Session) -> None:
    """Real nodes under load and gentle chaos, and whether anything grows: `nox -s soak -- --minutes 60 --write`."""
    install(session, "soak")
    session.run("python", "-m", "benchmarks.soak", *session.posargs)


@nox.session
def sim(session: nox.Session) -> None:
    """Simulated clusters: `nox -s sim -- --seconds 3600` from fresh seeds, without arguments from the same every time.

    Failures go to tests/sim/graveyard.
    """
    session.install("-e", ".")
    seeds = session.posargs or SAME_SEEDS
    session.run("aether", "sim", "run", "--graveyard", "tests/sim/graveyard", *seeds)


@nox.session
def docs(session: nox.Session) -> None:
    """The site, in build/site: a warning is a failure. What the pages say is checked by `pytest tests/docs`."""
    install(session, "docs", extras="cli,tls")
    session.run("sphinx-build", "-W", "--keep-going", "-E", "-q", "-b", "html", "docs", "build/site", *session.posargs)
