"""Settings of the controller in every spelling, and what is refused."""

import json

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.control.settings import ControllerSettings
from aether.control.spelling import SLICES_MAX, TUNABLES, by_name, changed, from_text, plain, read_text, shown
from aether.errors import BadInput
from aether.model.artifact import ArtifactBase

DEFAULTS = ControllerSettings()
ORDERS = ArtifactBase.parse("shop:orders")


def problems(given, base=DEFAULTS):
    with pytest.raises(BadInput) as caught:
        changed(base, given)
    return list(caught.value.problems)


def test_the_defaults_make_sense():
    DEFAULTS.check()
    assert changed(DEFAULTS, {}) == DEFAULTS


def test_every_field_has_one_spelling_and_a_range_that_holds_its_default():
    names = [each.api for each in TUNABLES]

    assert len(set(names)) == len(names)
    for each in TUNABLES:
        default = getattr(DEFAULTS, each.name)
        assert each.kind in (bool, str) or each.low <= default <= each.high


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"cpu_down": 0.9}, "cpu_down = 0.9 is not below cpu_up = 0.8"),
        ({"cpu_up": 0.5, "cpu_down": 0.5}, "is not below"),
        ({"call_rate_up": 100}, "call_rate_down = 200 is not below call_rate_up = 100"),
        ({"in_flight_down": 0.8}, "in_flight_down"),
        ({"up_window_s": 400}, "up_window_s = 400 is above down_window_s"),
        ({"cool_down_up_s": 400}, "cool_down_up_s"),
        ({"interval_s": 100}, "interval_s = 100 is above up_window_s"),
        ({"interval_s": 31.0, "up_window_s": 40.0, "override_s": 60.0}, "override_s"),
        ({"cpu_up": 1.5}, "cpu_up: 1.5 is out of range"),
        ({"cpu_up": "0.5"}, "cpu_up: '0.5' is no number"),
        ({"cpu_up": True}, "cpu_up: True is no number"),
        ({"cpu_up": float("nan")}, "cpu_up: nan is out of range"),
        ({"step_up": 2.0}, "step_up: 2.0 is no whole number"),
        ({"enabled": 1}, "enabled: 1 is not true or false"),
        ({"controller": "../x"}, "controller"),
        ({"cpu_upp": 0.5}, "did you mean cpu_up?"),
        ({"slices": 3}, "slices: 3 is no table"),
        ({"slices": {"shop": {}}}, "slices.shop"),
        ({"slices": {"shop:orders": 7}}, "slices.shop:orders: 7 is no table"),
        ({"slices": {"shop:orders": {"interval_s": 1}}}, "slices.shop:orders.interval_s: unknown"),
        ({"slices": {"shop:orders": {"cpu_up": 0.1}}}, "slices.shop:orders: cpu_down = 0.2 is not below cpu_up"),
        ({"slices": {f"shop:s{n}": {} for n in range(SLICES_MAX + 1)}}, "have settings of their own"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_name(given, words):
    assert any(words in problem for problem in problems(given))


def test_all_that_is_wrong_is_said_at_once():
    assert len(problems({"cpu_up": 2, "step_up": 0, "nonsense": 1})) == 3


def test_a_slice_has_settings_of_its_own_above_those_of_all():
    made = changed(DEFAULTS, {"cpu_up": 0.7, "slices": {"shop:orders": {"cpu_up": 0.6, "step_up": 1}}})

    assert (made.of(ORDERS).cpu_up, made.of(ORDERS).step_up) == (0.6, 1)
    assert made.of(ArtifactBase.parse("shop:stock")).cpu_up == 0.7


@given(
    cpu_up=st.floats(0.3, 1.0),
    interval_s=st.floats(0.5, 15.0),
    step_up=st.integers(1, 100),
    shadow=st.booleans(),
    own=st.dictionaries(st.sampled_from(["cpu_up", "errors_block", "p95_up_s"]), st.floats(0.3, 1.0)),
)
def test_what_is_written_is_read_the_same_again(cpu_up, interval_s, step_up, shadow, own):
    made = changed(
        DEFAULTS,
        {
            "cpu_up": cpu_up,
            "interval_s": interval_s,
            "step_up": step_up,
            "shadow": shadow,
            "slices": {"shop:orders": own} if own else {},
        },
    )

    assert from_text(DEFAULTS, json.dumps(plain(made, DEFAULTS))) == made
    assert changed(DEFAULTS, plain(made)) == made


def test_the_originals_four_names_are_shown_and_read():
    assert attrs.asdict(DEFAULTS)["interval_s"] == 5.0
    answer = shown(DEFAULTS)

    assert {name: answer[name] for name in list(answer) if name in ORIGINAL} == ORIGINAL
    assert by_name({"evaluationIntervalMs": 2500, "cpuScaleUpThreshold": 0.9}) == {"interval_s": 2.5, "cpu_up": 0.9}
    assert by_name({"evaluationIntervalMs": "soon"}) == {"interval_s": "soon"}


ORIGINAL = {
    "cpuScaleUpThreshold": 0.8,
    "cpuScaleDownThreshold": 0.2,
    "callRateScaleUpThreshold": 1000.0,
    "evaluationIntervalMs": 5000,
}


@pytest.mark.parametrize("text", ["", "[]", "nonsense", '{"a":', "[" * 100_000, "x" * 100_000, '{"cpu_up": 7}'])
def test_a_setting_that_is_no_table_is_refused_in_words(text):
    with pytest.raises(BadInput):
        from_text(DEFAULTS, text)


def test_a_setting_is_a_table():
    assert read_text('{"cpu_up": 0.9}') == {"cpu_up": 0.9}
