"""What a call says of where it comes from, and what the next one makes of it."""

from random import Random

import msgpack
from hypothesis import given
from hypothesis import strategies as st

from aether.invocation.span import Span
from aether.invocation.tracer import Tracer
from aether.model.trace import TraceContext, parse_trace

FROM = TraceContext("a" * 32, "b" * 16, True, "vendor=1")


def tracer(seed=1):
    return Tracer("n1", Random(seed), lambda until: min(2.5, until))


def test_a_call_from_nowhere_begins_a_trace_and_its_calls_continue_it():
    own = tracer()
    root = Span("Order.place", 0.0)
    child = root.child("Price.quote", 1.0)

    first, second = own.place(root), own.place(child)

    assert first.trace_id == second.trace_id
    assert first.span_id != second.span_id
    assert own.place(root) is first


def test_the_trace_of_the_edge_is_continued_over_a_local_and_a_remote_hop():
    local = Span("Order.place", 0.0)
    local.said = FROM
    said = msgpack.unpackb(msgpack.packb(tracer(1).beside(local.child("Price.quote", 0.0))))
    remote = Span("Price.quote", 0.0)
    tracer(2).served(remote, "r", said)

    found = tracer(2).place(remote)

    assert (found.trace_id, found.sampled, found.state) == (FROM.trace_id, True, "vendor=1")
    assert found.span_id not in (FROM.span_id, parse_trace(said["trace"]).span_id)


def test_both_nodes_of_a_first_call_make_the_same_ids_of_what_its_request_says_anyway():
    made, served = Span("Price.quote", 0.0), Span("Price.quote", 0.0)
    said = tracer(1).beside(made, made_of=("r-1", 7))
    tracer(2).served(served, "r-1", said, 7)

    assert said == {}
    assert tracer(2).above(served) == tracer(1).place(made)
    assert tracer(2).place(served).trace_id == tracer(1).place(made).trace_id
    assert tracer(2).place(served).span_id != tracer(1).place(made).span_id


@given(st.lists(st.tuples(st.text(max_size=20), st.integers(0, 2**60)), min_size=2, max_size=9, unique=True))
def test_ids_of_two_first_calls_differ(sources):
    """Also of those that a client gave the same request id."""
    found = []
    for source in sources:
        span = Span("A.b", 0.0)
        tracer().beside(span, made_of=source)
        found.append(tracer().place(span))

    assert len({each.trace_id for each in found}) == len({each.span_id for each in found}) == len(sources)
    assert all(parse_trace(each.traceparent) == each for each in found)


def test_a_second_try_says_what_the_first_one_made():
    own, span = tracer(), Span("A.b", 0.0)
    own.beside(span, made_of=("r-1", 7))

    said = own.beside(span, made_of=("r-1", 8))

    assert parse_trace(said["trace"]) == own.place(span)
    first = Span("A.b", 0.0)
    tracer(2).served(first, "r-1", {}, 7)
    assert tracer(2).above(first) == own.place(span)


def test_a_call_that_another_one_caused_says_where_it_stands():
    own, served, asked = tracer(), Span("Order.place", 0.0), Span("A.b", 0.0)
    own.place(asked)
    own.served(served, "r-1", {}, 7)
    child = served.child("Price.quote", 0.0)

    said = own.beside(child, made_of=("r-1", 8))

    assert parse_trace(said["trace"]).trace_id == own.place(served).trace_id == own.above(served).trace_id
    assert "trace" in own.beside(asked, made_of=("r-1", 9)), "somebody saw its ids already"


@given(st.dictionaries(st.sampled_from(["trace", "state", "ctx"]), st.none() | st.text() | st.integers() | st.binary()))
def test_whatever_a_peer_says_a_call_has_a_trace(said):
    """A wrong trace must not fail a call that is right."""
    span = Span("A.b", 0.0)
    running = tracer().served(span, "r", said)

    assert len(tracer().place(span).trace_id) == 32
    assert running.carried == {}


def test_user_code_reads_all_of_it():
    span = Span("Order.place", 0.0)
    span.said, span.instance = FROM, "i1"
    call = tracer().describe(tracer().served_here(span, "r1"))

    assert (call.request_id, call.trace_id, call.slice, call.method) == ("r1", FROM.trace_id, "Order", "place")
    assert (call.instance, call.node, call.remaining_s) == ("i1", "n1", 2.5)
    assert call.traceparent == f"00-{FROM.trace_id}-{call.span_id}-01"
    assert call.tracestate == "vendor=1"
