"""An authority for tests, and certificates of every kind: also those that a real one would never sign.

Knows: how to make directories as `aether ca` does, and certificates that are wrong in one thing.
Never: used outside tests.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from aether.security.authority import Authority, create_authority, new_key, public_key_of
from aether.security.directory_service import AUTHORITIES, AUTHORITY_KEY, NODE, certificate_file, key_file, write_file
from aether.security.identity import CertifiedIdentity, certificate_role
from aether.security.join_token import JoinToken, spell_token

HOUR_S = 3_600.0
HOSTS = ("localhost", "127.0.0.1", "::1")


class TestAuthority:
    """An authority of the cluster `cluster`, in `home`; every directory that it makes stands below."""

    __test__ = False

    def __init__(self, home: Path, cluster: str = "shop") -> None:
        self.home, self.cluster = home, cluster
        self.key, self.certificate = create_authority(cluster, time.time(), 24 * HOUR_S)
        self.authority: Authority = Authority(self.key, self.certificate)
        write_file(home / AUTHORITY_KEY, self.key, private=True)
        write_file(home / AUTHORITIES, self.certificate)

    @property
    def key_path(self) -> Path:
        return self.home / AUTHORITY_KEY

    def issue(
        self,
        name: str,
        role: str = "node",
        *,
        cluster: str = "",
        folder: str = "",
        owner: str = NODE,
        made_s: float | None = None,
        life_s: float = HOUR_S,
    ) -> Path:
        """A directory with a certificate of `name`. made_s  seconds since the epoch, now unless said"""
        identity = CertifiedIdentity(cluster or self.cluster, certificate_role(role), name)
        key = new_key()
        now = time.time() if made_s is None else made_s
        certificate = self.authority.issue(public_key_of(key), identity, HOSTS, now, life_s)
        return self.keep(folder or name, key, certificate, owner)

    def issue_uris(self, folder: str, uris: Sequence[str], *, signed_by_itself: bool = False) -> Path:
        """A directory with a certificate of these URIs, however many."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, folder)])
        loaded = serialization.load_pem_private_key(self.key, None)
        assert isinstance(loaded, ec.EllipticCurvePrivateKey)
        signer = key if signed_by_itself else loaded
        parent = self.authority.trusted.parsed
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri) for uri in uris]
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name if signed_by_itself else parent.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime.fromtimestamp(time.time() - 60, UTC))
            .not_valid_after(datetime.fromtimestamp(time.time() + HOUR_S, UTC))
            .add_extension(x509.SubjectAlternativeName([*names, x509.DNSName("localhost")]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(
                    key.public_key() if signed_by_itself else signer.public_key()
                ),
                critical=False,
            )
        )
        pem = builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        spelt = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return self.keep(folder, spelt, pem)

    def keep(self, folder: str, key: bytes, certificate: bytes, owner: str = NODE) -> Path:
        directory = self.home / folder
        write_file(directory / AUTHORITIES, self.certificate)
        write_file(key_file(directory, owner), key, private=True)
        write_file(certificate_file(directory, owner), certificate)
        return directory

    def token(self, node: str, *, life_s: float = HOUR_S, number: str = "abc123") -> Path:
        """A file with a join token for `node`."""
        identity = CertifiedIdentity(self.cluster, certificate_role("node"), node)
        made = JoinToken(number, identity, self.authority.trusted.pin, int(time.time() + life_s))
        path = self.home / f"{node}.token"
        write_file(path, spell_token(made, self.authority).encode(), private=True)
        return path
