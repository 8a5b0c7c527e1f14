"""API tokens: their text, what is kept of them, and whether one that is shown holds.

Knows: `aether_<id>_<secret>`, the digest of that text, expiry.
Never: randomness, clocks, rows on disk: secret, time and row are given.
Holds: nobody can find the text from what is kept; how long a check takes says nothing about how much of it was right.

The digest is plain SHA-256. Slow hashes (scrypt, argon2) make guesses dear where people choose the secret; here it is
256 bits from the operating system, no list of guesses has it, and a slow hash at every request would be a gift to
whoever floods the port.
Paper: RFC 6750; NIST SP 800-63B 5.1.4 (look-up secrets with at least 112 bits need no slow hash).
"""

from __future__ import annotations

import enum
import hashlib
import hmac
from typing import Final

import attrs

from aether.model.access import ApiTokenRow
from aether.model.ids import is_name

PREFIX: Final = "aether_"
SECRET_BYTES: Final = 32
TEXT_CHARS_MAX: Final = 256
_NOBODY: Final = hashlib.sha256(b"").digest()


class Standing(enum.StrEnum):
    """What became of a token that was shown."""

    VALID = "valid"
    UNKNOWN = "unknown"  # no such id, revoked, or another secret: which of them is not told
    EXPIRED = "expired"


@attrs.frozen
class ShownToken:
    """A token as it came. `id` names the row that it claims to be."""

    id: str
    text: str = attrs.field(repr=False)


def token_text(identity: str, secret: bytes) -> str:
    """The token to hand over. secret  SECRET_BYTES random bytes"""
    return f"{PREFIX}{identity}_{secret.hex()}"


def read_token(text: str) -> ShownToken | None:
    """`text` as a token; None when it is none. Costs nothing to speak of, however long it is."""
    if len(text) > TEXT_CHARS_MAX or not text.startswith(PREFIX):
        return None
    identity, mark, secret = text.removeprefix(PREFIX).rpartition("_")
    return ShownToken(identity, text) if mark and secret and is_name(identity) else None


def digest_of(text: str) -> bytes:
    """What a row keeps of the token `text`."""
    return hashlib.sha256(text.encode()).digest()


def judge(row: ApiTokenRow | None, shown: ShownToken, now: float) -> Standing:
    """Whether `shown` is the token of `row` at `now`, seconds since the epoch."""
    kept = _NOBODY if row is None else row.digest
    same = hmac.compare_digest(digest_of(shown.text), kept)
    if row is None or not same:
        return Standing.UNKNOWN
    return Standing.EXPIRED if row.expires_at is not None and now >= row.expires_at else Standing.VALID
