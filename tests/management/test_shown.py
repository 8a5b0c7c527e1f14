"""Bytes of maps as JSON."""

from __future__ import annotations

import json

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.errors import BadInput
from aether.management.shown import cursor_bytes, cursor_of, shown_key, shown_value
from aether.slice_api.map_keys import key_codec


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
    assert shown_value(raw) == value


@given(st.binary(max_size=60))
def test_any_bytes_can_be_shown_and_pointed_at(raw):
    """An audit must not fail on one strange row, nor skip it."""
    json.dumps([shown_key(raw), shown_value(raw)], allow_nan=False)
    assert cursor_bytes(cursor_of(raw)) == raw


@pytest.mark.parametrize("cursor", ["base64:%", "base64:a", "base64:ä", "base64:ab=c"])
def test_a_word_that_is_no_cursor_is_refused(cursor):
    """It came from a client."""
    with pytest.raises(BadInput, match="no cursor"):
        cursor_bytes(cursor)


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        (str, "a", "a"),  # one character is a number in msgpack: keys must not be read so
        (str, "7", "7"),
        (str, "stock/ä", "stock/ä"),
        (int, 5, 5),
        (int, 256, 256),
        (int, -1, -1),
        (tuple[str, str], ("o1", "p1"), ["o1", "p1"]),
        (tuple[str, int], ("o1", 7), ["o1", 7]),
        (tuple[str, str], ("a\x00b", "c\x01"), ["a\x00b", "c\x01"]),
    ],
)
def test_a_key_is_shown_as_its_type_spells_it(kind, key, value):
    """An audit compares them with what slices and clients say."""
    assert shown_key(key_codec(kind).encode(key)) == value


def test_the_cursor_of_a_text_key_is_the_text():
    """So that the last key of a page can be sent as it is; what would be ambiguous is escaped."""
    assert cursor_of(b"stock/a") == "stock/a"
    assert cursor_of(b"base64:x") != "base64:x"
