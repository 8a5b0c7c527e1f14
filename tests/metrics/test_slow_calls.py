"""Which calls are slow: the four strategies, and their spelling."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.errors import BadInput
from aether.metrics.slow_calls import (
    Adaptive,
    Composite,
    Fixed,
    PerMethod,
    SlowCall,
    read_setting,
    read_strategy,
    rule_for,
    show_strategy,
)
from aether.model.artifact import Artifact

PRICING = Artifact.parse("shop:pricing:1.0.0")
milliseconds = st.integers(1, 10_000).map(lambda n: n / 1e3)
fixed = st.builds(Fixed, milliseconds)
adaptive = st.tuples(milliseconds, milliseconds, st.integers(1, 100)).map(
    lambda t: Adaptive(min(t[:2]), max(t[:2]), float(t[2]))
)
per_method = st.builds(PerMethod, milliseconds, st.dictionaries(st.text(min_size=1, max_size=9), milliseconds))
single = fixed | adaptive | per_method
strategies = single | st.lists(single, min_size=1, max_size=8).map(lambda each: Composite(tuple(each)))


@given(strategies)
def test_a_strategy_survives_its_setting(strategy):
    again = read_setting(json.dumps(show_strategy(strategy)))
    assert show_strategy(again) == show_strategy(strategy)


@pytest.mark.parametrize(
    ("plain", "shown"),
    [
        ({"type": "fixed"}, {"type": "fixed", "thresholdMs": 100}),
        ({"type": "fixed", "thresholdMs": 2.5}, {"type": "fixed", "thresholdMs": 2.5}),
        ({"type": "adaptive"}, {"type": "adaptive", "minMs": 10, "maxMs": 1000, "multiplier": 3.0}),
        ({"type": "perMethod"}, {"type": "perMethod", "defaultMs": 100, "methods": {}}),
    ],
)
def test_the_forms_of_the_original_are_read_and_their_defaults_shown(plain, shown):
    assert show_strategy(read_strategy(plain)) == shown


@pytest.mark.parametrize(
    ("strategy", "method", "rule"),
    [
        (Fixed(0.2), "quote", Fixed(0.2)),
        (PerMethod(0.2, {"quote": 0.3}), "quote", Fixed(0.3)),
        (PerMethod(0.2, {"quote": 0.3}), "ticks", Fixed(0.2)),
        (PerMethod(0.2, {"quote": 0.3, "shop:pricing/quote": 0.4}), "quote", Fixed(0.4)),
        (PerMethod(0.2, {"shop:other/quote": 0.4}), "quote", Fixed(0.2)),
        (Composite((PerMethod(0.2, {"quote": 0.3}), Adaptive())), "quote", Fixed(0.3)),
        (Composite((PerMethod(0.2, {"quote": 0.3}), Adaptive())), "ticks", Adaptive()),
        (Composite((PerMethod(0.2, {"quote": 0.3}),)), "ticks", Fixed(0.2)),
        (Composite((Adaptive(), Fixed(0.1))), "quote", Adaptive()),
    ],
)
def test_a_strategy_comes_to_one_rule_for_each_method(strategy, method, rule):
    assert rule_for(strategy, PRICING, method) == rule


@pytest.mark.parametrize(
    ("plain", "problem"),
    [
        ({}, "type: None is none of"),
        ({"type": "slowest"}, "none of fixed, adaptive, perMethod, composite"),
        ({"type": ["fixed"]}, "is none of"),
        ({"type": "fixed", "thresholdMs": 0}, "thresholdMs: 0 is no number above 0"),
        ({"type": "fixed", "thresholdMs": True}, "thresholdMs: True"),
        ({"type": "fixed", "thresholdMs": float("nan")}, "thresholdMs: nan"),
        ({"type": "fixed", "minMs": 3}, "minMs: unknown for fixed; known are thresholdMs"),
        ({"type": "adaptive", "minMs": 50, "maxMs": 5}, "minMs: 50 is above maxMs, 5"),
        ({"type": "adaptive", "multiplier": "3"}, "multiplier: '3'"),
        ({"type": "perMethod", "methods": ["a"]}, "methods: give an object"),
        ({"type": "perMethod", "methods": {"quote": -1}}, "methods.quote: -1"),
        ({"type": "perMethod", "methods": {f"m{n}": 1 for n in range(257)}}, "257 are named; at most 256"),
        ({"type": "composite", "strategies": []}, "strategies: give a list of 1 to 8"),
        ({"type": "composite", "strategies": [{"type": "composite"}]}, "strategies.0.type"),
        ({"type": "composite", "strategies": [{"type": "fixed", "thresholdMs": -1}]}, "strategies.0.thresholdMs"),
    ],
)
def test_what_is_no_strategy_is_refused_with_the_value_and_its_place(plain, problem):
    with pytest.raises(BadInput) as refused:
        read_strategy(plain)
    assert problem in "\n".join(refused.value.problems)


@pytest.mark.parametrize("text", ["", "[]", "3", "{", "[" * 100_000])
def test_a_setting_that_is_no_object_is_refused(text):
    with pytest.raises(BadInput):
        read_setting(text)


def test_a_slow_call_survives_the_wire_and_what_is_none_is_refused():
    call = SlowCall(at_s=1.0, latency_s=2.0, request_id="r", instance="i", error="no", trace_id="t")
    assert SlowCall.from_plain(call.to_plain()) == call
    for plain in (None, [], [1.0, 2.0, "r", "i", "no"], [1, 2.0, "", "", "", ""], [float("nan"), 2.0, "", "", "", ""]):
        with pytest.raises(BadInput):
            SlowCall.from_plain(plain)
