"""The one place where TLS contexts are made, for every port and every client.

Knows: `ssl`: versions, verification, protocols.
Never: who may do what (identity.py), when contexts are made anew (credentials_service.py).
Holds: between nodes TLS 1.3 and certificates of both sides; elsewhere 1.2 at least. Nothing is compressed or
       renegotiated. A host name is checked by clients of HTTP; nodes are known by the URI of their certificate.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final

from aether.errors import BadInput
from aether.security.directory_service import CLIENT, certificate_file, key_file

LANES: Final = "aether/1"
ENROLMENT: Final = "aether-enrol/1"
"""What a connection to the cluster port is for, by ALPN (RFC 7301). Who enrols has no certificate yet."""


def peer_server(authorities: bytes, certificate: Path, key: Path, *, enrols: bool = False) -> ssl.SSLContext:
    """For connections that nodes make to this one. enrols  those of newcomers without a certificate as well

    Raises BadInput.
    """
    context = _context(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.TLSVersion.TLSv1_3, certificate, key)
    _trust(context, authorities)
    context.num_tickets = 0  # lanes live long: no session is ever taken up again
    context.verify_mode = ssl.CERT_OPTIONAL if enrols else ssl.CERT_REQUIRED
    context.set_alpn_protocols([LANES, ENROLMENT] if enrols else [LANES])
    return context


def peer_client(authorities: bytes, certificate: Path, key: Path) -> ssl.SSLContext:
    """For connections that this node makes to others. Raises BadInput."""
    context = _context(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ssl.TLSVersion.TLSv1_3, certificate, key)
    context.check_hostname = False  # addresses of nodes change; the URI of the certificate is compared with the id
    context.verify_mode = ssl.CERT_REQUIRED
    _trust(context, authorities)
    context.set_alpn_protocols([LANES])
    return context


def newcomer_client() -> ssl.SSLContext:
    """For the one connection that a node makes without a certificate. The caller checks the other side by a pin."""
    context = _context(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ssl.TLSVersion.TLSv1_3)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # no authority is known yet: security.newcomer compares its key with the pin
    context.set_alpn_protocols([ENROLMENT])
    return context


def web_server(certificate: Path, key: Path, authorities: bytes = b"") -> ssl.SSLContext:
    """For HTTP. authorities  of client certificates, which are welcome and not asked of everybody. Raises BadInput."""
    context = _context(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.TLSVersion.TLSv1_2, certificate, key)
    if authorities:
        _trust(context, authorities)
        context.verify_mode = ssl.CERT_OPTIONAL
    context.set_alpn_protocols(["http/1.1"])
    return context


def web_client(authorities: Path, directory: Path | None = None) -> ssl.SSLContext:
    """For clients of the admin API. directory  where a certificate of this client may be. Raises BadInput."""
    context = _context(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ssl.TLSVersion.TLSv1_2)
    _explained(f"cannot use the authorities in {authorities}", lambda: context.load_verify_locations(str(authorities)))
    if directory is not None and certificate_file(directory, CLIENT).exists():
        _show(context, certificate_file(directory, CLIENT), key_file(directory, CLIENT))
    return context


def _context(
    context: ssl.SSLContext, least: ssl.TLSVersion, certificate: Path | None = None, key: Path | None = None
) -> ssl.SSLContext:
    context.minimum_version = least
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    if certificate is not None and key is not None:
        _show(context, certificate, key)
    return context


def _show(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    _explained(
        f"{certificate} and {key} are no certificate with its key",
        lambda: context.load_cert_chain(str(certificate), str(key)),
    )


def _trust(context: ssl.SSLContext, authorities: bytes) -> None:
    _explained("cannot use ca.pem", lambda: context.load_verify_locations(cadata=authorities.decode("ascii")))


def _explained(what: str, load: Callable[[], None]) -> None:
    try:
        load()
    except (OSError, ValueError) as error:  # SSLError is an OSError
        raise BadInput(what, (getattr(error, "reason", None) or str(error),)) from error
