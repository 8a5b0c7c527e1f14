"""The checker against a brute-force oracle, against histories known to be bad, and for its size."""

import itertools
import math
import random

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aether.testing.linearizability import (
    BadHistory,
    Counter,
    Operation,
    Outcome,
    Register,
    check,
    read_history,
    write_operation,
)


def ok(kind, called, returned, argument=None, result=None, process="p", key="x"):
    return Operation(
        process=process, key=key, kind=kind, argument=argument, result=result, called=called, returned=returned
    )


def unknown(kind, called, argument=None, process="p", key="x"):
    return Operation(process=process, key=key, kind=kind, argument=argument, called=called, outcome=Outcome.UNKNOWN)


# --- known to be bad --------------------------------------------------------------------------------------------------

BAD = {
    "stale read": [
        ok("put", 0, 1, 1),
        ok("put", 2, 3, 2),
        ok("get", 4, 5, result=(1, None)),
    ],
    "lost update": [
        ok("put", 0, 1, 1),
        ok("get", 2, 3, result=(1, 7)),
        ok("cas", 4, 5, (7, 2), (True, None)),
        ok("get", 6, 7, result=(1, 7)),
    ],
    "double execution": [
        unknown("put", 0, 1),
        ok("get", 1, 2, result=(1, 4)),
        ok("put", 3, 4, 2),
        ok("get", 5, 6, result=(2, 6)),
        ok("get", 7, 8, result=(1, 9)),
    ],
    "phantom": [
        ok("put", 0, 1, 1),
        ok("get", 2, 3, result=(3, None)),
    ],
    "read from the future": [
        ok("get", 0, 1, result=(1, None)),
        ok("put", 2, 3, 1),
    ],
    "a read that goes back in time": [
        ok("put", 0, 1, 1),
        ok("put", 2, 9, 2, process="q"),
        ok("get", 3, 4, result=(2, None)),
        ok("get", 5, 6, result=(1, None)),
    ],
    "both compare-and-sets win": [
        ok("put", 0, 1, 1),
        ok("get", 1, 2, result=(1, 5)),
        ok("cas", 3, 6, (5, 2), (True, None)),
        ok("cas", 3, 6, (5, 3), (True, None), process="q"),
    ],
    "neither compare-and-set wins": [
        ok("put", 0, 1, 1),
        ok("get", 1, 2, result=(1, 5)),
        ok("cas", 3, 6, (5, 2), (False, None)),
    ],
    "a failure that happened": [
        ok("put", 0, 1, 1),
        attrs.evolve(ok("put", 2, 3, 2), outcome=Outcome.FAILED),
        ok("get", 4, 5, result=(2, None)),
    ],
    "deleted and back": [
        ok("put", 0, 1, 1),
        ok("delete", 2, 3),
        ok("get", 4, 5, result=(1, None)),
    ],
    "versions that fall": [
        ok("put", 0, 1, 1, 8),
        ok("put", 2, 3, 2, 7),
    ],
    "another value under the same version": [
        ok("put", 0, 9, 1),
        ok("put", 0, 9, 2, process="q"),
        ok("get", 1, 2, result=(1, 5)),
        ok("get", 3, 4, result=(2, 5)),
    ],
}


@pytest.mark.parametrize("history", BAD.values(), ids=BAD)
def test_what_is_known_to_be_bad_is_found_and_shown_whole(history):
    verdict = check(history)

    assert not verdict.is_linearizable
    (violation,) = verdict.violations
    assert violation.key == "x"
    assert not explained(violation.operations, Register()) or violation.optional
    assert str(violation.operations[-1]) in str(verdict)


def test_a_violation_is_cut_down_to_what_it_needs():
    """Out of two thousand operations, the reader shall see two or three."""
    history = true_history(random.Random(1), 2_000, processes=5, keys=1, unanswered=0.02)
    gets = [i for i, o in enumerate(history) if o.kind == "get" and o.outcome is Outcome.OK and o.result[0]]
    history[gets[300]] = attrs.evolve(history[gets[300]], result=history[gets[250]].result)

    (violation,) = check(history).violations

    assert len(violation.operations) <= 4
    assert history[gets[300]] in violation.operations


def test_a_value_that_nobody_wrote_is_found_at_once_in_a_long_history():
    history = true_history(random.Random(2), 2_000, processes=5, keys=1)
    history.append(ok("get", 9_000, 9_001, result=("never written", None), key="k0"))

    (violation,) = check(history, steps_max=10_000).violations

    assert violation.operations == (history[-1],)


def test_what_is_acknowledged_and_gone_is_found():
    history = true_history(random.Random(4), 150, processes=4, keys=1, told=True)
    at = max(o.returned for o in history if o.outcome is Outcome.OK)
    history += [
        ok("put", at + 1, at + 2, "last", 9_000, key="k0"),
        ok("get", at + 3, at + 4, result=(None, 0), key="k0"),
    ]
    history = [o for o in history if o.kind != "delete"]

    assert check(history).violations


@pytest.mark.parametrize(
    "history",
    [
        [ok("put", 0, 5, 1), ok("get", 1, 2, result=(None, 0)), ok("get", 3, 4, result=(1, 3))],
        [ok("put", 0, 1, 1), unknown("put", 2, 2), ok("get", 3, 4, result=(1, 3)), ok("get", 9, 10, result=(2, 4))],
        [unknown("cas", 0, (0, 1)), ok("get", 1, 2, result=(None, 0)), ok("get", 3, 4, result=(1, 3))],
        [ok("put", 0, 1, 1), unknown("get", 0), attrs.evolve(ok("put", 2, 3, 2), outcome=Outcome.FAILED)],
        [
            ok("put", 0, 1, 1),
            unknown("put", 2, 2),
            ok("cas", 3, 4, (1, 3), (False, None)),
            ok("get", 0, 2, result=(1, 1)),
        ],
        [],
    ],
)
def test_what_some_order_explains_is_accepted(history):
    assert check(history).is_linearizable


def test_keys_are_judged_apart_and_each_bad_one_is_named():
    history = [attrs.evolve(o, key=key) for key in ("a", "b") for o in BAD["stale read"]]
    history += [attrs.evolve(o, key="c") for o in BAD["stale read"][:2]]

    assert [v.key for v in check(history).violations] == ["a", "b"]


def test_a_counter_counts_each_addition_once():
    twice = [ok("add", 0, 1, 1), unknown("add", 2, 1), ok("get", 5, 6, result=3)]

    assert not check(twice, Counter()).is_linearizable
    assert check([*twice[:2], ok("get", 5, 6, result=2)], Counter()).is_linearizable


# --- effort -----------------------------------------------------------------------------------------------------------


def test_a_search_that_is_too_long_is_undecided_with_its_reason():
    """Forty writes at once, versions missed by somebody: the search gives up and says so, it never hangs."""
    history = [ok("put", 0, 100, n, process=f"p{n}") for n in range(40)]
    history += [ok("cas", 0, 100, (7, n), (False, None), process=f"q{n}") for n in range(3)]
    history += [ok("get", 101, 102, result=(None, 0))]

    verdict = check(history, steps_max=20_000)

    assert not verdict.is_linearizable
    assert not verdict.violations
    assert "20000 steps" in str(verdict)


@pytest.mark.parametrize("keys", [20, 1_000])
def test_effort_grows_with_the_operations_and_not_faster(keys):
    """Steps, not seconds: a hundred thousand operations are a matter of seconds then."""
    history = true_history(random.Random(3), 20_000, processes=10, keys=keys, unanswered=0.02)

    assert check(history, steps_max=20 * 20_000 // keys).is_linearizable


# --- histories in files -----------------------------------------------------------------------------------------------


def test_a_history_survives_its_file():
    history = true_history(random.Random(5), 50, processes=3, keys=4)

    assert list(read_history(map(write_operation, history))) == history


@pytest.mark.parametrize("line", ["{", "[]", '{"process": "p"}', '{"outcome": "perhaps"}'])
def test_a_line_that_is_no_operation_is_told_with_its_number(line):
    good = write_operation(ok("get", 0, 1, result=(None, 0)))

    with pytest.raises(BadHistory, match="line 3"):
        list(read_history([good, "", line]))


# --- the oracle -------------------------------------------------------------------------------------------------------


def explained(operations, model):
    """Whether any subset of the unknown with all of the certain has any order that fits: by trying all of them."""
    certain = [o for o in operations if o.outcome is Outcome.OK]
    maybe = [o for o in operations if o.outcome is Outcome.UNKNOWN and o.kind != "get"]
    for count in range(len(maybe) + 1):
        for chosen in itertools.combinations(maybe, count):
            if any(fits(order, model) for order in itertools.permutations([*certain, *chosen])):
                return True
    return False


def fits(order, model):
    state = model.initial
    for place, operation in enumerate(order):
        if any(later.returned < operation.called for later in order[place + 1 :]):
            return False
        state = model.step(state, operation)
        if state is None:
            return False
    return True


@st.composite
def register_histories(draw, told):
    """Small, mostly plausible: versions and values are drawn from few."""
    operations = []
    for number in range(draw(st.integers(1, 6))):
        called = draw(st.integers(0, 12))
        returned = called + draw(st.integers(0, 8))
        kind = draw(st.sampled_from(["get", "get", "put", "cas", "cas", "delete"]))
        value = draw(st.sampled_from([number, number, 0]))
        version = draw(st.integers(1, 4)) if told and draw(st.booleans()) else None
        argument = {"put": value, "cas": (draw(st.integers(0, 4)), value)}.get(kind)
        result = None
        if kind == "get":
            found = draw(st.sampled_from([None, 0, 1, 2, 3, 4]))
            seen = draw(st.integers(1, 4)) if draw(st.booleans()) else None
            result = (None, 0) if found is None else (found, seen)
        elif kind == "cas":
            result = (True, version) if draw(st.booleans()) else (False, None)
        elif kind == "put":
            result = version
        one = ok(kind, called, returned, argument, result, process=f"p{number}")
        if draw(st.integers(0, 3)) == 0:
            one = attrs.evolve(one, outcome=Outcome.UNKNOWN, result=None, returned=math.inf)
        operations.append(one)
    return operations


@given(st.booleans().flatmap(lambda told: register_histories(told=told)))
@settings(max_examples=600, deadline=None)
def test_the_verdict_on_a_register_is_the_one_of_trying_every_order(history):
    assert check(history).is_linearizable == explained(history, Register())


@given(st.integers(0, 2**32), st.integers(4, 6), st.booleans())
@settings(max_examples=500, deadline=None)
def test_histories_of_a_true_register_with_one_lie_are_judged_as_by_trying_every_order(seed, size, versions_are_told):
    """Near misses: where shortcuts of the search would show."""
    rng = random.Random(seed)
    unanswered = rng.choice([0.1, 0.3, 0.5])
    history = true_history(rng, size, processes=4, keys=1, told=versions_are_told, unanswered=unanswered)
    assert check(history).is_linearizable
    place = rng.randrange(len(history))
    other = rng.choice(history)
    if Outcome.OK is not history[place].outcome or Outcome.OK is not other.outcome:
        return
    if history[place].kind == other.kind == "get":
        history[place] = attrs.evolve(history[place], result=other.result)
    elif history[place].kind == "cas":
        history[place] = attrs.evolve(history[place], result=(not history[place].result[0], None))
    assert check(history).is_linearizable == explained(history, Register())


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 6), st.integers(0, 3), st.integers(0, 4)), max_size=6))
@settings(max_examples=300, deadline=None)
def test_the_verdict_on_a_counter_is_the_one_of_trying_every_order(rows):
    history = []
    for called, length, kind, number in rows:
        if kind == 0:
            history.append(ok("get", called, called + length, result=number))
        elif kind == 1:
            history.append(unknown("add", called, argument=1 + number % 2))
        else:
            history.append(ok("add", called, called + length, 1, number if kind == 2 else None))

    assert check(history, Counter()).is_linearizable == explained(history, Counter())


def true_history(rng, size, *, processes, keys, told=False, unanswered=0.1):
    """What clients of a correct register see: each operation takes effect at one instant between call and return."""
    ready = [0.0] * processes
    planned = []
    for number in range(size):
        process = min(range(processes), key=ready.__getitem__)
        called = ready[process] + rng.random()
        effect = called + rng.random() * 5
        ready[process] = effect + rng.random() * 5
        planned.append((effect, process, called, ready[process], number))
    values, seen, history = {}, {}, []
    for revision, (_, process, called, returned, number) in enumerate(sorted(planned), 1):
        key = f"k{rng.randrange(keys)}"
        value, version = values.get(key, (None, 0))
        lost = rng.random() < unanswered
        happens = not lost or rng.random() < 0.5
        kind = rng.choices(["get", "put", "cas", "delete"], [4, 3, 3, 1])[0]
        argument, result = None, None
        if kind == "get":
            result = (value, version)
            seen[key, process] = version
        elif kind == "put":
            argument, result = number, revision if told else None
        elif kind == "cas":
            expected = seen.get((key, process), 0)
            argument, result = (
                (expected, number),
                (expected == version, revision if told and expected == version else None),
            )
            happens = happens and expected == version
        if happens and kind != "get":
            values[key] = (None, 0) if kind == "delete" else (number, revision)
        one = ok(kind, called, returned, argument, result, process=f"p{process}", key=key)
        if lost:
            one = attrs.evolve(one, outcome=Outcome.UNKNOWN, result=None, returned=math.inf)
        history.append(one)
    return history
