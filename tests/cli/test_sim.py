"""`aether sim`: seeds run, one run shown, a failure kept and shown again."""

from __future__ import annotations

from tests.simulation.mutants import votes_twice

from aether.cli.main import run
from aether.testing.simulation.graveyard import graves


def test_seeds_run_and_are_summed_up(capsys):
    """The first seed is named, so that the run can be had again."""
    code = run(
        [
            "sim",
            "run",
            "--seeds",
            "2",
            "--seed-from",
            "0x10",
            "--steps",
            "300",
            "--processes",
            "1",
            "--plot",
            "restarting",
        ]
    )
    said = capsys.readouterr().out
    assert code == 0
    assert "from seed 0x10" in said
    assert "2 seeds" in said


def test_a_run_is_shown_line_by_line(capsys):
    """Fixed columns under a heading, the verdict at the end."""
    code = run(["sim", "replay", "--seed", "0x10", "--steps", "300", "--plot", "restarting", "--last", "5"])
    lines = capsys.readouterr().out.splitlines()
    assert code == 0
    assert lines[0].split()[:3] == ["TIME_MS", "EVENT", "NODE"]
    assert len(lines) == 7
    assert "all rules held" in lines[-1]


def test_a_failing_seed_is_kept_and_shown_again(capsys, monkeypatch, tmp_path):
    """Exit code 1, a file in the graveyard, and the file fails in the same way."""
    votes_twice(monkeypatch)
    arguments = f"sim run --seeds 6 --seed-from 0 --steps 2000 --processes 1 --graveyard {tmp_path}".split()
    assert run(arguments) == 1
    said = capsys.readouterr()
    assert "VIOLATED" in said.out
    assert "rules broke in" in said.err
    kept = graves(tmp_path)
    assert kept
    assert run(["sim", "replay", "--grave", str(kept[0]), "--last", "3"]) == 1
    assert "VIOLATED" in capsys.readouterr().out


def test_nonsense_is_refused_with_a_word_of_help(capsys):
    """Neither a seed nor a file; a seed that is no number."""
    assert run(["sim", "replay"]) == 2
    assert "give --seed or --grave" in capsys.readouterr().err
    assert run(["sim", "replay", "--seed", "seven"]) == 2
    assert "0x4d2" in capsys.readouterr().err
