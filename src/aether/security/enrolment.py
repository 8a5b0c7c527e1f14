"""How a node that has no certificate gets one: three lines of JSON over one TLS connection.

Knows: the lines, and what each side checks.
Never: sockets, whether a token was used (issuing_service.py).
Holds: the newcomer says nothing before it knows, by the pin in its token, that it speaks with an issuer of its cluster;
       its private key never leaves it, and nothing but its public key is taken from what it says.

The issuer offers its authorities; the newcomer finds the one that its token names among them, and that it issued the
certificate of this very connection, whose key TLS has proved. Only then it sends its token and its request.
"""

from __future__ import annotations

import json
from typing import Any, Final, cast

import attrs

from aether.errors import BadInput
from aether.security.authority import certificate_request, public_key_of
from aether.security.certificates import (
    check_issued,
    public_key_in,
    read_bundle,
    read_certificate,
    read_described,
)
from aether.security.identity import PEM_BYTES_MAX, CertificateRole
from aether.security.join_token import TOKEN_CHARS_MAX, JoinToken, read_token

LINE_BYTES_MAX: Final = 256 * 1024
_REASON_CHARS_MAX: Final = 2_048


@attrs.frozen
class Enrolment:
    """What a newcomer asks for. token  as text; request  PEM"""

    token: str = attrs.field(repr=False)
    request: bytes


@attrs.frozen
class Issued:
    """A certificate, and the authorities that its owner shall believe, PEM both."""

    certificate: bytes
    authorities: bytes


def spell_offer(authorities: bytes) -> bytes:
    return _line({"authorities": authorities.decode("ascii")})


def read_offer(line: bytes) -> bytes:
    """The authorities of an issuer, not to be believed yet. Raises BadInput."""
    return _pem(_object(line), "authorities")


def spell_enrolment(enrolment: Enrolment) -> bytes:
    return _line({"token": enrolment.token, "request": enrolment.request.decode("ascii")})


def read_enrolment(line: bytes) -> Enrolment:
    """Raises BadInput."""
    fields = _object(line)
    return Enrolment(_text(fields, "token", TOKEN_CHARS_MAX), _pem(fields, "request"))


def spell_answer(issued: Issued | str) -> bytes:
    """issued  or why not"""
    if isinstance(issued, str):
        return _line({"refused": issued[:_REASON_CHARS_MAX]})
    return _line({"certificate": issued.certificate.decode("ascii"), "authorities": issued.authorities.decode("ascii")})


def read_answer(line: bytes) -> Issued:
    """Raises BadInput, also with the reason of a refusal."""
    fields = _object(line)
    if "refused" in fields:
        refused = _text(fields, "refused", _REASON_CHARS_MAX)
        raise BadInput("".join(c if c.isprintable() else " " for c in refused))
    return Issued(_pem(fields, "certificate"), _pem(fields, "authorities"))


class Newcomer:
    """A node that asks for its first certificate. Raises BadInput."""

    def __init__(self, token: str, key: bytes) -> None:
        self._text = token.strip()
        self.token: JoinToken = read_token(token)
        self._key = key

    def request_for(self, offer: bytes, shown: bytes, now_s: float) -> bytes:
        """The line to send to whoever made `offer` and shows the certificate `shown` (DER). Raises BadInput."""
        found = [trusted for trusted in read_bundle(read_offer(offer)) if trusted.pin == self.token.pin]
        if not found:
            raise BadInput("the other side does not have the authority that the join token names; is it the cluster?")
        certificate = read_described(shown)
        check_issued(certificate, found, now_s)
        who = certificate.shown.identity
        if who.role is not CertificateRole.NODE or who.cluster != self.token.identity.cluster:
            raise BadInput(f"the other side shows the certificate of {who.uri}, which is no node of this cluster")
        return spell_enrolment(Enrolment(self._text, certificate_request(self._key)))

    def accept(self, answer: bytes, now_s: float) -> Issued:
        """What was issued, checked to be ours. Raises BadInput."""
        issued = read_answer(answer)
        authorities = read_bundle(issued.authorities)
        pinned = [trusted for trusted in authorities if trusted.pin == self.token.pin]
        if not pinned:
            raise BadInput("the issuer's authorities lack the one that the join token names")
        certificate = read_certificate(issued.certificate)
        check_issued(certificate, pinned, now_s)
        if certificate.shown.identity != self.token.identity or public_key_in(certificate) != public_key_of(self._key):
            raise BadInput("the issuer sent a certificate of somebody else")
        return issued


def _line(plain: dict[str, str]) -> bytes:
    return json.dumps(plain, separators=(",", ":")).encode() + b"\n"


def _object(line: bytes) -> dict[str, Any]:
    if len(line) > LINE_BYTES_MAX:
        raise BadInput(f"a line of {len(line)} bytes; at most {LINE_BYTES_MAX}")
    try:
        plain = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadInput("a line of the enrolment is no JSON") from error
    if not isinstance(plain, dict):
        raise BadInput("a line of the enrolment is no object")
    return cast("dict[str, Any]", plain)


def _text(fields: dict[str, Any], name: str, chars_max: int) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or len(value) > chars_max:
        raise BadInput(f"the field {name} of an enrolment is no text of at most {chars_max} characters")
    return value


def _pem(fields: dict[str, Any], name: str) -> bytes:
    text = _text(fields, name, PEM_BYTES_MAX)
    if not text.isascii():
        raise BadInput(f"the field {name} of an enrolment is no PEM")
    return text.encode("ascii")
