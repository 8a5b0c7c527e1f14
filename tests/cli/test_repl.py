"""The conversation: what a line means, and what ends it; through a real terminal, with and without prompt_toolkit."""

import os
import stat
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.cli.main import aether
from aether.cli.repl import Ended, Nothing, Unread, converse, is_secret, read_line
from aether.cli.repl_command import completions


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("status", ("status",)),
        ("  nodes   list ", ("nodes", "list")),
        ("aether status", ("status",)),
        ("kv put maps/a/b '\"two words\"'", ("kv", "put", "maps/a/b", '"two words"')),
        ("scale a:b -n 1 --reason 'a sale'", ("scale", "a:b", "-n", "1", "--reason", "a sale")),
        ("help", ("--help",)),
        ("help kv put", ("kv", "put", "--help")),
        ("aether", ("--help",)),
        ("", Nothing()),
        ("   ", Nothing()),
        ("# nothing", Nothing()),
        ("exit", Ended()),
        ("QUIT", Ended()),
        (" Exit ", Ended()),
        ("say 'oh", Unread("No closing quotation")),
    ],
)
def test_a_line_is_read_as_a_shell_would(text, line):
    assert read_line(text) == line


@given(st.text())
def test_no_line_breaks_the_reading(text):
    read_line(text)
    is_secret(text)


def test_no_error_of_a_command_ends_the_conversation(capsys):
    """The original's users kept it open all day."""
    lines = iter(["one", "two", "say 'oh", "", "repl", "three", "exit", "never"])
    carried = []

    def run(words):
        carried.append(words[0])
        raise {"one": ValueError, "two": SystemExit, "three": KeyboardInterrupt}[words[0]]

    converse(lambda: next(lines), run)

    printed = capsys.readouterr()
    assert carried == ["one", "two", "three"]
    assert printed.out.endswith("Goodbye!\n")
    assert "No closing quotation" in printed.err
    assert "ValueError" in printed.err


@pytest.mark.parametrize("text", ["status --token abc", "--api-key=abc nodes", "nodes -k abc", "nodes -kabc"])
def test_a_line_with_a_token_is_not_kept(text):
    assert is_secret(text)
    assert not is_secret("kv put maps/tokens/a 1")


@pytest.mark.process
@pytest.mark.parametrize("plain", [False, True], ids=["prompt_toolkit", "plain"])
@pytest.mark.parametrize("first", [(), ("repl",)], ids=["aether", "repl"])
def test_a_conversation_in_a_terminal(port, terminal, tmp_path, plain, first):
    """As a person sees it: banner, answers, errors that end nothing, good-bye."""
    environment = {}
    if plain:
        blocked = tmp_path / "blocked" / "prompt_toolkit"
        blocked.mkdir(parents=True)
        (blocked / "__init__.py").write_text("raise ImportError('not installed')\n")
        environment["PYTHONPATH"] = os.pathsep.join([str(blocked.parent), os.environ.get("PYTHONPATH", "")])
    program = terminal("-c", port.address, *first, **environment)

    program.wait_for(rf"aether v\S+ - connected to {port.address}")
    program.wait_for("aether>")
    program.press("\rstatus\r")
    program.wait_for("node-1")
    program.wait_for("aether>")
    program.press("nodes 'oh\r")
    program.wait_for("No closing quotation")
    program.wait_for("aether>")
    program.press("sttus\r")
    program.wait_for("Did you mean 'status'")
    program.wait_for("aether>")
    program.press("status -c 127.0.0.1:1\r")
    program.wait_for("no node answers")
    program.wait_for("aether>")
    program.press("QUIT\r")
    program.wait_for("Goodbye!")
    assert program.ended() == 0


@pytest.mark.process
def test_the_history_is_kept_for_its_user_alone_and_tab_completes(port, terminal, tmp_path):
    program = terminal("-c", port.address)
    program.wait_for("aether>")
    program.press("nodes drain node-2 --token secret\r")
    program.wait_for("aether>")
    program.press("stat\t")
    program.wait_for("us")
    program.press("\r")
    program.wait_for("running")
    program.wait_for("aether>")  # keys that come before it are the terminal's
    program.press("\x04")
    program.wait_for("Goodbye!")
    assert program.ended() == 0

    file = tmp_path / "state" / "aether" / "history"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "+status" in file.read_text()
    assert "secret" not in file.read_text()


@pytest.mark.process
def test_a_script_can_be_read_by_it(port):
    """Nobody is asked, nothing is drawn; the end of the file ends it."""
    line = [sys.executable, "-m", "aether", "-c", port.address, "-o", "jsonl", "repl"]
    done = subprocess.run(line, input="status\nnodes\n", capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout.count('"node-1"') >= 2
    assert done.stdout.endswith("Goodbye!\n")


def test_help_alone_is_help_and_nothing_alone_in_a_pipe_too(port):
    """The original entered the conversation at --help, and printed its usage at `-c host`."""
    for arguments, code in ((["--help"], 0), ([], 2), (["-c", port.address], 2)):
        line = [sys.executable, "-m", "aether", *arguments]
        done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == code
        assert "Commands:" in done.stdout + done.stderr


def test_what_the_cluster_knows_is_completed(port):
    before = ["-c", port.address]

    def found(words, last):
        return [value for value, _ in completions(aether, before, words, last)]

    assert found([], "hea") == ["health"]
    assert found(["nodes"], "dr") == ["drain"]
    assert found(["nodes", "drain"], "") == ["node-1", "node-2"]
    assert found(["scale"], "shop") == ["shop:pricing:1.0.0", "shop:pricing"]
    assert found(["unplace"], "") == ["i1", "i2"]
    assert found(["blueprint", "show"], "s") == ["shop"]
    assert found(["rollout", "status"], "") == ["current", "r-17"]
    assert "--force" in found(["nodes", "drain"], "--")
    assert found(["aether", "place", "shop:pricing:1.0.0", "--on"], "node-2") == ["node-2"]


def test_a_node_that_does_not_answer_completes_nothing_and_says_nothing(port, capsys):
    port.answers["/members"] = (500, {})
    port.answers["/slices"] = {"slices": [1]}
    for before in (["-c", port.address], ["-c", "127.0.0.1:1"], ["-c", "no:address"]):
        assert list(completions(aether, before, ["nodes", "drain"], "")) == []
        assert list(completions(aether, before, ["scale"], "")) == []
    assert capsys.readouterr() == ("", "")
