"""What a row says of an idempotency key, and what a call with that key does about it."""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.errors import BadInput
from aether.invocation.key_window import DROPPED_AT_ONCE, KeyWindow
from aether.invocation.keyed import (
    KEPT_MS,
    Answer,
    Take,
    Wait,
    arguments_digest,
    decide_key,
    ended_row,
    key_digest,
    read_key,
)
from aether.invocation.reply import Abandoned, Done, Failed, Faulted, Form, NotStarted
from aether.model.ids import Incarnation, InstanceId, NodeId
from aether.model.rows import CallKeyRow, KeyState
from aether.slice_api.faults import FaultPlain
from aether.slice_api.http import HttpInput

MINE = b"arguments"
ROW = CallKeyRow(
    arguments=MINE,
    node=NodeId("a"),
    incarnation=Incarnation("x"),
    instance=InstanceId("i"),
    number=1,
    at_ms=1_000,
    until_ms=60_000,
)
ROWS = st.none() | st.builds(
    attrs.evolve,
    st.just(ROW),
    state=st.sampled_from(KeyState),
    arguments=st.sampled_from([MINE, b"others"]),
    at_ms=st.integers(0, 10),
    answer=st.just(b"\x92\xa4done\x01"),
)


def decide(row, *, held=True, now_ms=2_000, idempotent=False, arguments=MINE):
    return decide_key(row, arguments, held=held, now_ms=now_ms, idempotent=idempotent, name="Till.take")


@given(ROWS, st.booleans(), st.integers(0, 2 * KEPT_MS), st.booleans())
def test_a_method_is_begun_only_when_no_earlier_run_can_have_had_an_effect(row, held, now_ms, idempotent):
    """The one rule that may never be broken; an idempotent method may begin again, but not beside one that runs."""
    if isinstance(decide(row, held=held, now_ms=now_ms, idempotent=idempotent), Take):
        expired = row is not None and now_ms - row.at_ms >= KEPT_MS
        running = row is not None and row.state is KeyState.RUNNING and held and now_ms < row.until_ms
        assert row is None or expired or (idempotent and row.state is not KeyState.ANSWERED)
        assert not running or (expired and now_ms >= row.until_ms)


@given(ROWS, st.booleans(), st.integers(0, 2 * KEPT_MS), st.booleans())
def test_nobody_waits_for_a_run_that_cannot_end(row, held, now_ms, idempotent):
    if isinstance(decide(row, held=held, now_ms=now_ms, idempotent=idempotent), Wait):
        assert row.state is KeyState.RUNNING
        assert held


@pytest.mark.parametrize("reply", [Done([1, {"a": b"x"}]), Faulted(FaultPlain("Refused", 402, "No", "no", {"a": 1}))])
def test_an_answer_comes_back_as_it_was(reply):
    assert decide(ended_row(ROW, reply, idempotent=False)) == Answer(reply)


def test_other_arguments_are_refused_whatever_became_of_the_first_call():
    for state in KeyState:
        step = decide(attrs.evolve(ROW, state=state), arguments=b"others", held=False, idempotent=True)
        assert (step.reply.fault.name, step.reply.fault.status) == ("BadInput", 422)


@pytest.mark.parametrize("outcome", [NotStarted("draining"), Faulted(FaultPlain("BadInput", 422, "", "", {}))])
@pytest.mark.parametrize("idempotent", [True, False])
def test_what_did_not_begin_frees_its_key(outcome, idempotent):
    assert ended_row(ROW, outcome, idempotent=idempotent) is None


@pytest.mark.parametrize("outcome", [None, Abandoned("it died"), Failed(kind="ValueError", message="no")])
def test_what_began_and_failed_may_begin_again_only_when_idempotent(outcome):
    assert ended_row(ROW, outcome, idempotent=True) is None
    kept = ended_row(ROW, outcome, idempotent=False)
    assert isinstance(decide(kept), Answer)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3) | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=3), PLAIN, max_size=4), st.randoms())
def test_the_order_of_named_arguments_means_nothing(arguments, rng):
    shuffled = list(arguments.items())
    rng.shuffle(shuffled)

    assert arguments_digest(Form.WIRE, arguments) == arguments_digest(Form.WIRE, dict(shuffled))


@given(PLAIN, PLAIN)
def test_different_arguments_differ(a, b):
    same = arguments_digest(Form.WIRE, a) == arguments_digest(Form.WIRE, b)
    assert same == (repr(_sorted(a)) == repr(_sorted(b)))


def _sorted(plain):
    if isinstance(plain, dict):
        return {k: _sorted(plain[k]) for k in sorted(plain)}
    return [_sorted(p) for p in plain] if isinstance(plain, list) else plain


def http(**changes):
    return HttpInput(verb="POST", template="/pay", **changes).to_plain()


def test_over_http_who_carries_a_request_does_not_count_and_what_it_asks_does():
    same = [http(body=b"1"), http(body=b"1", headers={"user-agent": "curl"}, client="10.0.0.1")]
    other = [http(body=b"2"), http(body=b"1", query={"a": ["1"]}), http(body=b"1", path={"id": "7"})]

    assert len({arguments_digest(Form.HTTP, plain) for plain in same}) == 1
    assert len({arguments_digest(Form.HTTP, plain) for plain in (*same, *other)}) == 4


def test_each_credential_has_its_own_keys():
    """Otherwise a guessed key would show another customer's answer."""
    payloads = [http(), http(headers={"authorization": "a"}), http(headers={"authorization": "b"})]

    assert len({key_digest("k", Form.HTTP, payload) for payload in payloads}) == 3
    assert key_digest("k", Form.WIRE, {}) not in {key_digest("k", Form.HTTP, payload) for payload in payloads}


@pytest.mark.parametrize("key", [7, "k" * 256, None, b"k"])
def test_a_peer_that_says_nonsense_of_a_key_is_refused(key):
    with pytest.raises(BadInput):
        read_key({"key": key})


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 30), st.integers(0, 9)), max_size=120),
    st.integers(1, 8),
    st.integers(1, 60),
)
def test_a_window_never_grows_beyond_its_bounds_by_more_than_the_newest(steps, keys_max, bytes_max):
    """Whoever adds a key drops what the window names, and the window forgets it."""
    window = KeyWindow(keys_max, bytes_max)
    model = {}
    for method, number, size in steps:
        text = f"calls/{method}/{number}"
        for old in window.surplus(f"calls/{method}"):
            window.put(old, 0)
            model.pop(old)
        model.pop(text, None)
        window.put(text, size)
        if size:
            model[text] = size
        assert len(window) == len(model)
        assert sum(t.startswith(f"calls/{method}/") for t in model) <= keys_max
        assert sum(model.values()) <= bytes_max or window.surplus(f"calls/{method}"), "the next one drops some"


@given(st.lists(st.integers(0, 20), min_size=1, max_size=60))
def test_the_oldest_change_goes_first(numbers):
    window = KeyWindow(keys_max=3)
    order = []
    for number in numbers:
        text = f"calls/a/{number}"
        for old in window.surplus("calls/a"):
            assert old == order.pop(0)
            window.put(old, 0)
        if text in order:
            order.remove(text)
        window.put(text, 1)
        order.append(text)
        assert window.oldest("calls/a") == order[:DROPPED_AT_ONCE]
