"""`aether ca`: the authority of a cluster, its certificates and join tokens; all but `revoke` work without a node.

Knows: the directory of an authority, directories of nodes and clients.
Never: X.509 (room security); shows a private key.
"""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from aether.cli.connection import Connection
from aether.cli.exits import CommandFailed, Exit
from aether.cli.options import Settings, settings, shared
from aether.cli.output import show
from aether.cli.times import SPAN, local_time
from aether.security.directory_service import (
    AUTHORITIES,
    AUTHORITY_KEY,
    CLIENT,
    NODE,
    REVOKED,
    certificate_file,
    key_file,
    read_file,
    read_key,
    read_optional,
    write_file,
)
from aether.security.identity import CertificateRole, CertifiedIdentity, certificate_role, serial_text
from aether.security.join_token import TOKEN_LIFE_MAX_S, JoinToken, spell_token

if TYPE_CHECKING:
    from aether.security.authority import Authority

DAY_S: Final = 86_400.0
ISSUED_FILE: Final = "issued.txt"  # what was issued here: serial, identity, end
_ALWAYS: Final = ("localhost", "127.0.0.1", "::1")
_COLUMNS: Final = ["file", "kind", "identity", "serial", "ends", "days", "issuer", "hosts", "pin"]

_ca_dir = click.option(
    "--ca-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("aether-ca"),
    metavar="DIR",
    help="Where the authority is [aether-ca].",
)
_hosts = click.option("--host", "hosts", multiple=True, help="A name or address clients use; may be repeated.")
_role = click.option(
    "--role",
    type=click.Choice([role.value.removeprefix("client-") for role in CertificateRole]),
    default=NODE,
    help="A node, or a client of the admin API with this role [node].",
)


@click.group()
@shared
def ca(**_: Any) -> None:
    """The authority of a cluster: certificates for nodes and clients, join tokens.

    The key of the authority stays in the directory of `aether ca init`, or where --ca-key of a node says: keep it off
    machines that need it not.
    """


@ca.command()
@click.option("--cluster", default="aether", help="Name of the cluster [aether]; nodes of another one are refused.")
@_ca_dir
@click.option("--life", "life_s", type=SPAN, default="3650d", help="How long the authority holds [3650d].")
@click.option(
    "--successor-of",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="The authority that this one follows: both are believed until the old one is taken out of ca.pem.",
)
@shared
def init(cluster: str, ca_dir: Path, life_s: float, successor_of: Path | None, **_: Any) -> None:
    """Make an authority: a key, and a certificate that everybody may know."""
    from aether.security.authority import create_authority
    from aether.security.certificates import merged_bundle

    if (ca_dir / AUTHORITY_KEY).exists():
        raise CommandFailed(Exit.USAGE, f"{ca_dir} holds an authority already", "give another --ca-dir")
    key, certificate = create_authority(cluster, time.time(), life_s)
    bundle = certificate
    if successor_of is not None:
        bundle = merged_bundle(certificate, read_file(successor_of / AUTHORITIES), time.time())
    write_file(ca_dir / AUTHORITY_KEY, key, private=True)
    write_file(ca_dir / AUTHORITIES, bundle)
    write_file(ca_dir / "cluster", f"{cluster}\n".encode())
    click.echo(f"{ca_dir}: the authority of {cluster}. {AUTHORITY_KEY} is its secret; give {AUTHORITIES} to everybody.")


@ca.command()
@click.argument("name")
@_role
@_hosts
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, metavar="DIR")
@click.option("--life", "life_s", type=SPAN, default="90d", help="How long it holds [90d].")
@_ca_dir
@shared
def issue(name: str, role: str, hosts: tuple[str, ...], out: Path, life_s: float, ca_dir: Path, **_: Any) -> None:
    """Make key and certificate of NAME in a directory, for --tls: offline, no node is asked."""
    from aether.security.authority import new_key, public_key_of

    authority, cluster = _authority(ca_dir)
    identity = CertifiedIdentity(cluster, certificate_role(role), name)
    owner = NODE if identity.role is CertificateRole.NODE else CLIENT
    if key_file(out, owner).exists():
        raise CommandFailed(Exit.USAGE, f"{out} holds a certificate already", "renew it with aether ca renew")
    key = new_key()
    names = (*_ALWAYS, *hosts) if owner == NODE else ()
    certificate = authority.issue(public_key_of(key), identity, names, time.time(), life_s)
    write_file(key_file(out, owner), key, private=True)
    write_file(out / AUTHORITIES, read_file(ca_dir / AUTHORITIES))
    write_file(certificate_file(out, owner), certificate)
    _note(ca_dir, certificate)
    click.echo(f"{out}: the certificate of {identity.uri}, for {life_s / DAY_S:g} days")


@ca.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--life", "life_s", type=SPAN, default="90d", help="How long it holds [90d].")
@_ca_dir
@shared
def renew(directory: Path, life_s: float, ca_dir: Path, **_: Any) -> None:
    """Sign the certificate in DIRECTORY anew, with its key and hosts. A running node takes it within seconds."""
    from aether.security.certificates import merged_bundle, public_key_in, read_certificate

    authority, cluster = _authority(ca_dir)
    owner = CLIENT if certificate_file(directory, CLIENT).exists() else NODE
    old = read_certificate(read_file(certificate_file(directory, owner)))
    if old.shown.identity.cluster != cluster:
        raise CommandFailed(Exit.REFUSED, f"{old.shown.identity.uri} is of another cluster than {cluster}")
    certificate = authority.issue(public_key_in(old), old.shown.identity, old.hosts, time.time(), life_s)
    authorities = merged_bundle(read_file(ca_dir / AUTHORITIES), read_file(directory / AUTHORITIES), time.time())
    write_file(directory / AUTHORITIES, authorities)
    write_file(certificate_file(directory, owner), certificate)
    _note(ca_dir, certificate)
    click.echo(f"{directory}: {old.shown.identity.uri}, for {life_s / DAY_S:g} days")


@ca.command()
@click.argument("what", metavar="SERIAL|FILE")
@click.option("--reason", default="", help="For people who read the list.")
@click.option(
    "--ca-dir",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write crl.pem in this directory instead, to be copied beside ca.pem of each node.",
)
@shared
@click.pass_context
def revoke(context: click.Context, /, what: str, reason: str, ca_dir: Path | None, **_: Any) -> None:
    """Let the cluster accept a certificate no more; connections that show it end within seconds."""
    serial, identity, expires_at, key = _meant(what)
    here = settings(context)
    if ca_dir is not None:
        _revoke_offline(ca_dir, serial)
        click.echo(f"{ca_dir / REVOKED}: copy it beside ca.pem of each node")
        return
    body: dict[str, Any] = {"serial": serial, "identity": identity, "reason": reason}
    body |= {} if expires_at is None else {"expiresAt": expires_at, "key": key}
    answer = Connection(here).post("/certificates/revoke", body)
    show(here, answer, [answer], ["status", "serial", "revision"])


@ca.command()
@click.argument("node_id")
@_hosts
@click.option("--life", "life_s", type=SPAN, default="1h", help="How long it may be used [1h], once.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write it there [print].")
@_ca_dir
@shared
def token(node_id: str, hosts: tuple[str, ...], life_s: float, out: Path | None, ca_dir: Path, **_: Any) -> None:
    """Make a join token: by it the node NODE_ID gets its first certificate, from a node with --ca-key. A secret."""
    if life_s > TOKEN_LIFE_MAX_S:
        raise CommandFailed(Exit.USAGE, f"a join token holds for {TOKEN_LIFE_MAX_S / DAY_S:g} days at most")
    authority, cluster = _authority(ca_dir)
    identity = CertifiedIdentity(cluster, CertificateRole.NODE, node_id)
    made = JoinToken(secrets.token_hex(8), identity, authority.trusted.pin, int(time.time() + life_s), hosts)
    text = spell_token(made, authority)
    if out is None:
        click.echo(text)
        return
    write_file(out, text.encode() + b"\n", private=True)
    click.echo(f"{out}: for {node_id}, until {local_time(made.expires_at)}")


@ca.command("show")
@click.argument("path", type=click.Path(path_type=Path), default=Path("aether-ca"))
@shared
@click.pass_context
def show_certificates(context: click.Context, /, path: Path, **_: Any) -> None:
    """The certificates in a directory or a file: whose they are, until when, under which names."""
    here = settings(context)
    if path.is_file():
        show(here, *_listed(here, _facts(path, authorities=path.name == AUTHORITIES)))
        return
    found: list[dict[str, Any]] = []
    for file in (path / AUTHORITIES, certificate_file(path, NODE), certificate_file(path, CLIENT)):
        if file.exists():
            found += _facts(file, authorities=file.name == AUTHORITIES)
    if not found:
        raise CommandFailed(Exit.USAGE, f"there are no certificates in {path}", "name the directory, or a file")
    for line in (read_optional(path / ISSUED_FILE) or b"").decode().splitlines():
        serial, identity, ends = line.split(" ", 2)
        found.append(
            {"file": ISSUED_FILE, "kind": "issued", "serial": serial, "identity": identity, **_ends(float(ends))}
        )
    show(here, *_listed(here, found))


def _listed(here: Settings, found: list[dict[str, Any]]) -> tuple[dict[str, Any], list[dict[str, Any]], list[str]]:
    columns = [name for name in _COLUMNS if any(name in row for row in found)]
    return {"certificates": found}, found, columns


def _facts(file: Path, *, authorities: bool) -> list[dict[str, Any]]:
    from aether.security.certificates import read_bundle, read_certificate

    if authorities:
        return [
            {"file": file.name, "kind": "authority", "identity": each.name, "pin": each.pin, **_ends(each.not_after)}
            for each in read_bundle(read_file(file))
        ]
    read = read_certificate(read_file(file))
    who = {
        "identity": read.shown.identity.uri,
        "serial": read.shown.serial,
        "hosts": ", ".join(read.hosts),
        "issuer": read.issuer,
    }
    return [{"file": file.name, "kind": "certificate", **who, **_ends(read.not_after)}]


def _ends(at: float) -> dict[str, Any]:
    return {"ends": local_time(at), "days": round((at - time.time()) / DAY_S, 1)}


def _authority(ca_dir: Path) -> tuple[Authority, str]:
    from aether.security.authority import Authority

    if not (ca_dir / AUTHORITY_KEY).exists():
        raise CommandFailed(Exit.USAGE, f"there is no authority in {ca_dir}", "`aether ca init` makes one; or --ca-dir")
    authority = Authority(read_key(ca_dir / AUTHORITY_KEY), read_file(ca_dir / AUTHORITIES))
    return authority, read_file(ca_dir / "cluster").decode().strip()


def _note(ca_dir: Path, certificate: bytes) -> None:
    """Remember what was issued: it can be revoked when its file is lost."""
    from aether.security.certificates import read_certificate

    read = read_certificate(certificate)
    with (ca_dir / ISSUED_FILE).open("a") as file:
        file.write(f"{read.shown.serial} {read.shown.identity.uri} {read.not_after:.0f}\n")


def _meant(what: str) -> tuple[str, str, float | None, str]:
    """Serial, identity, end and digest of the key of the certificate in a file, or what a serial number tells."""
    path = Path(what)
    if not path.is_file():
        return serial_text(what), "", None, ""
    from aether.security.certificates import pin_in, read_certificate

    read = read_certificate(read_file(path))
    return read.shown.serial, read.shown.identity.uri, read.not_after, pin_in(read)


def _revoke_offline(ca_dir: Path, serial: str) -> None:
    from aether.security.certificates import revoked_serials

    authority, _ = _authority(ca_dir)
    known = read_optional(ca_dir / REVOKED)
    before = frozenset[str]() if known is None else revoked_serials(known, read_file(ca_dir / AUTHORITIES))
    write_file(ca_dir / REVOKED, authority.revocations({*before, serial}, time.time()))
