"""Records of calls, from several nodes, as one tree."""

import contextlib

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.errors import BadInput
from aether.invocation.hops import DEPTH_MAX
from aether.invocation.span import Span
from aether.invocation.traced import TracedCall, TracedSpan, call_from_plain, call_to_plain, prune, traced, waterfall
from aether.model.ids import NodeId
from aether.model.limits import TRACE_SPANS_MAX

A, B = NodeId("a"), NodeId("b")


def span_of(name, at=0.0, spent_s=1.0, *, node=A, span_id="", children=()):
    return TracedSpan(
        name=name, node=node, instance="i", id=span_id, at=at, spent_s=spent_s, running=False, children=children
    )


def call_of(top, above=""):
    return TracedCall(request_id="r", trace_id="t", above=above, top=top)


def lines_of(*calls):
    return [(line.span.name, line.depth) for line in waterfall(calls)]


def test_what_another_node_served_hangs_below_the_call_that_asked_for_it():
    """The edge calls orders, orders calls pricing elsewhere, and pricing asks a third slice of its own node."""
    edge = span_of(
        "Orders.place", children=(span_of("Pricing.quote", 0.2, 0.5, span_id="s-1"), span_of("Stock.take", 0.1))
    )
    served = span_of("ListPricing.quote", 0.3, 0.3, node=B, span_id="s-2", children=(span_of("Tax.of", 0.4, node=B),))

    assert lines_of(call_of(served, above="s-1"), call_of(edge)) == [
        ("Orders.place", 0),
        ("Stock.take", 1),
        ("Pricing.quote", 1),
        ("ListPricing.quote", 2),
        ("Tax.of", 3),
    ]


def test_what_nobody_asked_for_stands_at_the_top():
    """The node that made the call is gone: what the others know is still shown."""
    assert lines_of(call_of(span_of("B.late", 2.0), above="unknown"), call_of(span_of("A.early", 1.0))) == [
        ("A.early", 0),
        ("B.late", 0),
    ]


def test_calls_that_claim_to_have_caused_each_other_are_no_endless_tree():
    first, second = span_of("A", span_id="s-1"), span_of("B", span_id="s-2")
    third = span_of("C", span_id="s-3")

    lines = lines_of(call_of(first, above="s-2"), call_of(second, above="s-1"), call_of(third, above="s-3"))

    assert lines == [("C", 0)]


def test_a_record_survives_the_wire():
    call = call_of(span_of("A", 1.5, 0.25, span_id="s", children=(span_of("B", 1.6),)), above="x")

    read = call_from_plain(call_to_plain(call), A)

    assert read == call


@pytest.mark.parametrize(("at", "spent_s"), [(1.7e308, 1.0), (1.0, 1.7e308), (1.0, -1.0), (float("nan"), 1.0)])
def test_a_time_that_no_clock_shows_is_refused(at, spent_s):
    """Their sum would be infinite, and JSON has no such number."""
    with pytest.raises(BadInput, match="time"):
        call_from_plain(call_to_plain(call_of(span_of("A", at, spent_s))), A)


@pytest.mark.parametrize("children", [TRACE_SPANS_MAX, 0])
def test_a_record_that_is_too_large_is_refused(children):
    """A peer that sends a million spans costs no more than reading them."""
    top = span_of("A", children=tuple(span_of("B") for _ in range(children)))
    for _ in range(DEPTH_MAX + 1 if not children else 0):
        top = span_of("A", children=(top,))

    with pytest.raises(BadInput, match="spans"):
        call_from_plain(call_to_plain(call_of(top)), A)


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=9),
    max_leaves=30,
)


@given(plain)
def test_whatever_comes_is_read_or_refused(value):
    with contextlib.suppress(BadInput):
        call_from_plain(value, A)


@given(st.lists(st.integers(0, 40), max_size=5))
def test_a_tree_that_is_kept_is_bounded(widths):
    """However many calls a request made."""
    top = Span("A", 0.0)
    level = [top]
    for width in widths:
        level = [parent.child("B", 1.0) for parent in level[:20] for _ in range(width)]

    prune(top)
    kept = traced(top, A, lambda at: at, 2.0)

    assert call_from_plain(call_to_plain(call_of(kept)), A).top == attrs.evolve(kept)
