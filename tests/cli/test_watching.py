"""`--watch`: snapshots in a pipe, one picture on a terminal; and what `wide` and states look like."""

import json

import click
import pytest

from aether.cli import watching
from aether.cli.exits import CommandFailed, Exit
from aether.cli.main import run
from aether.cli.options import Settings
from aether.cli.output import show, table, wide_columns
from aether.cli.states import Mood, mood_of
from aether.cli.watching import redrawn, repeat


class Over(Exception):
    pass


def rounds(count):
    """A sleep that ends the watch after so many looks."""
    left = iter(range(count - 1))

    def sleep(seconds):
        if next(left, None) is None:
            raise Over

    return sleep


def test_snapshots_in_a_pipe_stand_one_below_the_other_with_their_time(capsys):
    with pytest.raises(Over):
        repeat(lambda: click.echo("x"), 1.0, titled=True, sleep=rounds(3))

    lines = capsys.readouterr().out.splitlines()
    assert lines[1::2] == ["x"] * 3
    assert all(line.startswith("# 20") for line in lines[::2])


@pytest.mark.parametrize("output", ["json", "jsonl"])
def test_what_programs_read_has_no_lines_about_time(port, monkeypatch, capsys, output):
    monkeypatch.setattr(watching, "repeat", lambda look, s, *, titled: repeat(look, s, titled=titled, sleep=rounds(2)))
    with pytest.raises(Over):
        run(["nodes", "--watch", "0.5", "-o", output, "-c", port.address])

    text, found = capsys.readouterr().out.strip(), []
    while text:
        value, end = json.JSONDecoder().raw_decode(text)
        found.append(value)
        text = text[end:].lstrip()
    assert len(found) == (2 if output == "json" else 4)


def test_a_node_that_goes_away_for_a_while_does_not_end_the_watch(capsys):
    """Whoever watches a restart wants to see the end of it."""
    looks = iter([None, CommandFailed(Exit.CANNOT_CONNECT, "gone"), click.exceptions.Exit(1), None])

    def look():
        raised = next(looks)
        if raised:
            raise raised
        click.echo("there")

    with pytest.raises(Over):
        repeat(look, 1.0, titled=False, sleep=rounds(4))
    assert capsys.readouterr().out == "there\naether: gone; looking again\nthere\n"


@pytest.mark.parametrize("failures", [["first"], [None, "refused"]])
def test_what_was_never_there_or_is_refused_ends_it(failures):
    codes = {"first": Exit.CANNOT_CONNECT, "refused": Exit.REFUSED}
    left = iter(failures)

    def look():
        failure = next(left)
        if failure:
            raise CommandFailed(codes[failure], failure)

    with pytest.raises(CommandFailed, match=failures[-1]):
        repeat(look, 1.0, titled=False, sleep=rounds(9))


def test_a_picture_is_cut_to_the_height_of_the_terminal():
    drawn = redrawn("a\nb\nc\nd\ne\n", 4, first=False)

    assert drawn == "\x1b[Ha\x1b[K\nb\x1b[K\n... 3 more lines\x1b[K\n\x1b[J"
    assert redrawn("a\n", 4, first=True).startswith("\x1b[2J\x1b[H")


@pytest.mark.parametrize("command", [["nodes", "--watch", "0", "list"], ["status", "--watch", "x"]])
def test_a_span_that_is_none_is_refused(command, capsys):
    assert run(command) == 2


def test_a_word_below_a_watched_group_is_carried_out_once(port, capsys):
    port.answers["/nodes/n1/activate"] = {"status": "activated", "node": "n1", "revision": 1}
    assert run(["nodes", "--watch", "1", "activate", "n1", "-c", port.address]) == 0
    assert [verb for verb, *_ in port.asked] == ["POST"]


@pytest.mark.process
def test_a_watch_on_a_terminal_is_redrawn_and_ended_by_ctrl_c(port, terminal):
    program = terminal("nodes", "--watch", "0.2", "-c", port.address)
    program.wait_for(r"\x1b\[2J\x1b\[H# 20")
    program.wait_for("UNREACHABLE")
    port.answers["/members"] = {"members": [], "leader": ""}
    program.wait_for(r"\x1b\[H# 20")
    program.press("\x03")
    assert program.ended() == 130


# --- tables -----------------------------------------------------------------------------------------------------------


def test_wide_shows_every_field_that_fits_into_a_cell(port, capsys):
    rows = [{"a": 1, "b": {"c": 2}, "d": "x" * 500, "e": [1, 2], "f": [{}], "g": None}, {"a": 2, "h": True}]

    assert wide_columns(rows, ["a", "b.c"]) == ["a", "b.c", "e", "g", "h"]
    assert run(["nodes", "-o", "wide", "-c", port.address]) == 0
    assert "ZONE" in capsys.readouterr().out
    assert run(["nodes", "-c", port.address]) == 0
    assert "ZONE" not in capsys.readouterr().out


def test_wide_is_a_table_for_every_command():
    """Commands ask whether a table is printed, to say more around it."""
    assert Settings(output="table", wide=True).output == "table"


def test_a_state_has_a_sign_beside_its_word_on_a_terminal(port, terminal):
    """Never by colour alone: one reader in twelve does not see it, and NO_COLOR readers neither."""
    program = terminal("slices", "-c", port.address, PYTHONIOENCODING="utf-8")
    program.wait_for("● ACTIVE")
    program.wait_for("✗ FAILED")
    program.wait_for(r"no \[red\] module")
    assert program.ended() == 0


def test_tables_in_a_pipe_have_the_word_alone(port, capsys):
    run(["slices", "-c", port.address])
    printed = capsys.readouterr().out
    assert " ACTIVE " in printed
    assert "●" not in printed
    assert "\x1b" not in printed


def test_only_columns_of_states_have_moods():
    assert mood_of("STATE", "active") is Mood.GOOD
    assert mood_of("artifact", "ACTIVE") is None
    assert mood_of("state", "never heard") is None
    assert len({mood.value.sign for mood in Mood}) == len({mood.value.ascii_sign for mood in Mood}) == len(Mood)


def test_an_empty_table_has_its_heads(capsys):
    assert table([], ["a", "b"]) == "A  B"
    show(Settings(output="table", wide=True), {}, [], ["a"])
    assert capsys.readouterr().out == "A\n"
