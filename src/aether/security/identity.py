"""Who somebody is, as a certificate says it: one URI, `aether://<cluster>/<role>/<name>`.

Knows: the URI, roles of certificates, certificates as `ssl` describes them.
Never: keys, signatures, time: TLS has checked those before anything is read here.
Holds: a certificate with no such URI, or with two URIs of any kind, is of nobody: what could be read in two ways is not
       read. Nothing else in a certificate tells who somebody is.
Paper: RFC 5280 4.2.1.6 (URI in the subject alternative name).
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping
from typing import Any, Final, cast

import attrs

from aether.errors import BadInput
from aether.model.access import Role
from aether.model.ids import NodeId, is_name

SCHEME: Final = "aether"
PEM_BYTES_MAX: Final = 64 * 1024  # of certificates in one file or message
Described = Mapping[str, Any]
"""A certificate as `ssl.SSLObject.getpeercert` describes it, and itself as bytes under `DER`; empty without one."""

DER: Final = "der"


class CertificateRole(enum.StrEnum):
    """What the owner of a certificate is: a member of the cluster, or a client of the admin API with so much right."""

    NODE = "node"
    ADMIN = "client-admin"
    OPERATOR = "client-operator"
    PROPOSER = "client-proposer"
    VIEWER = "client-viewer"

    @property
    def role(self) -> Role:
        """What it may ask of the admin API."""
        return Role.NOBODY if self is CertificateRole.NODE else Role[self.name]


def certificate_role(text: str) -> CertificateRole:
    """`node`, `admin`, `client-admin`, ... Raises BadInput that lists them."""
    for role in CertificateRole:
        if text in (role.value, role.value.removeprefix("client-")):
            return role
    known = ", ".join(role.value.removeprefix("client-") for role in CertificateRole)
    raise BadInput(f"{text!r} is no role of a certificate", (f"choose one of {known}",))


@attrs.frozen
class CertifiedIdentity:
    """Who somebody is. name  id of a node, or what a client calls itself"""

    cluster: str
    role: CertificateRole
    name: str

    def __attrs_post_init__(self) -> None:
        for what, text in (("cluster", self.cluster), ("name", self.name)):
            if not is_name(text):
                raise BadInput(f"the {what} {text[:80]!r} of a certificate", ("use letters, digits and inner . _ -",))

    @property
    def uri(self) -> str:
        return f"{SCHEME}://{self.cluster}/{self.role}/{self.name}"


def read_identity(uri: str) -> CertifiedIdentity:
    """The identity spelt by `uri`. Raises BadInput."""
    scheme, mark, rest = uri.partition("://")
    parts = rest.split("/")
    if scheme == SCHEME and mark and len(parts) == 3:
        cluster, role, name = parts
        if role in set(CertificateRole):
            return CertifiedIdentity(cluster, CertificateRole(role), name)
    raise BadInput(f"{uri[:200]!r} names nobody", (f"a certificate says {SCHEME}://CLUSTER/ROLE/NAME",))


@attrs.frozen
class Shown:
    """What a certificate that was shown says. serial  lower-case hexadecimal digits without leading zeros"""

    identity: CertifiedIdentity
    serial: str


def read_shown(described: Described) -> Shown:
    """What a certificate of this description says. Raises BadInput: there is none, or it names nobody or several."""
    if not described:
        raise BadInput("no certificate was shown", ("`aether ca issue` makes one",))
    names = cast("Collection[tuple[str, str]]", described.get("subjectAltName", ()))
    uris = [name for kind, name in names if kind == "URI"]
    if len(uris) != 1:
        raise BadInput(f"a certificate with {len(uris)} URIs names nobody; exactly one is expected")
    return Shown(read_identity(uris[0]), serial_text(str(described.get("serialNumber", ""))))


def serial_text(text: str) -> str:
    """The one spelling of a serial number, given in hexadecimal. Raises BadInput."""
    plain = text.replace(":", "").strip().lower().removeprefix("0x").lstrip("0")
    if not plain or len(plain) > 40 or set(plain) - set("0123456789abcdef"):
        raise BadInput(f"{text[:80]!r} is no serial number", ("it is up to 40 hexadecimal digits; see aether ca show",))
    return plain


def pin_text(text: str) -> str:
    """The one spelling of the digest of a public key; "" stays. Raises BadInput."""
    plain = text.replace(":", "").strip().lower()
    if plain and (len(plain) != 64 or set(plain) - set("0123456789abcdef")):
        raise BadInput(f"{text[:80]!r} is no digest of a key", ("it is 64 hexadecimal digits, the SHA-256 of it",))
    return plain


def judge_peer(described: Described, cluster: str, node: NodeId | str, revoked: Collection[str]) -> str:
    """Why whoever shows this certificate is no peer, "" when it is. node  who it says it is; "" = not said yet"""
    try:
        shown = read_shown(described)
    except BadInput as error:
        return str(error)
    identity = shown.identity
    if identity.cluster != cluster:
        return f"its certificate is of the cluster {identity.cluster!r}, not of {cluster!r}"
    if identity.role is not CertificateRole.NODE:
        return f"its certificate is that of a {identity.role}, and only nodes may use this port"
    if shown.serial in revoked:
        return f"its certificate {shown.serial} is revoked; `aether ca issue` or a join token gives it another"
    if node and identity.name != node:
        return f"its certificate is that of {identity.name}, and it says that it is {node}"
    return ""


def identify_client(described: Described, cluster: str, revoked: Collection[str]) -> str:
    """The URI of whoever shows this certificate, "" without one. Raises BadInput: it is not accepted."""
    if not described:
        return ""
    shown = read_shown(described)
    if shown.identity.cluster != cluster:
        raise BadInput(f"the certificate is of the cluster {shown.identity.cluster!r}, not of {cluster!r}")
    if shown.serial in revoked:
        raise BadInput(f"the certificate {shown.serial} is revoked")
    return shown.identity.uri
