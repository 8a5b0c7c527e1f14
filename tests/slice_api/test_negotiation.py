"""Which media type and coding a client gets: tables of RFC 9110, and no field that can break the choice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.slice_api.negotiation import choose_coding, choose_type

JSON, PACK = "application/json", "application/msgpack"


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        ("application/msgpack", PACK),
        ("APPLICATION/MSGPACK", PACK),
        ("application/msgpack;q=0.5, application/json;q=0.4", PACK),
        ("application/*;q=0.9, application/json;q=0.1", PACK),
        ("text/html, */*;q=0.1", JSON),
        ("text/html", None),
        ("application/json;q=0", None),
        ("*/*, application/json;q=0", PACK),
        ("application/json;q=2", JSON),
        ("application/json;profile=x;q=0.3, application/msgpack;q=0.2", JSON),
        (",,", JSON),
        ("text/html," * 100 + PACK, None),
    ],
)
def test_the_best_of_what_is_offered_is_chosen(accept, chosen):
    assert choose_type(accept, (JSON, PACK)) == chosen


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", "identity"),
        ("gzip", "gzip"),
        ("x-gzip", "gzip"),
        ("GZIP;q=0.1", "gzip"),
        ("br, gzip;q=0.5", "gzip"),
        ("*", "gzip"),
        ("gzip;q=0", "identity"),
        ("*;q=0", "identity"),
        ("identity, gzip;q=0.5", "identity"),
        ("identity;q=0.5, gzip", "gzip"),
        ("br", "identity"),
    ],
)
def test_gzip_is_used_where_it_is_liked_no_less_than_nothing(accept, chosen):
    assert choose_coding(accept, ("gzip",)) == chosen


@given(st.text(max_size=200))
def test_no_field_breaks_the_choice(field):
    assert choose_type(field, (JSON, PACK)) in (JSON, PACK, None)
    assert choose_coding(field, ("gzip",)) in ("gzip", "identity")
