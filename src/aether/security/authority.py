"""The authority that says who is who: its keys and certificates, and what it signs.

Knows: X.509, by the library `cryptography` (extra `tls`), which beside tests only this module and
       certificates.py import;
       time is given.
Never: files, the store, whom to sign for (issuing.py, the operator).
Holds: every certificate has one URI and says for what it may be used; what a request asks for is never copied into a
       certificate, but for its public key.
Paper: RFC 5280 (X.509), RFC 2986 (PKCS #10).

Keys are ECDSA on P-256: what every TLS stack and browser takes, small and quick to make. Ed25519 would be as good
between nodes, but browsers do not take it, and the admin API is for them too.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from aether.errors import BadInput
from aether.security.certificates import TrustedAuthority, pin_of, public_pem, read_bundle, read_public_key
from aether.security.identity import CertificateRole, CertifiedIdentity

HOSTS_MAX: Final = 32
CLOCK_SKEW_S: Final = 300.0  # a certificate holds since so long before it was made, or a tenth of its life
CRL_LIFE_S: Final = 10 * 365 * 86_400.0  # the list is read as a set of serials; it never makes itself useless
_SHA256: Final = hashes.SHA256()


class Authority:
    """An authority with its key. Raises BadInput when key and certificate do not belong together."""

    def __init__(self, key_pem: bytes, bundle_pem: bytes) -> None:
        self._key = _private_key(key_pem)
        pin = pin_of(self._key.public_key())
        for trusted in read_bundle(bundle_pem):
            if trusted.pin == pin:
                self.trusted: TrustedAuthority = trusted
                return
        raise BadInput("the key of the authority belongs to none of the certificates in ca.pem")

    def issue(
        self, public_key: bytes, identity: CertifiedIdentity, hosts: Sequence[str], now_s: float, life_s: float
    ) -> bytes:
        """A certificate, PEM. public_key  PEM; hosts  names and addresses under which clients reach its owner.

        It ends with the authority at the latest. Raises BadInput.
        """
        if len(hosts) > HOSTS_MAX:
            raise BadInput(f"{len(hosts)} hosts in one certificate; at most {HOSTS_MAX}")
        key = read_public_key(public_key)
        ends_s = min(now_s + life_s, self.trusted.not_after)
        if ends_s <= now_s:
            raise BadInput("the authority has expired", ("`aether ca init --successor-of` begins its successor",))
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
        if identity.role is CertificateRole.NODE:
            usages.append(ExtendedKeyUsageOID.SERVER_AUTH)
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(identity.uri)]
        names += [_general_name(host) for host in dict.fromkeys(hosts)]
        signer = self.trusted.parsed
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(identity.name))
            .issuer_name(signer.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(_moment(now_s - min(CLOCK_SKEW_S, life_s / 10)))
            .not_valid_after(_moment(ends_s))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(_key_identifier(signer), critical=False)
        )
        return builder.sign(self._key, _SHA256).public_bytes(serialization.Encoding.PEM)

    def revocations(self, serials: Collection[str], now_s: float) -> bytes:
        """A list of revoked serial numbers, PEM."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.trusted.parsed.subject)
            .last_update(_moment(now_s))
            .next_update(_moment(now_s + CRL_LIFE_S))
        )
        for serial in sorted(serials):
            revoked = x509.RevokedCertificateBuilder().serial_number(int(serial, 16))
            builder = builder.add_revoked_certificate(revoked.revocation_date(_moment(now_s)).build())
        return builder.sign(self._key, _SHA256).public_bytes(serialization.Encoding.PEM)

    def sign(self, words: bytes) -> bytes:
        """A signature of `words`, which say by themselves what they are."""
        return self._key.sign(words, ec.ECDSA(_SHA256))

    def has_signed(self, signature: bytes, words: bytes) -> bool:
        try:
            self._key.public_key().verify(signature, words, ec.ECDSA(_SHA256))
        except InvalidSignature:
            return False
        return True


def create_authority(cluster: str, now_s: float, life_s: float) -> tuple[bytes, bytes]:
    """A new authority: its key and its certificate, PEM both."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key()
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, cluster),
            x509.NameAttribute(NameOID.COMMON_NAME, f"aether authority {pin_of(public)[:12]}"),
        ]
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_moment(now_s - CLOCK_SKEW_S))
        .not_valid_after(_moment(now_s + life_s))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(digital_signature=True, key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )
    return _private_pem(key), builder.sign(key, _SHA256).public_bytes(serialization.Encoding.PEM)


def new_key() -> bytes:
    """A private key, PEM."""
    return _private_pem(ec.generate_private_key(ec.SECP256R1()))


def public_key_of(key_pem: bytes) -> bytes:
    """The public half, PEM. Raises BadInput."""
    return public_pem(_private_key(key_pem).public_key())


def certificate_request(key_pem: bytes) -> bytes:
    """A request that proves to have the key, PEM; it says nothing else. Raises BadInput."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(_private_key(key_pem), _SHA256).public_bytes(serialization.Encoding.PEM)


# --- pieces -----------------------------------------------------------------------------------------------------------


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(int(seconds), tz=UTC)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        pass
    try:
        return x509.DNSName(host)
    except ValueError as error:
        raise BadInput(f"{host[:80]!r} is no host", ("give a name in ASCII, or an address",)) from error


def _usage(*, digital_signature: bool, key_cert_sign: bool = False, crl_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _key_identifier(signer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    identifier = signer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _private_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except Exception as error:
        raise BadInput("this is no private key in PEM without a password") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise BadInput("a private key is not ECDSA; `aether ca` makes such keys")
    return key


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
