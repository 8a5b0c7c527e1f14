"""A join token: for a short while it lets one node that has no certificate get one.

Knows: what a token says, and how; what the authority's signature over it is worth.
Never: whether it was used (issuing.py), keys (the authority signs and checks).
Holds: a token says who may be certified and which authority to believe; it is signed, so a reader that knows the
       authority needs no list of tokens; whoever holds one can become that node once, so it is a secret.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Any, Final, Protocol, cast

import attrs

from aether.errors import BadInput
from aether.security.identity import CertificateRole, CertifiedIdentity

PREFIX: Final = "aether-join-1"
TOKEN_CHARS_MAX: Final = 4_096
TOKEN_LIFE_S: Final = 3_600.0
TOKEN_LIFE_MAX_S: Final = 7 * 86_400.0
_HOSTS_MAX: Final = 16
_PIN_CHARS: Final = 64


class Signer(Protocol):
    """The part of an authority that is needed here."""

    def sign(self, words: bytes) -> bytes: ...
    def has_signed(self, signature: bytes, words: bytes) -> bool: ...


@attrs.frozen
class JoinToken:
    """id  random; pin  SHA-256 of the authority's public key; expires_at  seconds since the epoch

    hosts  names and addresses that the certificate will hold
    """

    id: str
    identity: CertifiedIdentity
    pin: str
    expires_at: int
    hosts: tuple[str, ...] = ()


def spell_token(token: JoinToken, signer: Signer) -> str:
    """`token` as text that its reader can check."""
    words = _words(token)
    return f"{PREFIX}.{_text(words)}.{_text(signer.sign(_framed(words)))}"


def read_token(text: str) -> JoinToken:
    """What a token says; unchecked, so for whoever got it from somebody it trusts. Raises BadInput."""
    return _read(text)[0]


def check_token(text: str, signer: Signer, now_s: float) -> JoinToken:
    """What a token says, signed by `signer` and not expired. Raises BadInput."""
    token, words, signature = _read(text)
    if not signer.has_signed(signature, _framed(words)):
        raise BadInput("the join token was not signed by this cluster's authority")
    if token.expires_at <= now_s:
        raise BadInput("the join token has expired; `aether ca token` makes another")
    return token


def _framed(words: bytes) -> bytes:
    """What is signed begins as nothing else does that an authority signs."""
    return f"{PREFIX}\n".encode() + words


def _words(token: JoinToken) -> bytes:
    plain = {
        "id": token.id,
        "cluster": token.identity.cluster,
        "role": token.identity.role.value,
        "name": token.identity.name,
        "pin": token.pin,
        "expires": token.expires_at,
        "hosts": list(token.hosts),
    }
    return json.dumps(plain, separators=(",", ":")).encode()


def _read(text: str) -> tuple[JoinToken, bytes, bytes]:
    parts = text.strip().split(".") if len(text) <= TOKEN_CHARS_MAX else []
    if len(parts) != 3 or parts[0] != PREFIX:
        raise BadInput("this is no join token", (f"it begins with {PREFIX}; `aether ca token` makes one",))
    words, signature = _bytes(parts[1]), _bytes(parts[2])
    try:
        plain = json.loads(words)
    except (ValueError, RecursionError) as error:
        raise BadInput("the join token cannot be read; was all of it copied?") from error
    if not isinstance(plain, dict):
        raise BadInput("the join token cannot be read: it is no object")
    fields = cast("dict[str, Any]", plain)
    role = _field(fields, "role", str)
    if role not in set(CertificateRole):
        raise BadInput(f"the join token has the role {role[:40]!r}, which this release does not know")
    hosts = cast("Sequence[object]", _field(fields, "hosts", list))
    if len(hosts) > _HOSTS_MAX or not all(isinstance(host, str) and len(host) <= 255 for host in hosts):
        raise BadInput("the hosts of the join token are no short list of texts")
    identity = CertifiedIdentity(_field(fields, "cluster", str), CertificateRole(role), _field(fields, "name", str))
    pin, token_id = _field(fields, "pin", str), _field(fields, "id", str)
    if len(pin) != _PIN_CHARS or not 1 <= len(token_id) <= 64 or not token_id.isalnum():
        raise BadInput("the join token cannot be read: its pin or its id is malformed")
    expires = _field(fields, "expires", int)
    return JoinToken(token_id, identity, pin, expires, tuple(cast("Sequence[str]", hosts))), words, signature


def _field(fields: dict[str, Any], name: str, kind: type) -> Any:
    value = fields.get(name)
    if type(value) is not kind:
        raise BadInput(f"the join token cannot be read: its field {name} is no {kind.__name__}")
    return value


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadInput("the join token cannot be read; was all of it copied?") from error
