"""What `aether controller` and `aether explain` ask for and print; a replay asks nobody."""

import json

import attrs
import pytest
from tests.control.played import Played

from aether.cli.main import run
from aether.control.decision_tree import DecisionTreeController
from aether.control.evaluation import Evaluation
from aether.control.recording import lines


@attrs.define
class Keeps:
    kept: list = attrs.field(factory=list)

    def decide(self, context):
        decisions = DecisionTreeController().decide(context)
        self.kept.append(Evaluation(context=context, decisions=decisions, by="decision_tree"))
        return decisions


@pytest.fixture
def recording(tmp_path):
    keeps = Keeps()
    Played(lambda second: 1500, controller=keeps).run(60)
    file = tmp_path / "monday.jsonl"
    file.write_text("\n".join(lines(keeps.kept)) + "\n")
    return file


def test_a_replay_says_the_same_and_other_thresholds_say_otherwise(recording, capsys):
    assert run(["controller", "replay", str(recording), "-o", "json"]) == 0
    same = json.loads(capsys.readouterr().out)
    assert same["different"] == 0
    assert [(each["from"], each["to"]) for each in same["decisions"]] == [(2, 4), (4, 8)]

    assert run(["controller", "replay", str(recording), "--set", "enabled=false", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["different"] == 2


def test_a_replay_of_what_is_no_recording_says_so(tmp_path, capsys):
    wrong = tmp_path / "wrong.jsonl"
    wrong.write_text("{}\n")

    assert run(["controller", "replay", str(wrong)]) == 2
    assert "no recording" in capsys.readouterr().err
    assert run(["controller", "replay", str(tmp_path / "none")]) == 1
    assert "cannot be read" in capsys.readouterr().err


def test_a_controller_that_nobody_registers_is_not_found(recording, capsys):
    assert run(["controller", "replay", str(recording), "--controller", "nobody"]) == 1
    assert "decision_tree" in capsys.readouterr().err


def test_a_setting_without_a_value_is_a_usage_error(capsys):
    assert run(["controller", "config", "--set", "stepUp"]) == 2
    assert "NAME=VALUE" in capsys.readouterr().err
