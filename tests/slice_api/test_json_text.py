"""JSON means the same, and is refused in the same words, whichever of the two libraries reads and writes it."""

import json
import math
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aether.slice_api.json_text import MsgspecJson, StandardJson, fastest_json

FAST, STANDARD = MsgspecJson(), StandardJson()

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
PIECES = st.sampled_from([
    b'{"a":', b'"', b"1", b"-0", b"0.", b"1e400", b"}", b"[", b"]", b",", b":", b" ", b"\\u", b"\\ud800", b"NaN",
    b"\xff", b"\xc3\xa9", b"null", b"true", b"\x00", b"\x0b", b"9" * 400, b"9" * 5000, b"e5", b"Infinity",
    b"\xef\xbb\xbf",
])  # fmt: skip
TEXTS = [
    b"", b" ", b"1", b" 1\r\n", b"-0", b"-0.0", b"1E5", b"1e400", b"-1e400", b"1e-400", b"5e-324",
    b"1.7976931348623157e308",
    b"18446744073709551615", b"18446744073709551616", b"-9223372036854775809", b"9007199254740993.0", b"1" * 5000,
    b'"\\ud800"', b'"\\udc00"', b'"\\ud83d\\ude00"', b'{"\\ud800":1}', b'{"a":1,"a":2}', b"\xef\xbb\xbf1", b"\x0b1",
    b"NaN", b"-Infinity", b'{"a":[NaN]}', b"[1,]", b"01", b"1.", b".5", b"-", b"1e", b"nul", b"truex", b"1 2", b"{1:2}",
    b'"\x01"', b'"\x7f"', b'"\xff"', b'"\xed\xa0\x80"', b'"\xf4\x90\x80\x80"', b'"\\x"', b'"\\/"', b'{"a":1}\x00',
    b"\xff\xfe1\x00", b"[" * 500 + b"]" * 500, b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 100_000,
]  # fmt: skip


def outcome(read, body):
    """What was read, with the class of each number, or what is said of it."""
    try:
        return repr(read(body))
    except RecursionError:
        return RecursionError
    except (ValueError, UnicodeDecodeError) as error:
        return type(error), str(error)


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text[:24].decode("latin-1"))
def test_a_text_is_read_or_refused_alike(text):
    assert outcome(FAST.read, text) == outcome(STANDARD.read, text)


@given(st.lists(PIECES, max_size=12).map(b"".join) | st.binary(max_size=24))
@example(b'{"a":1e400}')
def test_any_bytes_are_read_or_refused_alike(body):
    assert outcome(FAST.read, body) == outcome(STANDARD.read, body)


@given(PLAIN, st.sampled_from([None, 1]), st.booleans())
def test_what_others_write_is_read_alike(plain, indent, ascii_only):
    body = json.dumps(plain, indent=indent, ensure_ascii=ascii_only).encode()

    assert outcome(FAST.read, body) == outcome(STANDARD.read, body) == repr(plain)


@given(PLAIN)
def test_what_one_writes_the_other_reads(plain):
    assert repr(STANDARD.read(FAST.write(plain))) == repr(FAST.read(STANDARD.write(plain))) == repr(plain)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_comes_back_to_the_last_bit(number):
    for text in (FAST, STANDARD):
        assert text.read(text.write(number)).hex() == number.hex()


@pytest.mark.parametrize("text", [FAST, STANDARD], ids=["msgspec", "json"])
class TestWhatNoTextCanHold:
    def test_half_a_character_is_an_error(self, text):
        with pytest.raises(UnicodeEncodeError):
            text.write({"name": "\ud800"})

    def test_too_deep_a_value_is_an_error(self, text):
        deep = []
        for _ in range(100_000):
            deep = [deep]
        with pytest.raises(RecursionError):
            text.write(deep)

    def test_lines_stay_lines(self, text):
        """A stream has one value in each line."""
        assert text.write({"a": "one\ntwo\r\u2028", "b": [1, None]}).count(b"\n") == 0


def test_without_the_extra_python_reads(monkeypatch):
    monkeypatch.setitem(sys.modules, "msgspec", None)
    fastest_json.cache_clear()
    try:
        assert isinstance(fastest_json(), StandardJson)
    finally:
        fastest_json.cache_clear()
    monkeypatch.undo()
    assert isinstance(fastest_json(), MsgspecJson)


def test_what_is_too_large_for_a_float_is_left_to_the_codec():
    assert math.isinf(FAST.read(b"1e400"))
    assert math.isinf(STANDARD.read(b"1e400"))
