"""The heap of deadlines stays small and never forgets a pending call."""

from hypothesis import given
from hypothesis import strategies as st

from aether.invocation.deadlines import KEEP_MIN, KEEP_SHARE, Deadlines

STEPS = st.lists(st.tuples(st.sampled_from(["add", "answer", "look"]), st.floats(0, 10)), max_size=60)


@given(STEPS)
def test_a_pending_call_is_due_exactly_once_when_its_deadline_comes(steps):
    """A call that no scope covers would hang for ever if its entry were lost."""
    pending: dict[int, float] = {}
    deadlines, now = Deadlines(pending), 0.0
    for number, (step, value) in enumerate(steps):
        if step == "add":
            pending[number] = now + value
            sleeps_until = deadlines.next_at()
            woken = deadlines.add(now + value, number)
            assert woken or (sleeps_until is not None and sleeps_until <= now + value), "the sleeper would oversleep"
        elif step == "answer" and pending:
            pending.pop(next(iter(pending)))
        else:
            now += value / 4
            due = deadlines.due(now)
            assert sorted(due) == sorted(key for key, deadline in pending.items() if deadline <= now)
            for key in due:
                del pending[key]
    assert not pending or deadlines.next_at() <= min(pending.values())


def test_answered_calls_do_not_pile_up_until_their_deadlines():
    """At ten thousand calls a second and thirty seconds of deadline, they would be hundreds of thousands."""
    pending: dict[int, None] = {}
    deadlines = Deadlines(pending)
    for number in range(50 * KEEP_MIN):
        pending[number] = None
        deadlines.add(30.0 + number, number)
        if number >= 10:
            del pending[number - 10]

    assert len(deadlines) <= max(KEEP_MIN, KEEP_SHARE * len(pending)) + 1
    assert deadlines.due(1e9) == list(pending)
