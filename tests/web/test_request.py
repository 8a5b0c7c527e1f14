"""Requests and responses as values."""

from __future__ import annotations

import pytest

from aether.errors import BadInput
from aether.web.request import Request, Response, json_response


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("", {}),
        ("a=1&b=2&a=3", {"a": ["1", "3"], "b": ["2"]}),
        ("a", {"a": [""]}),
        ("a=&b", {"a": [""], "b": [""]}),
        ("q=a+b%20c%2B", {"q": ["a b c+"]}),
        ("%C3%A4=%C3%B6", {"ä": ["ö"]}),
        ("a=1;b=2", {"a": ["1;b=2"]}),
    ],
)
def test_a_query_keeps_every_value_in_order(text, fields):
    """`?tag=a&tag=b` is how lists travel."""
    assert Request(verb="GET", path="/", query_text=text).query() == fields


@pytest.mark.parametrize("text", ["a=%ff", "&".join(f"a{n}=1" for n in range(1001))])
def test_a_query_that_cannot_be_read_or_is_absurd_is_bad_input(text):
    """Bounded, and never guessed."""
    with pytest.raises(BadInput, match="query"):
        Request(verb="GET", path="/", query_text=text).query()


def test_cookies_are_read_from_every_field_and_the_first_of_a_name_wins():
    """Browsers send the most specific cookie first."""
    headers = (("cookie", 'a=1; b="2"; junk; =x'), ("cookie", "a=3; c=4=5"))
    assert Request(verb="GET", path="/", headers=headers).cookies() == {"a": "1", "b": "2", "c": "4=5"}


def test_repeated_fields_are_joined_as_the_rfc_says():
    """One value per name reaches a slice, with nothing lost."""
    headers = (("accept", "a"), ("cookie", "x=1"), ("accept", "b"), ("cookie", "y=2"))
    joined = Request(verb="GET", path="/", headers=headers).combined_headers()
    assert joined == {"accept": "a, b", "cookie": "x=1; y=2"}


@pytest.mark.parametrize(("given", "kept"), [("Application/JSON; charset=utf-8", "application/json"), ("", "")])
def test_a_media_type_is_compared_without_its_parameters(given, kept):
    """`application/json; charset=utf-8` is JSON."""
    assert Request(verb="GET", path="/", headers=(("content-type", given),)).content_type == kept


@pytest.mark.parametrize(
    "headers",
    [
        {"X-A": "a\r\nSet-Cookie: b"},
        {"X-A": "a\nb"},
        {"X-A": "a\x00"},
        {"X-A\r\nB": "c"},
        {"X A": "b"},
        {"": "b"},
        {"X-A": "Ω"},
        {"Content-Length": "3"},
        {"transfer-encoding": "chunked"},
        {"Server": "x"},
    ],
)
def test_a_response_header_can_neither_split_the_answer_nor_break_its_framing(headers):
    """User text reaches headers sooner or later; response splitting must be impossible to write."""
    with pytest.raises(ValueError, match=r"header|line break"):
        Response(200, headers=headers)


@pytest.mark.parametrize("status", [100, 199, 600, 0, -1])
def test_only_a_final_status_is_a_response(status):
    """An interim status would leave the client waiting."""
    with pytest.raises(ValueError, match="no final HTTP status"):
        Response(status)


def test_a_content_type_cannot_hold_a_line_break():
    """It may come from a slice on another node."""
    with pytest.raises(ValueError, match="line break"):
        Response(200, b"", "text/plain\r\nX: y")


def test_json_is_compact_utf_8_and_refuses_what_json_has_not():
    """NaN in an answer breaks every client but Python's."""
    assert json_response({"a": "ä"}).body == '{"a":"ä"}'.encode()
    with pytest.raises(ValueError, match="JSON"):
        json_response(float("nan"))
