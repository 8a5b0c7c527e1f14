"""Decisions about sending a call again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.invocation.reply import DRAINING, FULL, LATE, REFUSED, UNKNOWN_INSTANCE, Abandoned, NotStarted
from aether.invocation.retry import (
    GiveUp,
    Repeat,
    Try,
    Verdict,
    backoff_s,
    decide_retry,
)
from aether.model.ids import InstanceId
from aether.model.limits import RETRY_BACKOFF_MAX_S, RETRY_BACKOFF_MIN_S

A, B = InstanceId("a"), InstanceId("b")
REASONS = st.sampled_from([DRAINING, FULL, REFUSED, UNKNOWN_INSTANCE])
TRIES = st.builds(
    Try,
    failure=st.one_of(st.builds(NotStarted, REASONS), st.builds(Abandoned, st.text(max_size=5))),
    tried=st.sampled_from([A, B]),
    excluded=st.frozensets(st.sampled_from([A, B])),
    others=st.integers(0, 3),
    attempt=st.integers(1, 200),
    time_left_s=st.floats(-1, 60),
    idempotent=st.booleans(),
    budget_left=st.booleans(),
    jitter=st.floats(0, 1, exclude_max=True),
    all_full=st.booleans(),
)


def test_a_call_that_did_not_start_goes_at_once_to_another_instance_whatever_its_method():
    """Drain safety rests on this: a refused call costs nothing and is never counted against the budget."""
    now = Try(failure=NotStarted(DRAINING), tried=A, others=1, time_left_s=1.0, idempotent=False, budget_left=False)

    assert decide_retry(now) == Repeat(0.0, frozenset({A}))


def test_when_everybody_refused_all_are_asked_again_after_a_pause():
    """The successor of a drained instance may be ACTIVE by then."""
    now = Try(failure=NotStarted(DRAINING), tried=A, excluded=frozenset({B}), others=0, time_left_s=1.0, jitter=0.0)

    assert decide_retry(now) == Repeat(RETRY_BACKOFF_MIN_S / 2, frozenset())


def test_when_everybody_is_full_the_caller_is_told_at_once():
    """Waiting at the caller would only move the queue there, unbounded."""
    now = Try(failure=NotStarted(FULL), tried=A, others=0, time_left_s=9.0, all_full=True)

    assert decide_retry(now) == GiveUp(Verdict.OVERLOADED)


def test_one_full_instance_among_draining_ones_is_waited_for():
    now = Try(failure=NotStarted(FULL), tried=A, others=0, time_left_s=9.0, all_full=False)

    assert isinstance(decide_retry(now), Repeat)


def test_an_idempotent_call_that_was_cut_off_is_repeated_elsewhere_after_a_pause():
    now = Try(failure=Abandoned("lost"), tried=A, others=1, time_left_s=9.0, idempotent=True, jitter=0.0)

    assert decide_retry(now) == Repeat(RETRY_BACKOFF_MIN_S / 2, frozenset({A}))


def test_an_idempotent_call_may_go_back_to_the_only_instance():
    now = Try(failure=Abandoned("lost"), tried=A, others=0, time_left_s=9.0, idempotent=True)

    assert decide_retry(now).exclude == frozenset()


def test_no_pause_outlives_the_deadline():
    now = Try(failure=Abandoned("lost"), tried=A, others=1, time_left_s=0.001, idempotent=True, attempt=9)

    assert decide_retry(now) == GiveUp(Verdict.OUTCOME_UNKNOWN)


@given(TRIES)
def test_what_may_have_run_is_repeated_only_when_idempotent_and_within_the_budget(now):
    """A second order for one click is the worst thing this room can do."""
    if isinstance(now.failure, Abandoned) and not (now.idempotent and now.budget_left):
        assert decide_retry(now) == GiveUp(Verdict.OUTCOME_UNKNOWN)


@given(TRIES)
def test_a_repeat_fits_its_deadline_and_always_leaves_somebody_to_ask(now):
    decision = decide_retry(now)

    if isinstance(decision, Repeat):
        assert 0 <= decision.after_s <= max(now.time_left_s, 0)
        assert now.others or not decision.exclude
        assert now.time_left_s > 0


@given(TRIES)
def test_a_call_that_never_started_never_has_an_unknown_outcome(now):
    """OutcomeUnknown sends a human to look; it must not be said lightly."""
    if isinstance(now.failure, NotStarted):
        assert decide_retry(now) != GiveUp(Verdict.OUTCOME_UNKNOWN)


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_the_pause_grows_up_to_its_limit_and_never_vanishes(attempt, jitter):
    assert RETRY_BACKOFF_MIN_S / 2 <= backoff_s(attempt, jitter) <= RETRY_BACKOFF_MAX_S
    assert backoff_s(attempt + 1, jitter) >= backoff_s(attempt, jitter)


@pytest.mark.parametrize("reason", [FULL, LATE])
@pytest.mark.parametrize("left_s", [-0.1, 0.0, 1.0])
def test_a_call_that_everybody_refused_for_want_of_room_is_overloaded_whenever_the_answer_came(reason, left_s):
    """To hear of no instance would send its caller looking for a crash."""
    verdict = decide_retry(Try(failure=NotStarted(reason, 5), tried=A, time_left_s=left_s, all_full=True))

    assert verdict == GiveUp(Verdict.OVERLOADED)
