"""Who may talk over lanes: every kind of wrong certificate, over real sockets, from both sides."""

from __future__ import annotations

import contextlib
import logging
import ssl
import time
from pathlib import Path

import pytest
import trio

from aether.model.ids import NodeId
from aether.security import contexts_service
from aether.security.directory_service import AUTHORITIES, NODE, certificate_file, key_file, read_file
from aether.security.identity import judge_peer
from aether.testing.certificates import HOUR_S, TestAuthority
from aether.transport.secured import Wrap


@pytest.fixture
def ca(tmp_path) -> TestAuthority:
    return TestAuthority(tmp_path / "ca")


class Side:
    """How one node is secured: what it shows, whom it believes, what it knows as revoked."""

    def __init__(self, directory: Path, authorities: Path | None = None, cluster: str = "shop") -> None:
        self.revoked: set[str] = set()
        self.cluster = cluster
        believed = read_file((authorities or directory) / AUTHORITIES)
        files = certificate_file(directory, NODE), key_file(directory, NODE)
        self.server = contexts_service.peer_server(believed, *files)
        self.client = contexts_service.peer_client(believed, *files)
        self.wrap = Wrap(server=lambda: self.server, client=lambda: self.client, check=self.check)

    def check(self, described, node):
        return judge_peer(described, self.cluster, node, self.revoked)


async def until(condition):
    with trio.fail_after(10):
        while not condition():
            await trio.sleep(0.01)


def refusals(node):
    return node.transport.statistics().refused


async def start(world, name, side):
    world.options = {"wrap": side.wrap}
    return await world.start(name)


async def test_nodes_with_their_certificates_are_connected(tcp_world, ca):
    a = await start(tcp_world, "a", Side(ca.issue("a")))
    b = await start(tcp_world, "b", Side(ca.issue("b")))
    a.transport.set_peer("b", b.address)

    await a.until_connected("b")
    await b.until_connected("a")
    assert a.transport.send("b", tcp_world.Note("hello"))
    await b.until_received(1)


WRONG = {
    "expired": lambda ca: ca.issue("b", made_s=time.time() - 3 * HOUR_S),
    "not yet valid": lambda ca: ca.issue("b", made_s=time.time() + 3 * HOUR_S),
    "other cluster": lambda ca: ca.issue("b", cluster="bank"),
    "client": lambda ca: ca.issue("b", "client-admin"),
    "self-signed": lambda ca: ca.issue_uris("b", ["aether://shop/node/b"], signed_by_itself=True),
    "two URIs": lambda ca: ca.issue_uris("b", ["aether://shop/node/b", "aether://shop/node/c"]),
    "a URI of another kind beside it": lambda ca: ca.issue_uris("b", ["aether://shop/node/b", "spiffe://x/y"]),
    "no URI": lambda ca: ca.issue_uris("b", []),
    "a foreign URI": lambda ca: ca.issue_uris("b", ["spiffe://shop/node/b"]),
    "another node's": lambda ca: ca.issue("c", folder="b"),
    "another authority's": lambda ca: TestAuthority(ca.home.parent / "other").issue("b"),
}


@pytest.mark.parametrize("dials", ["wrong", "right"])
@pytest.mark.parametrize("kind", WRONG)
async def test_a_wrong_certificate_opens_no_lane(tcp_world, ca, kind, dials, caplog):
    """Whoever dials: the one with the right certificate refuses, says why in its log, and counts it.

    Where the wrong one accepts, it may as well refuse: nobody is connected in any case.
    """
    caplog.set_level(logging.INFO, "aether.transport")
    right = Side(ca.issue("a"))
    wrong = Side(WRONG[kind](ca), authorities=ca.home, cluster="bank" if kind == "other cluster" else "shop")
    if dials == "wrong":
        a = await start(tcp_world, "a", right)
        b = await start(tcp_world, "b", wrong)
    else:
        b = await start(tcp_world, "b", wrong)
        a = await start(tcp_world, "a", right)

    await until(lambda: refusals(a) or refusals(b))
    if dials == "right":
        await until(lambda: refusals(a)["certificate"])
    await trio.sleep(0.1)

    assert a.transport.connected() == b.transport.connected() == frozenset()
    assert {*refusals(a), *refusals(b)} == {"certificate"}
    assert [r for r in caplog.records if "certificate" in r.message]


async def test_who_shows_no_certificate_is_refused_by_name(tcp_world, ca, caplog):
    a = await start(tcp_world, "a", Side(ca.issue("a")))
    context = contexts_service.newcomer_client()
    stream = await tcp_world.connect(a)
    tls = trio.SSLStream(stream, context, server_hostname="a", https_compatible=True)
    with contextlib.suppress(trio.BrokenResourceError):  # TLS 1.3: told now, or at the first read, or by the end
        await tls.do_handshake()
        assert not await tls.receive_some()

    await until(lambda: refusals(a))
    assert dict(refusals(a)) == {"certificate": 1}
    assert "showed no certificate" in caplog.text


async def test_a_revoked_certificate_is_refused(tcp_world, ca, caplog):
    side = Side(ca.issue("a"))
    directory = ca.issue("b")
    side.revoked.add(serial_in(directory))
    a = await start(tcp_world, "a", side)
    b = await start(tcp_world, "b", Side(directory))

    await until(lambda: refusals(a).get("certificate"))
    assert a.transport.connected() == b.transport.connected() == frozenset()
    assert "is revoked" in caplog.text


async def test_a_revocation_ends_live_lanes_and_spares_the_others(tcp_world, ca):
    side = Side(ca.issue("a"))
    directory = ca.issue("b")
    a = await start(tcp_world, "a", side)
    b = await start(tcp_world, "b", Side(directory))
    c = await start(tcp_world, "c", Side(ca.issue("c")))
    await a.until_connected("b", "c")
    await c.until_connected("a", "b")
    side.revoked.add(serial_in(directory))

    a.transport.recheck()

    await a.until(lambda: a.count("disconnected", "b"))
    await b.until(lambda: b.count("disconnected", "a"))
    assert a.transport.connected() == {"c"}
    assert a.transport.statistics().closed["certificate"] >= 1
    assert a.count("disconnected", "c") == 0


async def test_new_certificates_count_for_new_lanes_while_the_old_ones_stay_up(tcp_world, ca):
    """What a renewal does: contexts change under a transport that runs."""
    side = Side(ca.issue("a"))
    a = await start(tcp_world, "a", side)
    b = await start(tcp_world, "b", Side(ca.issue("b")))
    await a.until_connected("b")
    renewed = Side(ca.issue("a", folder="a-renewed"))
    side.server, side.client = renewed.server, renewed.client

    c = await start(tcp_world, "c", Side(ca.issue("c")))
    await c.until_connected("a", "b")
    await b.until_connected("a", "c")
    assert a.count("disconnected", "b") == 0


async def test_two_authorities_overlap(tcp_world, ca, tmp_path):
    """Half of the nodes have certificates of the new one already; each believes both."""
    new = TestAuthority(tmp_path / "new")
    both = tmp_path / "both"
    both.mkdir()
    (both / AUTHORITIES).write_bytes(ca.certificate + new.certificate)
    a = await start(tcp_world, "a", Side(ca.issue("a"), authorities=both))
    b = await start(tcp_world, "b", Side(new.issue("b"), authorities=both))

    await a.until_connected("b")
    await b.until_connected("a")


async def test_between_nodes_no_less_than_tls_1_3_is_spoken(tcp_world, ca):
    directory = ca.issue("b")
    a = await start(tcp_world, "a", Side(ca.issue("a")))
    context = Side(directory).client
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    stream = await tcp_world.connect(a)
    tls = trio.SSLStream(stream, context, server_hostname="a", https_compatible=True)
    with pytest.raises(trio.BrokenResourceError):
        await tls.do_handshake()


def serial_in(directory: Path) -> str:
    from aether.security.certificates import read_certificate

    return read_certificate(read_file(certificate_file(directory, NODE))).shown.serial


def test_node_ids_are_what_the_check_gets():
    assert judge_peer({}, "shop", NodeId("a"), ()) == "no certificate was shown: `aether ca issue` makes one"
