"""What members say to each other about certificates that grow old.

Knows: three messages and their spelling.
Never: who answers, and how.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import attrs

from aether.errors import BadInput
from aether.security.identity import PEM_BYTES_MAX

_REASON_CHARS_MAX: Final = 2_048


@attrs.frozen
class RenewalRequest:
    """Sign anew for me. certificate  that of the sender, PEM"""

    certificate: bytes


@attrs.frozen
class CertificateTold:
    """This is the certificate of the sender by now: lanes that it opened with an older one of its key go on. PEM"""

    certificate: bytes


@attrs.frozen
class RenewalReply:
    """certificate, authorities  PEM; refused  why there are none, "" = there are"""

    certificate: bytes
    authorities: bytes
    refused: str = ""


def _encode_request(message: RenewalRequest) -> Sequence[object]:
    return [message.certificate]


def _decode_request(fields: Sequence[object]) -> RenewalRequest:
    if len(fields) != 1:
        raise BadInput("malformed RenewalRequest", ("one certificate is expected",))
    return RenewalRequest(_pem(fields[0]))


def _encode_told(message: CertificateTold) -> Sequence[object]:
    return [message.certificate]


def _decode_told(fields: Sequence[object]) -> CertificateTold:
    if len(fields) != 1:
        raise BadInput("malformed CertificateTold", ("one certificate is expected",))
    return CertificateTold(_pem(fields[0]))


def _encode_reply(message: RenewalReply) -> Sequence[object]:
    return [message.certificate, message.authorities, message.refused[:_REASON_CHARS_MAX]]


def _decode_reply(fields: Sequence[object]) -> RenewalReply:
    if len(fields) != 3 or type(fields[2]) is not str or len(fields[2]) > _REASON_CHARS_MAX:
        raise BadInput("malformed RenewalReply", ("two texts in PEM and a reason are expected",))
    return RenewalReply(_pem(fields[0]), _pem(fields[1]), fields[2])


def _pem(plain: object) -> bytes:
    if type(plain) is not bytes or len(plain) > PEM_BYTES_MAX:
        raise BadInput("malformed message about a certificate", (f"at most {PEM_BYTES_MAX} bytes are expected",))
    return plain


_Spelling = tuple[type[Any], Callable[[Any], Sequence[object]], Callable[[Sequence[object]], Any]]

MESSAGES: Final[dict[int, _Spelling]] = {
    92: (RenewalRequest, _encode_request, _decode_request),
    93: (RenewalReply, _encode_reply, _decode_reply),
    94: (CertificateTold, _encode_told, _decode_told),
}
"""tag -> (class, encode to plain msgpack values, decode: BadInput when malformed)."""
