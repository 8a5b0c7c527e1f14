"""Bytes of maps as JSON."""

from __future__ import annotations

import json

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.errors import BadInput
from aether.management.shown import cursor_bytes, cursor_of, shown


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (msgpack.packb({"a": [1, None, "ä"]}), {"a": [1, None, "ä"]}),
        (msgpack.packb(b"\xff"), {"base64": "/w=="}),
        (msgpack.packb({1: "x", (2, 3): "y"}), {"1": "x", "[2, 3]": "y"}),
        (msgpack.packb(float("nan")), "nan"),
        (b'{"a": 1}', {"a": 1}),
        (b"order-17", "order-17"),
        ("ärger".encode(), "ärger"),
        (b"\xc1\xff\xfe", {"base64": "wf/+"}),
        (b"", ""),
    ],
)
def test_a_value_is_shown_in_the_first_encoding_that_fits(raw, value):
    """Slices write msgpack; foreign tools may not."""
    assert shown(raw) == value


@given(st.binary(max_size=60))
def test_any_bytes_can_be_shown_and_pointed_at(raw):
    """An audit must not fail on one strange row, nor skip it."""
    json.dumps(shown(raw), allow_nan=False)
    assert cursor_bytes(cursor_of(raw)) == raw


@pytest.mark.parametrize("cursor", ["%", "a", "ä", "ab=c"])
def test_a_word_that_is_no_cursor_is_refused(cursor):
    """It came from a client."""
    with pytest.raises(BadInput, match="no cursor"):
        cursor_bytes(cursor)
