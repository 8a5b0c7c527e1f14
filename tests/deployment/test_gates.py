import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.deployment.gates import Finding, judge
from aether.errors import BadInput
from aether.model.gate_presets import PRESETS, preset
from aether.model.health import VersionHealth
from aether.model.rollout import Gates

WELL = VersionHealth(requests=1_000, errors=1, p50_ms=5, p99_ms=20, mean_ms=6)
DEFAULT = PRESETS["default"].gates


@st.composite
def healths(draw):
    requests = draw(st.integers(0, 500))
    p50 = draw(st.floats(0, 1000))
    p99 = p50 + draw(st.floats(0, 1000))
    return VersionHealth(requests=requests, errors=draw(st.integers(0, requests)), p50_ms=p50, p99_ms=p99, mean_ms=p50)


gates = st.builds(
    Gates,
    error_rate=st.none() | st.floats(0, 1),
    p99_ms=st.none() | st.floats(0, 2000),
    against_old=st.none() | st.floats(1, 5),
    requests_min=st.integers(1, 200),
)


def new(**more):
    return attrs.evolve(WELL, **more)


@given(gates)
def test_gates_are_set_when_any_of_them_could_judge(gates):
    assert gates.are_set == (gates != Gates(requests_min=gates.requests_min))


def test_both_errors_and_latency_must_be_kept():
    assert judge(DEFAULT, WELL, new()).finding is Finding.GOOD
    assert judge(DEFAULT, WELL, new(errors=11)).finding is Finding.BAD
    assert judge(DEFAULT, WELL, new(p99_ms=501)).finding is Finding.BAD


def test_the_reason_has_the_numbers():
    verdict = judge(DEFAULT, WELL, new(errors=50, p99_ms=812.4))
    assert verdict.reason == (
        "50 of 1000 calls to the new version failed, 5 %, and 1 % are allowed; the new version's p99 is 812.4 ms, and "
        "500 ms are allowed (1000 calls to the new version, 1000 to the old one)"
    )
    assert judge(DEFAULT, WELL, new(requests=7, errors=0)).reason == "7 calls to the new version; 50 say enough"


def test_few_calls_say_nothing_unless_too_many_of_them_failed_already():
    assert judge(Gates(error_rate=0.1), WELL, VersionHealth(requests=10, errors=5)).finding is Finding.TOO_FEW
    assert judge(Gates(error_rate=0.1), WELL, VersionHealth(requests=10, errors=6)).finding is Finding.BAD


def test_a_version_may_be_worse_than_the_old_one_by_as_much_as_the_gate_says():
    gate = Gates(against_old=2.0)
    slow = new(p99_ms=41.0)
    assert judge(gate, WELL, new(p99_ms=39.0, errors=2)).finding is Finding.GOOD
    assert "more than 2 times the old version's 20.0 ms" in judge(gate, WELL, slow).reason
    assert "more than 2 times the old version's 0.1 %" in judge(gate, WELL, new(errors=3)).reason


def test_an_absolute_gate_holds_although_the_old_version_is_as_bad():
    bad = new(errors=100)
    assert judge(Gates(error_rate=0.01, against_old=3.0), bad, bad).finding is Finding.BAD


def test_one_error_after_an_old_version_without_any_is_no_difference():
    gate = Gates(against_old=1.0)
    assert judge(gate, new(errors=0), new(errors=1)).finding is Finding.GOOD
    assert judge(gate, new(errors=0), new(errors=2)).finding is Finding.BAD


def test_latencies_of_less_than_a_millisecond_more_are_no_difference():
    quick = new(p99_ms=0.1)
    assert judge(Gates(against_old=1.5), quick, new(p99_ms=0.9)).finding is Finding.GOOD
    assert judge(Gates(against_old=1.5), quick, new(p99_ms=1.2)).finding is Finding.BAD


def test_an_old_version_that_nobody_calls_is_not_compared_with():
    verdict = judge(Gates(error_rate=0.5, against_old=1.0), VersionHealth(requests=3), new(errors=100))
    assert verdict.finding is Finding.GOOD
    assert "too few calls to compare with" in verdict.reason


@given(healths(), healths())
def test_without_gates_everything_passes(old, other):
    assert judge(Gates(), old, other).finding is Finding.GOOD


@given(gates, healths(), healths(), st.integers(0, 50), st.floats(0, 500))
def test_more_errors_or_a_longer_p99_never_help(gate, old, other, more, longer):
    worse = attrs.evolve(other, errors=min(other.requests, other.errors + more), p99_ms=other.p99_ms + longer)
    before, after = judge(gate, old, other), judge(gate, old, worse)
    if before.finding is Finding.BAD:
        assert after.finding is Finding.BAD
    if after.finding is Finding.GOOD:
        assert before.finding is Finding.GOOD


@given(gates, healths(), healths())
def test_nothing_is_good_that_was_not_seen_often_enough(gate, old, other):
    verdict = judge(gate, old, other)
    if verdict.finding is Finding.GOOD and gate != Gates(requests_min=gate.requests_min):
        assert other.requests >= gate.requests_min
    if verdict.finding is Finding.TOO_FEW:
        assert other.requests < gate.requests_min
    assert verdict.reason


@given(st.floats(0.0, 1.0), healths(), st.integers(1, 200))
def test_bad_by_errors_alone_is_never_taken_back_by_good_calls(rate, other, minimum):
    gate = Gates(error_rate=rate, requests_min=minimum)
    if other.requests < minimum and judge(gate, WELL, other).finding is Finding.BAD:
        later = attrs.evolve(other, requests=minimum)
        assert judge(gate, WELL, later).finding is Finding.BAD


def test_gates_have_names():
    assert preset("STRICT").gates == Gates(error_rate=0.001, p99_ms=200.0)
    assert preset("relaxed").gates == Gates(error_rate=0.05, p99_ms=1000.0)
    assert preset("MANUAL_ONLY") == preset("manual-only")
    assert preset("manual_only").manual_approval
    assert not preset("default").manual_approval
    with pytest.raises(BadInput, match="there are default, strict, relaxed, manual_only"):
        preset("loose")
