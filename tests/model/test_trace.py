"""traceparent and tracestate by the rules of W3C Trace Context Level 1."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.model.trace import STATE_CHARS_MAX, TraceContext, parse_trace

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
HEX = "0123456789abcdef"
ids = {n: st.text(HEX, min_size=n, max_size=n).filter(lambda text: set(text) != {"0"}) for n in (16, 32)}
keys = st.from_regex(r"[a-z][a-z0-9_*/-]{0,9}(@[a-z][a-z0-9]{0,5})?", fullmatch=True)
values = st.text("abcXYZ0189 !:;.", min_size=1, max_size=20).map(str.strip).filter(bool)


def traceparent(version="00", trace=TRACE, span=SPAN, flags="01"):
    return f"{version}-{trace}-{span}-{flags}"


@given(ids[32], ids[16], st.booleans(), st.dictionaries(keys, values, max_size=8))
def test_what_was_written_is_read_again(trace_id, span_id, sampled, state):
    context = TraceContext(trace_id, span_id, sampled, ",".join(f"{k}={v}" for k, v in state.items()))

    assert parse_trace(context.traceparent, context.state) == context


@given(st.text(max_size=80) | st.text(HEX + "-", min_size=50, max_size=60), st.text(max_size=80))
def test_any_text_is_a_trace_or_none_and_what_is_read_can_be_written(text, state):
    found = parse_trace(text, state)

    if found is not None:
        assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]", found.traceparent)
        assert parse_trace(found.traceparent, found.state) == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        TRACE,
        traceparent(version="ff"),
        traceparent(version="0"),
        traceparent(version="FF"),
        traceparent(trace="0" * 32),
        traceparent(span="0" * 16),
        traceparent(trace=TRACE.upper()),
        traceparent(span=SPAN.upper()),
        traceparent(flags="0G"),
        traceparent(flags="1"),
        traceparent(trace=TRACE[:-1]),
        traceparent(span=SPAN + "0"),
        traceparent() + "-more",
        traceparent() + "-",
        traceparent(version="01") + "more",
        traceparent(version="01") + ".",
        traceparent().replace("-", "_"),
        f"{traceparent()}, {traceparent()}",
        traceparent() + "\n",
        "٠" * 2 + traceparent()[2:],
    ],
)
def test_an_invalid_traceparent_is_no_trace(text):
    """Section 4.3: the receiver then begins a new trace; half of a trace would join unrelated requests."""
    assert parse_trace(text, "a=1") is None


def test_a_later_version_is_read_as_far_as_it_is_known():
    """Section 3.2.4: everything up to the flags has the same place in every version."""
    later = parse_trace(traceparent(version="01", flags="03") + "-what-the-future-has")

    assert later == TraceContext(TRACE, SPAN, True)
    assert later.traceparent == traceparent()


@pytest.mark.parametrize(("flags", "sampled"), [("00", False), ("01", True), ("02", False), ("ff", True)])
def test_of_the_flags_only_sampled_has_a_meaning_and_is_sent_on(flags, sampled):
    context = parse_trace(traceparent(flags=flags))

    assert context.sampled is sampled
    assert context.traceparent.endswith("-01" if sampled else "-00")


@pytest.mark.parametrize(
    ("given_state", "state"),
    [
        ("a=1,b=2", "a=1,b=2"),
        (" a=1 ,\t, b=2 ,", "a=1,b=2"),
        ("tenant@vendor=x", "tenant@vendor=x"),
        ("0tenant@vendor=x", "0tenant@vendor=x"),
        ("a=1,a=2", ""),
        ("A=1", ""),
        ("a", ""),
        ("a=", ""),
        ("a==", ""),
        ("a=ü", ""),
        ("0a=1", ""),
        ("a@0=1", ""),
        (",".join(f"k{i}=v" for i in range(32)), ",".join(f"k{i}=v" for i in range(32))),
        (",".join(f"k{i}=v" for i in range(33)), ""),
    ],
)
def test_a_tracestate_that_does_not_fit_is_dropped_and_the_trace_goes_on(given_state, state):
    """Section 3.3.1: an unparsable list must not break the trace."""
    assert parse_trace(traceparent(), given_state) == TraceContext(TRACE, SPAN, True, state)


def test_a_long_tracestate_loses_whole_members_the_longest_kinds_first():
    """Section 3.3.1.5: at least 512 characters are passed on; over 128 go first, then from the end."""
    long, short = "long=" + "x" * 200, [f"k{i}=" + "y" * 60 for i in range(9)]

    state = parse_trace(traceparent(), ",".join([long, *short])).state

    assert state == ",".join(short[:8])
    assert len(state) <= STATE_CHARS_MAX
