"""Certificates as they are read: what one says, who issued it, which are revoked.

Knows: X.509, by the library `cryptography` (extra `tls`), which beside tests only this module and
       authority.py import.
Never: files, private keys, signing.
Holds: what cannot be parsed, or is not ECDSA on P-256, is BadInput; sizes are bounded before anything is parsed.
Paper: RFC 5280 (certificates and lists of revoked ones), RFC 2986 (requests).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

import attrs
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from aether.errors import BadInput
from aether.security.identity import PEM_BYTES_MAX, Shown, read_identity

BUNDLE_MAX: Final = 8  # authorities at a time: two overlap while one replaces the other


@attrs.frozen
class Certificate:
    """One certificate. not_before, not_after  seconds since the epoch; hosts  names and addresses; pin  of its key"""

    pem: bytes = attrs.field(repr=False)
    shown: Shown
    not_before: float
    not_after: float
    hosts: tuple[str, ...]
    issuer: str
    parsed: x509.Certificate = attrs.field(repr=False, eq=False)


@attrs.frozen
class TrustedAuthority:
    """The public half of an authority. pin  SHA-256 of its public key, hexadecimal"""

    name: str
    pin: str
    not_before: float
    not_after: float
    parsed: x509.Certificate = attrs.field(repr=False, eq=False)

    @property
    def pem(self) -> bytes:
        return self.parsed.public_bytes(serialization.Encoding.PEM)


def requested_key(request_pem: bytes) -> bytes:
    """The public key whose owner made the request, PEM. Raises BadInput."""
    if len(request_pem) > PEM_BYTES_MAX:
        raise BadInput("a certificate request is too long")
    try:
        request = x509.load_pem_x509_csr(request_pem)
        key, is_signed = request.public_key(), request.is_signature_valid
    except Exception as error:
        raise BadInput("this is no certificate request", (str(error)[:200],)) from error
    if not is_signed:
        raise BadInput("a certificate request is not signed by its own key")
    return public_pem(_on_curve(key))


def read_certificate(pem: bytes) -> Certificate:
    """What the first certificate in `pem` says, not whether it is good. Raises BadInput."""
    parsed = _certificates(pem)[0]
    names = _names(parsed)
    uris = [name.value for name in names if isinstance(name, x509.UniformResourceIdentifier)]
    if len(uris) != 1:
        raise BadInput(f"a certificate with {len(uris)} URIs names nobody; exactly one is expected")
    hosts = tuple(str(name.value) for name in names if isinstance(name, x509.DNSName | x509.IPAddress))
    return Certificate(
        pem,
        Shown(read_identity(uris[0]), f"{parsed.serial_number:x}"),
        parsed.not_valid_before_utc.timestamp(),
        parsed.not_valid_after_utc.timestamp(),
        hosts,
        common_name(parsed.issuer),
        parsed,
    )


def read_described(der: bytes) -> Certificate:
    """As read_certificate, of a certificate in DER. Raises BadInput."""
    try:
        parsed = x509.load_der_x509_certificate(der)
    except Exception as error:
        raise BadInput("this is no certificate", (str(error)[:200],)) from error
    return read_certificate(parsed.public_bytes(serialization.Encoding.PEM))


def read_bundle(pem: bytes) -> tuple[TrustedAuthority, ...]:
    """The authorities in `pem`. Raises BadInput: none, too many, or one that is no authority."""
    found: dict[str, TrustedAuthority] = {}
    for parsed in _certificates(pem):
        _check_authority(parsed)
        pin = pin_of(_on_curve(parsed.public_key()))
        found[pin] = TrustedAuthority(
            common_name(parsed.subject),
            pin,
            parsed.not_valid_before_utc.timestamp(),
            parsed.not_valid_after_utc.timestamp(),
            parsed,
        )
    return tuple(found.values())


def merged_bundle(ours: bytes, theirs: bytes, now_s: float) -> bytes:
    """Both bundles, one certificate of each authority, ours first, expired ones left out. Raises BadInput."""
    known = {each.pin: each for each in (*read_bundle(theirs), *read_bundle(ours))}
    order = dict.fromkeys([each.pin for each in (*read_bundle(ours), *read_bundle(theirs))])
    kept = [known[pin] for pin in order if known[pin].not_after > now_s][:BUNDLE_MAX]
    return b"".join(each.pem for each in kept)


def check_issued(certificate: Certificate, bundle: Iterable[TrustedAuthority], now_s: float) -> None:
    """Raise BadInput unless one of `bundle` issued it and it holds now."""
    if not certificate.not_before <= now_s <= certificate.not_after:
        raise BadInput("the certificate has expired, or does not hold yet; are the clocks right?")
    for trusted in bundle:
        if not trusted.not_before <= now_s <= trusted.not_after:
            continue
        try:
            certificate.parsed.verify_directly_issued_by(trusted.parsed)
        except (ValueError, TypeError, InvalidSignature):
            continue
        return
    raise BadInput("the certificate was issued by no authority that is trusted here")


def public_key_in(certificate: Certificate) -> bytes:
    """PEM. Raises BadInput."""
    return public_pem(_on_curve(certificate.parsed.public_key()))


def key_pin(der: bytes) -> str:
    """As pin_in, of a certificate in DER. Raises BadInput."""
    return pin_in(read_described(der))


def pin_in(certificate: Certificate) -> str:
    """SHA-256 of its public key, hexadecimal. Raises BadInput."""
    return pin_of(_on_curve(certificate.parsed.public_key()))


def revoked_serials(crl_pem: bytes, bundle_pem: bytes) -> frozenset[str]:
    """The serial numbers in the lists in `crl_pem`. Raises BadInput: one is malformed, or of nobody in the bundle.

    A file without a list, cut off, empty or in DER, is malformed too: it must not pass for one that revokes nobody.
    """
    serials: set[str] = set()
    parts = _pem_blocks(crl_pem, b"X509 CRL")
    if not parts:
        raise BadInput("this holds no list of revoked certificates", ("it is one in PEM: BEGIN X509 CRL",))
    for part in parts:
        try:
            crl = x509.load_pem_x509_crl(part)
            signers = [t for t in read_bundle(bundle_pem) if crl.is_signature_valid(_on_curve(t.parsed.public_key()))]
            found = [f"{revoked.serial_number:x}" for revoked in crl]
        except BadInput:
            raise
        except Exception as error:
            raise BadInput("this is no list of revoked certificates", (str(error)[:200],)) from error
        if not signers:
            raise BadInput("a list of revoked certificates is signed by no authority in ca.pem")
        serials.update(found)
    return frozenset(serials)


# --- pieces -----------------------------------------------------------------------------------------------------------


def common_name(name: x509.Name) -> str:
    found = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else ""


def _names(parsed: x509.Certificate) -> list[x509.GeneralName]:
    try:
        return list(parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return []
    except ValueError as error:
        raise BadInput("the names in a certificate cannot be read", (str(error)[:200],)) from error


def _check_authority(parsed: x509.Certificate) -> None:
    try:
        is_authority = parsed.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        parsed.verify_directly_issued_by(parsed)
    except (x509.ExtensionNotFound, ValueError, TypeError, InvalidSignature) as error:
        raise BadInput("a certificate in ca.pem is no authority of ours", (str(error)[:200],)) from error
    if not is_authority:
        raise BadInput("a certificate in ca.pem is no authority: it may sign nothing")


def _certificates(pem: bytes) -> list[x509.Certificate]:
    blocks = _pem_blocks(pem, b"CERTIFICATE")
    if not 1 <= len(blocks) <= BUNDLE_MAX:
        raise BadInput(f"{len(blocks)} certificates, where 1 to {BUNDLE_MAX} are expected")
    try:
        return [x509.load_pem_x509_certificate(block) for block in blocks]
    except Exception as error:
        raise BadInput("this is no certificate", (str(error)[:200],)) from error


def _pem_blocks(pem: bytes, kind: bytes) -> list[bytes]:
    if len(pem) > PEM_BYTES_MAX:
        raise BadInput(f"{len(pem)} bytes are too many for certificates; at most {PEM_BYTES_MAX}")
    begin, end = b"-----BEGIN " + kind + b"-----", b"-----END " + kind + b"-----"
    pieces = pem.split(begin)[1:]
    return [begin + piece.partition(end)[0] + end + b"\n" for piece in pieces]


def read_public_key(pem: bytes) -> ec.EllipticCurvePublicKey:
    try:
        return _on_curve(serialization.load_pem_public_key(pem))
    except ValueError as error:
        raise BadInput("this is no public key in PEM", (str(error)[:200],)) from error


def _on_curve(key: object) -> ec.EllipticCurvePublicKey:
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise BadInput("a key is not ECDSA on P-256")
    return key


def public_pem(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def pin_of(key: ec.EllipticCurvePublicKey) -> str:
    spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).hexdigest()
