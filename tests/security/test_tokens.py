"""API tokens: what is shown, what is kept, what holds."""

import hashlib

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.model.access import ApiTokenRow, Role
from aether.model.ids import is_name
from aether.security.tokens import Standing, digest_of, judge, read_token, token_text

names = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", fullmatch=True)
secrets = st.binary(min_size=32, max_size=32)


def row_of(text: str, **fields: object) -> ApiTokenRow:
    return ApiTokenRow(id="ci", digest=digest_of(text), role=Role.OPERATOR, **fields)


@given(names, secrets)
def test_a_token_says_which_row_it_claims_to_be(name, secret):
    """Also when its name holds the character that parts it from the secret."""
    shown = read_token(token_text(name, secret))

    assert shown is not None
    assert shown.id == name


@given(st.text(max_size=300))
def test_any_text_is_read_or_refused(text):
    """It comes from a stranger."""
    shown = read_token(text)

    assert shown is None or (is_name(shown.id) and shown.text == text)


@pytest.mark.parametrize("text", ["", "aether_", "aether__", "aether_ci_", "aether_ci", "aether_-_aa", "aether_c/i_aa"])
def test_what_names_no_row_or_no_secret_is_no_token(text):
    assert read_token(text) is None


def test_a_long_text_is_not_looked_at():
    """Otherwise a megabyte of header would be hashed for whoever sends it."""
    assert read_token("aether_ci_" + "a" * 300) is None


@given(names, secrets, secrets)
def test_a_token_holds_for_its_own_row_alone(name, one, other):
    text = token_text(name, one)
    shown = read_token(token_text(name, other))
    assert shown is not None

    assert (judge(row_of(text), shown, 0.0) is Standing.VALID) is (one == other)


def test_an_id_cannot_be_given_another_token_s_secret():
    """The digest is of the whole text: a secret that leaked for one id opens no other."""
    shown = read_token(token_text("admin", b"s" * 32))

    assert judge(row_of(token_text("ci", b"s" * 32)), shown, 0.0) is Standing.UNKNOWN


def test_nothing_is_known_of_a_row_that_is_not_there():
    assert judge(None, read_token(token_text("ci", b"s" * 32)), 0.0) is Standing.UNKNOWN


@pytest.mark.parametrize(
    ("now", "standing"), [(99.9, Standing.VALID), (100.0, Standing.EXPIRED), (1e12, Standing.EXPIRED)]
)
def test_a_token_expires_at_its_second(now, standing):
    text = token_text("ci", b"s" * 32)

    assert judge(row_of(text, expires_at=100.0), read_token(text), now) is standing


def test_a_wrong_secret_of_an_expired_token_is_not_told_that_it_expired():
    """Else a stranger learns which names there are."""
    expired = row_of(token_text("ci", b"s" * 32), expires_at=1.0)

    assert judge(expired, read_token(token_text("ci", b"t" * 32)), 2.0) is Standing.UNKNOWN


def test_what_is_kept_and_what_is_printed_holds_no_secret():
    text = token_text("ci", b"\xab" * 32)
    shown = read_token(text)

    assert "abab" not in repr(row_of(text)) + repr(shown)
    assert row_of(text).digest == hashlib.sha256(text.encode()).digest()
    assert "digest" not in repr(attrs.evolve(row_of(text), note="x"))
