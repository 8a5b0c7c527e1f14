"""Nodes with certificates, over real sockets: joining by a token, renewal under load, revocation, every port."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path

import httpx
import pytest
import trio

import aether
from aether.errors import BadInput
from aether.kv import keys
from aether.kv.codec import Codec
from aether.kv.commands import Batch, Put
from aether.model.limits import REFUSAL_WORDS_MAX
from aether.node import first_certificate
from aether.node.certification import read_line
from aether.security import contexts_service
from aether.security.authority import certificate_request, new_key
from aether.security.certificates import pin_in, public_key_in, read_certificate
from aether.security.directory_service import (
    AUTHORITIES,
    CLIENT,
    NODE,
    certificate_file,
    key_file,
    read_file,
    write_file,
)
from aether.security.enrolment import Enrolment, read_answer, spell_enrolment
from aether.security.messages import RenewalReply
from aether.testing.certificates import HOUR_S, TestAuthority
from aether.transport.link import connect
from aether.transport.secured import secure


@aether.slice(artifact="t:echo:1.0.0")
class Echo:
    @aether.method(idempotent=False)
    async def echo(self, number: int) -> int:
        return number


@pytest.fixture
def ca(tmp_path) -> TestAuthority:
    return TestAuthority(tmp_path / "ca")


def serial(directory) -> str:
    return read_certificate(read_file(certificate_file(directory, NODE))).shown.serial


def first(ca, tmp_path, **more):
    """Opens the node n1, alone and an issuer."""
    directory = more.pop("tls", None) or ca.issue("n1")
    return aether.Cluster.open(
        Echo,
        name="n1",
        cluster="shop",
        data=tmp_path / "n1",
        port=0,
        management=0,
        tls=directory,
        ca_key=ca.key_path,
        **more,
    )


def second(tmp_path, cluster, **more):
    """Opens a node that joins `cluster`."""
    address = cluster.addresses.cluster_address
    return aether.Cluster.open(name="n2", cluster="shop", join=address, **more)


def client(ca, directory=None) -> httpx.AsyncClient:
    context = contexts_service.web_client(ca.home / AUTHORITIES, directory)
    return httpx.AsyncClient(verify=context, trust_env=False)


async def until(condition, seconds=15):
    with trio.fail_after(seconds):
        while not condition():
            await trio.sleep(0.02)


async def test_a_node_without_a_certificate_gets_one_by_a_token_and_joins(ca, tmp_path):
    """Its key is made at home, readable by nobody else."""
    home = tmp_path / "tls-n2"
    async with first(ca, tmp_path) as n1:
        async with second(tmp_path, n1, tls=home, join_token=ca.token("n2")) as n2:
            assert await n2.get(Echo).echo(7) == 7

    certificate = read_certificate(read_file(certificate_file(home, NODE)))
    assert certificate.shown.identity.uri == "aether://shop/node/n2"
    assert key_file(home, NODE).stat().st_mode & 0o777 == 0o600
    assert {path.name for path in home.iterdir()} == {"ca.pem", "node.pem", "node.key"}


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (lambda ca: ca.token("n3"), "the join token is for aether://shop/node/n3"),
        (lambda ca: ca.token("n2", life_s=-60), "expired"),
        (lambda ca: TestAuthority(ca.home.parent / "other").token("n2"), "does not have the authority"),
    ],
)
async def test_a_token_that_does_not_fit_gets_nothing(ca, tmp_path, made, why):
    async with first(ca, tmp_path) as n1:
        with pytest.raises(BadInput, match=why):
            async with second(tmp_path, n1, tls=tmp_path / "tls-n2", join_token=made(ca)):
                pass

    assert not certificate_file(tmp_path / "tls-n2", NODE).exists()


async def test_a_token_certifies_one_key_and_that_one_as_often_as_its_answer_is_lost(ca, tmp_path):
    token = ca.token("n2")
    async with first(ca, tmp_path) as n1:
        node = n1._node
        config = _joining(tmp_path / "once", token, n1)
        await first_certificate.ensure_certificate(config, node._seams.work, time.time)
        certificate_file(tmp_path / "once", NODE).unlink()
        await first_certificate.ensure_certificate(config, node._seams.work, time.time)  # the same key

        with pytest.raises(BadInput, match="used already"):
            await first_certificate.ensure_certificate(
                _joining(tmp_path / "thief", token, n1), node._seams.work, time.time
            )


def _joining(directory, token, cluster):
    from aether.node.config import NodeConfig

    return NodeConfig(
        node="n2", cluster="shop", join=(cluster.addresses.cluster_address,), port=0, tls=directory, join_token=token
    )  # fmt: skip


async def test_a_node_that_is_no_issuer_signs_nothing(ca, tmp_path, monkeypatch):
    monkeypatch.setattr(first_certificate, "GIVE_UP_S", 1.0)
    async with aether.Cluster.open(name="n1", cluster="shop", port=0, tls=ca.issue("n1")) as n1:
        with pytest.raises(BadInput, match="--ca-key"):
            async with second(tmp_path, n1, tls=tmp_path / "tls-n2", join_token=ca.token("n2")):
                pass


async def test_an_issuer_lets_nobody_without_a_certificate_into_its_lanes(ca, tmp_path):
    """It takes such connections for enrolments alone: one that says it is a lane is refused by its hello."""
    import ssl

    from aether.transport.link import connect
    from aether.transport.secured import secure
    from aether.wire.lane import Lane
    from aether.wire.session import DiallingSession, Hello, Identity, Refused

    context = contexts_service.newcomer_client()
    context.set_alpn_protocols([contexts_service.LANES])
    assert context.verify_mode is ssl.CERT_NONE
    async with first(ca, tmp_path) as n1:
        link = await secure(await connect(n1.addresses.cluster_address), context, "n1")
        session = DiallingSession(
            Hello(Identity(cluster="shop", node="n2", store="s", incarnation="i"), "n1", Lane.BULK)
        )
        await link.send(session.opening())
        with trio.fail_after(5), pytest.raises(Refused, match="no certificate was shown"):
            session.feed(await link.receive())
        link.close()
        assert n1._node.transport.statistics().refused == {"certificate": 1}


async def test_certificates_are_renewed_under_load_without_a_failed_call(ca, tmp_path, monkeypatch):
    """Both are past two thirds of their life: the issuer signs for itself, and for the other that asks it."""
    monkeypatch.setattr("aether.security.renewal_manager.LOOK_S", 0.05)
    old = ca.issue("n1", made_s=time.time() - 0.9 * HOUR_S), ca.issue("n2", made_s=time.time() - 0.8 * HOUR_S)
    before = serial(old[0]), serial(old[1])
    calls = 0
    async with first(ca, tmp_path, tls=old[0]) as n1, second(tmp_path, n1, tls=old[1]) as n2:
        remote = n2.get(Echo)
        while calls < 300 or serial(old[0]) == before[0] or serial(old[1]) == before[1]:
            assert await remote.echo(calls) == calls
            calls += 1
            assert calls < 30_000, "nothing was renewed"
        for node in (n1, n2):
            loaded = node._node._certification.credentials
            await until(lambda loaded=loaded: loaded.certificate.not_after > time.time() + HOUR_S)
        assert await remote.echo(1) == 1
        # Lanes that the old certificates opened outlive these: each node has told of its next one.
        for node, other in ((n1, "n2"), (n2, "n1")):
            loaded = node._node._certification.credentials
            await until(lambda loaded=loaded, other=other: loaded.newest(other) is not None, 40)
            monkeypatch.setattr(loaded, "_wall", lambda: time.time() + 2 * HOUR_S)
            node._node.transport.recheck()
        assert await remote.echo(2) == 2
        assert n1._node.transport.statistics().reconnects == n2._node.transport.statistics().reconnects == 0
        assert not n1._node.transport.statistics().closed


async def test_a_revocation_by_the_cluster_ends_the_lanes_of_that_node(ca, tmp_path):
    directory, ann = ca.issue("n2"), ca.issue("ann", "admin", owner=CLIENT)
    async with first(ca, tmp_path) as n1, client(ca, ann) as http:
        # not a voter, so that n1 keeps its majority; cancelled at the end, as it can tell nobody that it leaves
        with trio.CancelScope() as scope:
            async with second(tmp_path, n1, tls=directory):
                assert n1._node.transport.connected() == {"n2"}
                url = f"https://{n1.addresses.management_address}/certificates/revoke"
                answer = await http.post(url, json={"serial": serial(directory)})
                assert answer.status_code == 200, answer.text
                await until(lambda: not n1._node.transport.connected(), 5)
                await until(lambda: n1._node.transport.statistics().refused.get("certificate"), 10)
                scope.cancel()
                await trio.sleep_forever()


async def test_a_revoked_key_ends_every_certificate_of_it(ca, tmp_path):
    """The file at hand is older than what the node shows by now: it has renewed, with the same key."""
    directory, ann = ca.issue("n2"), ca.issue("ann", "admin", owner=CLIENT)
    old = read_certificate(read_file(certificate_file(directory, NODE)))
    renewed = ca.authority.issue(
        public_key_in(old), old.shown.identity, ("localhost", "127.0.0.1"), time.time(), 2 * HOUR_S
    )
    write_file(certificate_file(directory, NODE), renewed)
    async with first(ca, tmp_path) as n1, client(ca, ann) as http:
        with trio.CancelScope() as scope:
            async with second(tmp_path, n1, tls=directory):
                url = f"https://{n1.addresses.management_address}/certificates/revoke"
                answer = await http.post(url, json={"serial": old.shown.serial})
                assert answer.status_code == 200, answer.text
                assert n1._node.transport.connected() == {"n2"}, "that one certificate, which nobody shows"
                answer = await http.post(url, json={"serial": old.shown.serial, "key": pin_in(old)})
                assert answer.status_code == 200, answer.text
                await until(lambda: not n1._node.transport.connected(), 5)
                await until(lambda: n1._node.transport.statistics().refused.get("certificate"), 10)
                with pytest.raises(BadInput, match="key was revoked"):
                    n1._node._certification._issuer.renew(renewed, "n2")
                scope.cancel()
                await trio.sleep_forever()


async def test_a_revocation_that_cannot_be_read_is_in_force(ca, tmp_path):
    """A row of another release names the serial number in its key: to let the certificate in would fail open."""
    directory = ca.issue("n2")
    async with first(ca, tmp_path) as n1:
        with trio.CancelScope() as scope:
            async with second(tmp_path, n1, tls=directory):
                assert n1._node.transport.connected() == {"n2"}
                row = keys.revoked(serial(directory))._replace(codec=Codec(lambda raw: raw, bytes))
                await n1.kv.propose(Batch((), (Put(row, b"of another release"),)))
                await until(lambda: not n1._node.transport.connected(), 5)
                await until(lambda: n1._node.transport.statistics().refused.get("certificate"), 10)
                scope.cancel()
                await trio.sleep_forever()


async def test_a_lane_does_not_outlive_the_certificate_that_opened_it(ca, tmp_path, monkeypatch):
    """A lane lives for months, and TLS looks at a certificate once."""
    monkeypatch.setattr("aether.security.renewal_manager.EXPIRED_LOOK_S", 0.05)
    async with first(ca, tmp_path, tls=ca.issue("n1")) as n1:
        with trio.CancelScope() as scope:
            async with second(tmp_path, n1, tls=ca.issue("n2")):
                assert n1._node.transport.connected() == {"n2"}
                credentials = n1._node._certification.credentials
                monkeypatch.setattr(credentials, "_wall", lambda: time.time() + 2 * HOUR_S)
                await until(lambda: not n1._node.transport.connected(), 5)
                scope.cancel()
                await trio.sleep_forever()


async def test_a_member_cannot_plant_an_authority_by_a_renewal(ca, tmp_path, monkeypatch, caplog):
    """Whoever answers names a certificate and never whom to believe; who lies is passed over."""
    monkeypatch.setattr("aether.security.renewal_manager.LOOK_S", 0.05)
    planted = TestAuthority(tmp_path / "planted")
    old = ca.issue("n2", made_s=time.time() - 0.8 * HOUR_S)
    before, believed = serial(old), read_file(old / AUTHORITIES)

    def lie(sender, request):
        shown = read_certificate(request.certificate)
        forged = planted.authority.issue(
            public_key_in(shown), shown.shown.identity, ("127.0.0.1",), time.time(), 9 * HOUR_S
        )
        keeper._send(sender, RenewalReply(forged, planted.certificate + ca.certificate))
        lied.set()

    lied = trio.Event()
    async with aether.Cluster.open(Echo, name="n1", cluster="shop", port=0, tls=ca.issue("n1")) as n1:
        keeper = n1._node._certification._keeper
        keeper.asked = lie
        async with second(tmp_path, n1, tls=old) as n2:
            with trio.fail_after(10):
                await lied.wait()
            await until(lambda: n2._node._certification._keeper._asks_again_at > 0)

    assert (serial(old), read_file(old / AUTHORITIES)) == (before, believed)
    assert "does not take" in caplog.text


async def test_a_spent_token_is_remembered_for_issuers_whose_clocks_are_behind(ca, tmp_path):
    """A fast clock forgot the token as expired, and a slow one took it for good and unused."""
    async with first(ca, tmp_path) as n1:
        issuer = n1._node._certification._issuer
        token = read_file(ca.token("n2")).decode()
        await issuer.enrol(Enrolment(token, certificate_request(new_key())))
        issuer._wall = lambda: time.time() + 2 * HOUR_S
        later = read_file(ca.token("n3", life_s=3 * HOUR_S, number="def456")).decode()
        await issuer.enrol(Enrolment(later, certificate_request(new_key())))
        issuer._wall = lambda: time.time() - 60

        with pytest.raises(aether.Rejected, match="used already"):
            await issuer.enrol(Enrolment(token, certificate_request(new_key())))


async def test_a_connection_does_not_outlive_the_certificate_that_opened_it(ca, tmp_path, monkeypatch):
    """Whoever asks all the time keeps its connection, and TLS looks at a certificate once."""
    monkeypatch.setattr("aether.security.renewal_manager.EXPIRED_LOOK_S", 0.05)
    ann = ca.issue("ann", "viewer", owner=CLIENT)
    async with first(ca, tmp_path) as n1, client(ca, ann) as http:
        url = f"https://{n1.addresses.management_address}/status"
        assert (await http.get(url)).status_code == 200
        monkeypatch.setattr(n1._node._certification.credentials, "_wall", lambda: time.time() + 2 * HOUR_S)
        await trio.sleep(0.2)

        answer = await http.get(url)  # over a new connection: the live one was cut

        assert answer.status_code == 403
        assert "expired" in answer.text


async def test_strangers_who_ask_for_certificates_in_vain_fill_no_log(ca, tmp_path, caplog):
    """They need nothing for it, and choose the words."""
    async with first(ca, tmp_path) as n1:
        for number in range(2 * REFUSAL_WORDS_MAX):
            said = base64.urlsafe_b64encode(json.dumps({"role": f"king-{number}"}).encode()).decode().rstrip("=")
            address = n1.addresses.cluster_address
            link = await secure(await connect(address), contexts_service.newcomer_client(), "127.0.0.1")
            await read_line(link)
            await link.send(spell_enrolment(Enrolment(f"aether-join-1.{said}.", certificate_request(new_key()))))
            with pytest.raises(BadInput, match=f"king-{number}'"):
                read_answer(await read_line(link))
            link.close()
    told = [record for record in caplog.records if "gets no certificate" in record.getMessage()]
    assert len(told) == REFUSAL_WORDS_MAX + 1


async def test_a_token_of_another_cluster_of_the_same_authority_certifies_nobody(ca, tmp_path):
    """Spent there, it would still be good here."""
    ca.cluster = "bank"
    token = read_file(ca.token("n2")).decode()
    ca.cluster = "shop"
    async with first(ca, tmp_path) as n1:
        with pytest.raises(BadInput, match="is for the cluster bank"):
            await n1._node._certification._issuer.enrol(Enrolment(token, certificate_request(new_key())))


async def test_a_list_in_a_file_revokes_at_every_port(ca, tmp_path, monkeypatch):
    monkeypatch.setattr("aether.security.renewal_manager.LOOK_S", 0.05)
    home, ann = ca.issue("n1"), ca.issue("ann", "viewer", owner=CLIENT)
    async with first(ca, tmp_path, tls=home) as n1, client(ca, ann) as http:
        url = f"https://{n1.addresses.management_address}/status"
        assert (await http.get(url)).status_code == 200
        read = read_certificate(read_file(certificate_file(ann, CLIENT)))
        write_file(home / "crl.pem", ca.authority.revocations({read.shown.serial}, time.time()))
        await until(lambda: read.shown.serial in n1._node._certification.credentials.all_revoked)
        await trio.sleep(0.1)

        answer = await http.get(url)  # over a new connection: the live one was cut

        assert answer.status_code == 403
        assert "revoked" in answer.text


async def test_a_list_that_could_not_be_read_for_a_moment_counts_after_it(ca, tmp_path, monkeypatch, caplog):
    """Such as for want of file descriptors: nobody touches the file again, and whom it revokes must not stay."""
    monkeypatch.setattr("aether.security.renewal_manager.LOOK_S", 0.05)
    home, busy = ca.issue("n1"), []

    def read(path):
        if busy and path.name == "crl.pem":
            busy.append(path)
            raise BadInput(f"cannot read {path}", ("Too many open files",))
        return read_file(path)

    monkeypatch.setattr("aether.security.directory_service.read_file", read)
    async with first(ca, tmp_path, tls=home) as n1:
        credentials = n1._node._certification.credentials
        busy.append(home)
        write_file(home / "crl.pem", ca.authority.revocations({"abc"}, time.time()))
        await until(lambda: len(busy) > 3)
        assert "abc" not in credentials.all_revoked
        busy.clear()
        await until(lambda: "abc" in credentials.all_revoked)
    assert caplog.text.count("Too many open files") == 1, "it is told once, however often it is tried"


@pytest.mark.parametrize("left", ["", "cut off", "another kind"])
async def test_a_list_that_is_none_leaves_the_one_before(ca, tmp_path, monkeypatch, caplog, left):
    """A list that is being copied, or was copied in another form, must not let in whom it revokes."""
    monkeypatch.setattr("aether.security.renewal_manager.LOOK_S", 0.05)
    home = ca.issue("n1")
    listed = ca.authority.revocations({"abc"}, time.time())
    write_file(home / "crl.pem", listed)
    async with first(ca, tmp_path, tls=home) as n1:
        credentials = n1._node._certification.credentials
        assert "abc" in credentials.all_revoked
        write_file(home / "crl.pem", {"": b"", "cut off": listed[:10], "another kind": bytes(200)}[left])
        await until(lambda: "the ones before still count" in caplog.text)
        assert "abc" in credentials.all_revoked
        write_file(home / "crl.pem", ca.authority.revocations({"abc", "def"}, time.time()))
        await until(lambda: "def" in credentials.all_revoked)


@pytest.mark.parametrize(
    ("role", "read", "change"), [("viewer", 200, 403), ("operator", 200, 200), ("admin", 200, 200)]
)
async def test_a_client_s_certificate_is_who_it_is_at_the_management_port(ca, tmp_path, role, read, change):
    ann = ca.issue("ann", role, owner=CLIENT)
    async with first(ca, tmp_path) as n1, client(ca, ann) as http:
        url = f"https://{n1.addresses.management_address}"
        assert (await http.get(f"{url}/status")).status_code == read
        answer = await http.post(f"{url}/scale", json={"artifact": "t:echo", "instances": 1})

        assert answer.status_code == change, answer.text


async def test_a_node_s_certificate_has_no_say_at_the_management_port(ca, tmp_path):
    node = ca.issue("n9", folder="n9-as-client", owner=CLIENT)
    async with first(ca, tmp_path) as n1, client(ca, node) as http:
        answer = await http.get(f"https://{n1.addresses.management_address}/status")

    assert answer.status_code in (401, 403)


async def test_the_http_port_speaks_tls_or_is_plain_on_purpose(ca, tmp_path):
    async with first(ca, tmp_path, http=0) as n1, client(ca) as http:
        assert n1.http_url.startswith("https://")
        assert (await http.get(f"{n1.http_url}/openapi.json")).status_code == 200


async def test_a_directory_of_another_node_is_refused_at_the_start(ca, tmp_path):
    with pytest.raises(BadInput, match="aether://shop/node/n7"):
        async with first(ca, tmp_path, tls=ca.issue("n7")):
            pass


async def test_a_key_that_others_may_read_is_refused_at_the_start(ca, tmp_path):
    directory = ca.issue("n1")
    key_file(directory, NODE).chmod(0o644)
    with pytest.raises(BadInput, match="others may read"):
        async with first(ca, tmp_path, tls=directory):
            pass


async def test_files_that_do_not_fit_leave_what_was_in_force(ca, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("aether.security.renewal_manager.LOOK_S", 0.05)
    directory = ca.issue("n1")
    async with first(ca, tmp_path, tls=directory) as n1, client(ca) as http:
        write_file(certificate_file(directory, NODE), read_file(certificate_file(ca.issue("n8"), NODE)))
        await until(lambda: "do not fit" in caplog.text)

        assert (await http.get(f"https://{n1.addresses.management_address}/status")).status_code == 200


def test_nodes_and_clients_share_one_place_where_contexts_are_made():
    """A second place would be the second listener that forgot the list of revoked certificates."""
    sources = {path.name: path.read_text() for path in Path(aether.__file__).parent.rglob("*.py")}
    makers = [name for name, text in sources.items() if "SSLContext(" in text or "create_default_context" in text]

    assert makers == ["contexts_service.py"]
