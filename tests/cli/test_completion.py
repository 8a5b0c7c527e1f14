"""What a shell reads at its start, and what it asks at a press of Tab."""

import os
import subprocess
import sys

import pytest

from aether.cli.main import run

AETHER = [sys.executable, "-m", "aether"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_names_what_it_asks(shell, capsys):
    assert run(["completion", shell]) == 0
    assert "_AETHER_COMPLETE" in capsys.readouterr().out


def test_bash_takes_the_script_and_keeps_artifacts_whole():
    """bash would make three words of group:artifact:version."""
    script = subprocess.run([*AETHER, "completion", "bash"], capture_output=True, text=True, check=True).stdout
    line = f'{script}\ncomplete -p aether; echo "breaks=$COMP_WORDBREAKS"'
    done = subprocess.run(["bash", "--norc", "-c", line], capture_output=True, text=True, check=True)

    assert "_aether_completion aether" in done.stdout
    assert ":" not in done.stdout.partition("breaks=")[2]


@pytest.mark.parametrize(
    ("words", "place", "found"),
    [("aether no", 1, {"node", "nodes"}), ("aether nodes dr", 2, {"drain"}), ("aether scale shop", 2, set())],
)
def test_a_press_of_tab(port, words, place, found):
    """Artifacts are completed when a node answers; here none does, within a moment and in silence."""
    asked = {"_AETHER_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(place)}
    environment = {**os.environ, **asked, "AETHER_CONNECT": "127.0.0.1:1"}
    done = subprocess.run(AETHER, capture_output=True, text=True, env=environment, timeout=60, check=True)

    assert {line.partition(",")[2] for line in done.stdout.splitlines() if line} == found
    assert done.stderr == ""
