"""`aether ca` by itself: an authority in a directory, and what it makes."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import sys
import threading
import time

import pytest

from aether.cli.main import run
from aether.security.authority import Authority
from aether.security.certificates import check_issued, read_bundle, read_certificate, revoked_serials
from aether.security.credentials_service import certificate_expiry
from aether.security.directory_service import CLIENT
from aether.security.join_token import check_token
from aether.testing.certificates import TestAuthority


@pytest.fixture
def home(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["ca", "init", "--cluster", "shop"]) == 0
    capsys.readouterr()
    return tmp_path


def shown(path, capsys):
    capsys.readouterr()
    assert run(["ca", "show", str(path), "-o", "json"]) == 0
    return json.loads(capsys.readouterr().out)["certificates"]


def test_the_key_of_an_authority_is_for_its_owner_alone(home):
    assert (home / "aether-ca" / "ca.key").stat().st_mode & 0o777 == 0o600
    assert b"PRIVATE KEY" not in (home / "aether-ca" / "ca.pem").read_bytes()


def test_an_authority_is_not_overwritten(home, capsys):
    before = (home / "aether-ca" / "ca.key").read_bytes()

    assert run(["ca", "init", "--cluster", "shop"]) == 2
    assert (home / "aether-ca" / "ca.key").read_bytes() == before


def test_a_node_gets_a_directory_that_says_who_it_is(home, capsys):
    assert run(["ca", "issue", "n1", "--out", "tls", "--host", "n1.example", "--host", "10.0.0.1"]) == 0

    authority, certificate = shown("tls", capsys)
    assert authority["kind"] == "authority"
    assert certificate["identity"] == "aether://shop/node/n1"
    assert certificate["hosts"] == "localhost, 127.0.0.1, ::1, n1.example, 10.0.0.1"
    assert (home / "tls" / "node.key").stat().st_mode & 0o777 == 0o600
    read = read_certificate((home / "tls" / "node.pem").read_bytes())
    check_issued(read, read_bundle((home / "tls" / "ca.pem").read_bytes()), read.not_before + 1_000)
    assert certificate_expiry(home / "tls") == read.not_after


@pytest.mark.parametrize("role", ["viewer", "proposer", "operator", "admin"])
def test_a_client_gets_a_certificate_that_serves_nobody(home, role):
    """It may not stand for a server: no EKU for that, and no host."""
    assert run(["ca", "issue", "ann", "--role", role, "--out", "ann"]) == 0

    read = read_certificate((home / "ann" / "client.pem").read_bytes())
    assert read.shown.identity.uri == f"aether://shop/client-{role}/ann"
    assert read.hosts == ()
    assert certificate_expiry(home / "ann", CLIENT) == read.not_after


def test_a_renewed_certificate_has_its_key_and_hosts_and_another_serial(home):
    run(["ca", "issue", "n1", "--out", "tls", "--host", "n1.example", "--life", "1h"])
    old, key = (home / "tls" / "node.pem").read_bytes(), (home / "tls" / "node.key").read_bytes()

    assert run(["ca", "renew", "tls", "--life", "90d"]) == 0

    before, after = read_certificate(old), read_certificate((home / "tls" / "node.pem").read_bytes())
    assert (home / "tls" / "node.key").read_bytes() == key
    assert after.hosts == before.hosts
    assert after.not_after > before.not_after
    assert after.shown.serial != before.shown.serial


def test_a_token_is_signed_and_names_the_authority(home):
    assert run(["ca", "token", "n4", "--host", "10.0.0.4", "--life", "30m", "--out", "n4.token"]) == 0

    authority = Authority(*((home / "aether-ca" / name).read_bytes() for name in ("ca.key", "ca.pem")))
    text = (home / "n4.token").read_text()
    token = check_token(text, authority, 0.0)
    assert (token.identity.name, token.hosts, token.pin) == ("n4", ("10.0.0.4",), authority.trusted.pin)
    assert (home / "n4.token").stat().st_mode & 0o777 == 0o600


def test_a_token_that_would_hold_for_long_is_refused(home, capsys):
    assert run(["ca", "token", "n4", "--life", "30d"]) == 2
    assert "7 days" in capsys.readouterr().err


def test_a_list_of_revoked_certificates_grows(home):
    for node in ("n1", "n2"):
        run(["ca", "issue", node, "--out", node])
        assert run(["ca", "revoke", f"{node}/node.pem", "--ca-dir", "aether-ca"]) == 0

    serials = [read_certificate((home / node / "node.pem").read_bytes()).shown.serial for node in ("n1", "n2")]
    folder = home / "aether-ca"
    assert revoked_serials((folder / "crl.pem").read_bytes(), (folder / "ca.pem").read_bytes()) == set(serials)


def test_a_successor_brings_the_authority_that_it_follows(home, capsys):
    assert run(["ca", "init", "--cluster", "shop", "--ca-dir", "new", "--successor-of", "aether-ca"]) == 0
    assert run(["ca", "issue", "n1", "--out", "tls", "--ca-dir", "new"]) == 0

    pins = [each["pin"] for each in shown("tls", capsys) if each["kind"] == "authority"]
    assert len(pins) == 2
    assert pins[1:] == [each["pin"] for each in shown("aether-ca", capsys) if each["kind"] == "authority"]


def test_without_an_authority_the_way_to_one_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["ca", "issue", "n1", "--out", "tls"]) == 2
    assert "aether ca init" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_node_whose_certificate_has_ended_is_told_with_what_renews_it(tmp_path, capsys):
    """Whoever asks at that hour has the right --tls and the right host: to look for either costs time."""
    authority = TestAuthority(tmp_path)
    folder = authority.issue("n1", made_s=time.time() - 7_200, life_s=3_600)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "node.pem", folder / "node.key")
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            with contextlib.suppress(OSError), listener.accept()[0] as one:
                context.wrap_socket(one, server_side=True)

        server = threading.Thread(target=serve)
        server.start()
        code = run(["status", "-c", f"127.0.0.1:{listener.getsockname()[1]}", "--ca", str(folder / "ca.pem")])
        server.join()
    said = capsys.readouterr().err
    assert code == 3
    assert "has expired" in said
    assert "aether ca renew" in said


@pytest.mark.parametrize("line", ["ca init", "ca issue n1 --out tls", "ca renew tls", "ca token n2", "ca show tls"])
def test_without_the_library_each_command_says_how_to_get_it(home, monkeypatch, capsys, line):
    """Extra `cli` alone does not bring it: a traceback would look like a broken installation."""
    assert run(["ca", "issue", "n0", "--out", "tls"]) == 0
    (home / "aether-ca").rename(home / "before") if line == "ca init" else None
    for name in [*sys.modules]:
        if name.partition(".")[0] == "cryptography" or name.startswith("aether.security."):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    capsys.readouterr()

    assert run(line.split()) == 2
    assert capsys.readouterr().err == (
        "aether: TLS needs the library `cryptography`\n  pip install 'cryptography>=44'\n"
    )
