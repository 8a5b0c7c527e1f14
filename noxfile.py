"""Every check of this repository, each in a virtual environment of its own: `nox` runs all that decide."""

from __future__ import annotations

from pathlib import Path

import nox

nox.needs_version = ">=2024.10"
nox.options.sessions = ["check", "typing", "tests", "nemesis"]
nox.options.default_venv_backend = "venv"
nox.options.error_on_missing_interpreters = True

OLDEST_MYPY = "mypy==1.19.*"  # 1.18 does not know TypeForm: a Protocol given to `get` would be Never
OLDEST_PYRIGHT = "pyright==1.1.400"


def install(session: nox.Session, *groups: str, extras: str = "cli") -> None:
    """This project, editable, with the dependency groups of pyproject.toml."""
    requirements = nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), *groups)
    session.install("-e", f".[{extras}]", *requirements)


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
    session.run("pytest", "tests/typing", *session.posargs)
    session.install(OLDEST_MYPY, OLDEST_PYRIGHT)
    session.run("pytest", "tests/typing", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Every test but the type checkers' and nemesis'. Arguments go to pytest: `nox -s tests -- tests/kv -k watch`."""
    install(session, "tests")
    session.run("pytest", *(session.posargs or ["--ignore=tests/typing", "--ignore=tests/nemesis"]))


@nox.session
def nemesis(session: nox.Session) -> None:
    """Real nodes under real faults: the smoke of tests/nemesis, or a run of your own: `-- --seconds 600 --seed 7`."""
    install(session, "tests")
    if session.posargs:
        session.run("python", "-m", "aether.testing.nemesis", *session.posargs)
    else:
        session.run("pytest", "tests/nemesis", "-rs")


@nox.session
def demo(session: nox.Session) -> None:
    """The order demo from a built wheel, in an empty folder, without extras: `nox -s demo -- --kill leader`."""
    session.install(".")
    folder = Path(session.create_tmp()).resolve()
    with session.chdir(folder):
        session.run("aether", "demo", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """The numbers, each beside its bare limit and its peers in one run: `nox -s bench -- --seconds 2 calls http`."""
    install(session, "bench")
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session
def sim(session: nox.Session) -> None:
    """Simulated clusters from fresh seeds: `nox -s sim -- --seconds 3600`. Failures go to tests/sim/graveyard."""
    session.install("-e", ".")
    session.run("aether", "sim", "run", "--graveyard", "tests/sim/graveyard", *(session.posargs or ["--seconds", "60"]))


@nox.session
def docs(session: nox.Session) -> None:
    """The documents' own tests: headings, commands and snippets are true."""
    install(session, "tests")
    session.run("pytest", "tests/docs", "tests/house", *session.posargs)
