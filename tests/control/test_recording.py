"""What a leader saw is written, read and decided about again, with the same outcome."""

import itertools
import json

import attrs
import pytest
from tests.control.played import CALM, Played, context, view

from aether.control.decision_tree import DecisionTreeController
from aether.control.evaluation import Evaluation
from aether.control.recording import lines, needed_s, read
from aether.control.replay import replayed
from aether.errors import BadInput
from aether.model.limits import CONTROL_RECORDED_MAX


@attrs.define
class Keeps:
    """The tree, and what it was asked and answered."""

    kept: list = attrs.field(factory=list)

    def decide(self, context):
        decisions = DecisionTreeController().decide(context)
        self.kept.append(Evaluation(context=context, decisions=decisions, by="decision_tree"))
        return decisions


@pytest.fixture(scope="module")
def evaluations():
    keeps = Keeps()
    Played(lambda second: 300 if second < 200 else 1500 if second < 500 else 100, controller=keeps).run(1000)
    span_s = needed_s(CALM)
    return [  # as the control loop makes them: a window holds what is needed, and nothing else
        attrs.evolve(
            each,
            context=attrs.evolve(
                each.context,
                slices=tuple(
                    attrs.evolve(v, window=tuple(f for f in v.window if f.at >= each.context.now - span_s))
                    for v in each.context.slices
                ),
            ),
        )
        for each in keeps.kept
    ]


def test_a_recording_is_read_as_it_was(evaluations):
    recording = read(lines(evaluations, "shop"))

    assert [each.context for each in recording] == [each.context for each in evaluations]
    assert [each.decisions for each in recording] == [each.decisions for each in evaluations]


def test_a_recording_that_begins_in_the_middle_has_its_whole_windows(evaluations):
    assert read(lines(evaluations[100:]))[0].context == evaluations[100].context


def test_the_same_rules_decide_the_same_again_always(evaluations):
    text = list(lines(evaluations))
    once, again = (list(replayed(read(text), DecisionTreeController())) for _ in range(2))

    assert once == again
    assert all(each.is_same for each in once)
    assert any(each.decision.changes_something for each in once)


def test_other_thresholds_decide_otherwise(evaluations):
    made = list(replayed(read(lines(evaluations)), DecisionTreeController(), {"cpu_up": 0.95, "trend_horizon_s": 0.0}))
    strict = list(replayed(read(lines(evaluations)), DecisionTreeController(), {"enabled": False}))

    assert any(not each.is_same for each in made + strict)
    assert not any(each.decision.changes_something for each in strict)


def test_settings_that_make_no_sense_are_refused_in_a_replay(evaluations):
    with pytest.raises(BadInput, match="not fit"):
        list(replayed(read(lines(evaluations)), DecisionTreeController(), {"cpu_up": 0.1}))


def test_what_repeats_is_said_once(evaluations):
    first, *rest = (json.loads(line)["context"]["slices"][0] for line in itertools.islice(lines(evaluations), 1, 6))

    assert "settings" in first
    assert not any("settings" in each for each in rest)
    assert all(len(each["window"]) == 1 for each in rest)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ([], "empty"),
        (["nonsense"], "line 1 is no JSON"),
        (["[]"], "line 1 is no JSON object"),
        (['{"kind":"something"}'], "no recording of a controller"),
        (['{"kind":"aether controller recording","version":7}'], "version 7"),
        (['{"kind":"aether controller recording","version":1}'], "empty"),
        (['{"kind":"aether controller recording","version":1}', '{"context":{}}'], "line 2 is no evaluation"),
        (
            ['{"kind":"aether controller recording","version":1}', '{"context":{"slices":[7]},"decided":[],"by":""}'],
            "line 2",
        ),
    ],
)
def test_what_is_no_recording_is_refused_with_its_line(text, words):
    with pytest.raises(BadInput) as caught:
        read(text)
    assert words in str(caught.value)


def test_a_hostile_number_of_lines_is_refused():
    one = Evaluation(context=context(view(2)), decisions=(), by="x")
    head, line = lines([one])

    with pytest.raises(BadInput, match="at most"):
        read([head, *[line] * (CONTROL_RECORDED_MAX + 1)])


def test_a_changed_field_of_the_wrong_type_is_refused(evaluations):
    text = list(lines(evaluations[:3]))
    plain = json.loads(text[2])
    plain["context"]["slices"][0]["instances"] = "two"

    with pytest.raises(BadInput, match="line 3"):
        read([*text[:2], json.dumps(plain)])
