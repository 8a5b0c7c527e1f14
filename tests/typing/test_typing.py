"""Typed calls survive mypy --strict and pyright strict: right uses are accepted, wrong ones are errors."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = ("tests/typing/keeps_types.py", "examples/section5.py")
pytestmark = [pytest.mark.process, pytest.mark.timeout(240)]


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, timeout=230, check=False
    )


def test_mypy_strict_accepts_right_uses_and_refuses_wrong_ones():
    """A misspelt method must be red in the editor, not at run time."""
    pytest.importorskip("mypy")
    done = run("mypy", "--strict", *FILES)
    assert done.returncode == 0, done.stdout + done.stderr


def test_pyright_strict_accepts_right_uses_and_refuses_wrong_ones():
    pytest.importorskip("pyright")
    done = run("pyright", "--pythonpath", sys.executable, *FILES)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_check_that_should_fail_does_fail(tmp_path):
    """The two tests above rest on unused ignore comments being errors; here is one."""
    pytest.importorskip("mypy")
    source = (ROOT / FILES[0]).read_text()
    planted = tmp_path / "planted.py"
    planted.write_text(source.replace("await shop.plcae(", "await shop.place("))
    assert source != planted.read_text()
    done = run("mypy", "--strict", "--config-file", str(ROOT / "pyproject.toml"), str(planted))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "unused-ignore" in done.stdout


def test_every_public_symbol_has_a_known_type():
    """What a user imports is typed to the last attribute, so that their own strict checks stay meaningful."""
    pytest.importorskip("pyright")
    done = run("pyright", "--pythonpath", sys.executable, "--verifytypes", "aether", "--ignoreexternal")
    assert "Type completeness score: 100%" in done.stdout, done.stdout[-3000:]
