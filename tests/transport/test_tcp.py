"""What only sockets can do wrong: garbage, taken ports, TLS, killed processes, silent strangers."""

import logging
import os
import random
import signal
import socket
import ssl
import subprocess
import sys
import textwrap

import pytest
import trio
import trustme
from trio.testing import MockClock

from aether.consensus.messages import Heartbeat, VoteReply, VoteRequest
from aether.consensus.spelling import MESSAGES as CONSENSUS
from aether.errors import AddressInUse, BadInput
from aether.model.limits import (
    FRAME_BYTES_MAX,
    FRAME_CHUNK_BYTES,
    HANDSHAKE_S,
    HANDSHAKES_MAX,
    PEER_SILENT_S,
    SEND_BUFFER_BYTES,
)
from aether.node.messages_table import messages_table
from aether.transport import TcpTransport
from aether.transport.address import join_address, split_address
from aether.transport.link import connect
from aether.transport.secured import Wrap
from aether.wire import ANYBODY, DiallingSession, Hello, Identity, Lane, MessageTable, encode_frame


async def until_closed(stream) -> bytes:
    data = b""
    with trio.fail_after(5):
        while True:
            try:
                more = await stream.receive_some()
            except trio.BrokenResourceError:
                return data
            if not more:
                return data
            data += more


async def until(condition) -> None:
    """For what no handler tells."""
    with trio.fail_after(5):
        while not condition():  # counters have no event
            await trio.sleep(0.01)


async def introduce(world, node, lane=Lane.CALLS):
    """A connection on which `node` believes to read from the peer x."""
    stream = await world.connect(node)
    identity = Identity(cluster="shop", node="x", store="sx", incarnation="x-1")
    session = DiallingSession(Hello(identity, node.name, lane))
    await stream.send_all(session.opening())
    assert session.feed(await stream.receive_some()) is not None
    return stream


async def test_an_http_request_is_closed_with_a_line_that_says_so(tcp_world, caplog):
    """Pointing curl or a health check at the cluster port is the most common mistake of an operator."""
    node = await tcp_world.start("a")
    stream = await tcp_world.connect(node)
    await stream.send_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")

    assert await until_closed(stream) == b""
    (record,) = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert "an HTTP request: this port is for nodes only" in record.message
    assert "127.0.0.1:" in record.message
    assert node.transport.statistics().refused == {"malformed": 1}


BAD_STREAMS = {
    "no tag": (encode_frame(b"\x93\xff\xa0\x90"), "a message tag of -1"),
    "no msgpack": (encode_frame(b"\xc1"), "malformed message"),
    "oversized frame": ((FRAME_BYTES_MAX + 1).to_bytes(4, "big"), f"exceeds the limit of {FRAME_BYTES_MAX}"),
    "a second hello": (b"\x00\x00\x00\x03\x93\x01\xc0", "malformed message"),
}


@pytest.mark.parametrize("case", BAD_STREAMS)
async def test_a_malformed_peer_is_closed_and_the_others_stay(tcp_world, caplog, case):
    """What a peer sends can end its own connections and nothing else."""
    data, words = BAD_STREAMS[case]
    a, b = await tcp_world.pair()
    stream = await introduce(tcp_world, a)
    await stream.send_all(data)

    assert await until_closed(stream) == b""
    assert a.transport.statistics().closed == {"malformed": 1}
    assert [r for r in caplog.records if words in r.message and "x at" in r.message]
    assert a.transport.connected() == {"b"}
    a.transport.send("b", tcp_world.Note("still here"))
    await b.until_received(1)


@pytest.mark.parametrize("introduced", [False, True], ids=["before the handshake", "behind it"])
async def test_no_garbage_brings_a_node_down(tcp_world, introduced):
    """Fifty streams of noise, some cut short, some shaped like frames: only their own connections end."""
    a, b = await tcp_world.pair()
    rng = random.Random(7)
    for _ in range(50):
        stream = await (introduce(tcp_world, a) if introduced else tcp_world.connect(a))
        noise = rng.randbytes(rng.randrange(1, 200))
        framed = len(noise).to_bytes(4, "big") + noise
        await stream.send_all(framed if rng.random() < 0.5 else noise)
        await trio.aclose_forcefully(stream)
    a.transport.send("b", tcp_world.Note("alive"))
    await b.until_received(1)

    assert a.transport.connected() == {"b"}
    figures = a.transport.statistics()
    assert set(figures.closed) <= {"malformed", "broken-handshake"}
    assert set(figures.refused) <= {"malformed"}


async def test_a_node_may_come_back_on_its_own_port_at_once(tcp_world):
    """Old connections linger in the kernel for a minute; a restart must not wait for them."""
    a, b = await tcp_world.pair()
    b.stop()
    await a.until(lambda: a.count("disconnected", "b"))
    again = TcpTransport(b.identity, b.address, {"a": a.address}, MessageTable())
    async with trio.open_nursery() as nursery:
        await nursery.start(again.run, b.handlers())
        await a.until_connected("b")
        nursery.cancel_scope.cancel()


async def test_messages_before_a_malformed_one_are_delivered(tcp_world):
    """They were complete; the stream is lost only behind them."""
    a = await tcp_world.start("a")
    stream = await introduce(tcp_world, a)
    good = encode_frame(b"\x93\x02\xa1r\x91\xa4good")
    await stream.send_all(good + encode_frame(b"\xc1"))
    await until_closed(stream)

    assert a.received == [("x", tcp_world.Note("good"), "r")]


async def test_handlers_that_compute_let_others_run_between_the_messages_of_one_read(tcp_world):
    """A call may be served by the task that reads it, and hundreds come in one read; elections wait for no slice."""
    a = await tcp_world.start("a")
    stream = await introduce(tcp_world, a)
    others, seen = 0, []

    def compute(*_):
        until = trio.current_time() + 0.002
        while trio.current_time() < until:
            pass
        seen.append(others)

    a.answer = compute
    await stream.send_all(100 * encode_frame(b"\x93\x02\xa1r\x91\xa4good"))
    while len(seen) < 100:
        others += 1
        await trio.lowlevel.checkpoint()

    assert max(seen.count(turn) for turn in set(seen)) <= 2


async def test_a_peer_that_dials_a_lane_again_replaces_its_older_connection(tcp_world):
    """It has lost the older one, or it would not dial; reading both could mix two orders."""
    a = await tcp_world.start("a")
    first = await introduce(tcp_world, a)
    second = await introduce(tcp_world, a)

    assert await until_closed(first) == b""
    await second.send_all(encode_frame(b"\x93\x02\xa0\x91\xa1s"))
    await a.until_received(1)


@pytest.fixture
def fast_clock() -> MockClock:
    """Fifty seconds a second: sockets are real, waits are short."""
    return MockClock(rate=50.0)


async def test_a_stranger_that_says_nothing_is_closed(fast_clock, tcp_world, caplog):
    """An open port must not be a place to park connections."""
    a = await tcp_world.start("a")
    began = trio.current_time()  # before the node hears of it: it counts from then
    stream = await tcp_world.connect(a)
    with trio.fail_after(100):
        assert await stream.receive_some() == b""

    assert trio.current_time() - began >= HANDSHAKE_S
    assert [r for r in caplog.records if f"no handshake within {HANDSHAKE_S} s" in r.message]


async def test_a_peer_that_falls_silent_is_given_up(fast_clock, tcp_world):
    """A stopped process keeps its connections, its kernel sees to that: calls sent to it would wait for nothing."""
    a = await tcp_world.start("a")
    began = trio.current_time()
    stream = await introduce(tcp_world, a, Lane.CONSENSUS)
    await stream.send_all(encode_frame(b""))
    with trio.fail_after(10 * PEER_SILENT_S):
        assert await stream.receive_some() == b""

    assert trio.current_time() - began >= PEER_SILENT_S
    assert a.transport.statistics().closed == {"silent": 1}


async def test_peers_with_nothing_to_say_stay_connected(fast_clock, tcp_world):
    """Nodes that only call each other now and then are no dead ones."""
    a, b = await tcp_world.pair()
    await trio.sleep(4 * PEER_SILENT_S)

    assert (a.count("disconnected", "b"), b.count("disconnected", "a")) == (0, 0)
    assert a.transport.statistics().closed == {}
    assert sum(a.transport.statistics().sent_frames.values()) == 0, "what only says that it lives is no message"


async def test_a_crowd_of_silent_strangers_is_said_once_and_a_peer_keeps_its_lanes(tcp_world, caplog):
    """Whoever fills the waiting room keeps new peers out: those inside go on, and the operator must see why."""
    a, b = await tcp_world.pair()
    for _ in range(HANDSHAKES_MAX):
        await tcp_world.connect(a)
    for _ in range(3):
        assert await until_closed(await tcp_world.connect(a)) == b""
    a.transport.send("b", tcp_world.Note("still here"))
    await b.until_received(1)

    assert a.transport.statistics().closed == {"too-many-handshakes": 3}
    assert len([r for r in caplog.records if "have not said who they are" in r.message]) == 1


async def test_a_crowd_of_one_host_keeps_no_other_host_out(tcp_world):
    """All places held by one host are taken from it, the oldest first, one for each newcomer of another."""
    a = await tcp_world.start("a")
    crowd = [await tcp_world.connect(a) for _ in range(HANDSHAKES_MAX)]
    host, _, port = a.address.rpartition(":")
    stream = await trio.open_tcp_stream(host, int(port), local_address="127.0.0.2")
    tcp_world.streams.append(stream)
    identity = Identity(cluster="shop", node="x", store="sx", incarnation="x-1")
    session = DiallingSession(Hello(identity, "a", Lane.CALLS))
    await stream.send_all(session.opening())

    assert session.feed(await stream.receive_some()) is not None
    assert await until_closed(crowd[0]) == b""
    assert a.transport.statistics().closed == {"too-many-handshakes": 1}


async def test_a_taken_port_names_the_address_and_the_option(tcp_world):
    """The operator needs to know what to change."""
    a = await tcp_world.start("a")
    double = TcpTransport(a.identity, a.address, {}, MessageTable())

    with pytest.raises(AddressInUse, match=f"{a.address} is taken.*--port"):
        await double.run(a.handlers())


@pytest.mark.parametrize("text", ["", "host", "host:", "host:x", "host:65536", "::1:80", "host:-1", "host:٣"])
def test_what_is_no_address_is_refused(text):
    """int() takes signs, spaces and the digits of every script."""
    with pytest.raises(BadInput, match="write host:port"):
        split_address(text)


@pytest.mark.parametrize(("text", "parts"), [("h:1", ("h", 1)), ("[::1]:80", ("::1", 80)), (":0", ("", 0))])
def test_an_address_is_taken_apart_and_put_together(text, parts):
    """IPv6 hosts stand in brackets."""
    assert split_address(text) == parts
    assert join_address(*parts) == text


async def test_an_address_that_cannot_be_bound_is_bad_input(tcp_world):
    """192.0.2.1 is nobody's: a typing mistake in --bind."""
    transport = TcpTransport(
        Identity(cluster="c", node="a", store="s", incarnation="i"), "192.0.2.1:0", {}, MessageTable()
    )
    node = await tcp_world.start("z")

    with pytest.raises(BadInput, match="cannot listen on 192"):
        await transport.run(node.handlers())


@pytest.mark.parametrize("address", ["no spaces:1", "x" * 100 + ".:1", "nonsense", "[::::]:1", "..:1"])
async def test_a_hostile_advertised_address_harms_nobody(tcp_world, address):
    """It comes from the hello of a stranger, and is dialled."""
    a, _ = await tcp_world.pair()
    stranger = await tcp_world.start("evil", address=address)
    await trio.sleep(0.2)

    assert stranger.transport.connected() == frozenset()
    assert a.transport.connected() == {"b"}


async def test_a_node_that_dials_itself_is_told(tcp_world):
    """A list of peers pasted from another node may give our own address to another name."""
    a = await tcp_world.start("a")
    a.transport.set_peer("b", a.address)
    await a.until(lambda: a.refusals)

    assert a.refusals[0].code.value == "self"
    assert "remove" in a.refusals[0].reason


async def test_nagle_is_off_and_keepalive_is_on(tcp_world):
    """Forty milliseconds of delay per call, and a dead host that nobody notices."""
    a, _ = await tcp_world.pair()
    (sock,) = {s._link._socket for peer in a.transport._peers.values() for s in peer.senders[:1]}

    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


async def test_a_sigkilled_process_is_noticed_in_milliseconds(tcp_world, tmp_path):
    """A dead leader is replaced on the end of its connection, long before any timer."""
    a = await tcp_world.start("a")
    script = tmp_path / "peer.py"
    script.write_text(
        textwrap.dedent(f"""
        import trio
        from aether.transport import Handlers, TcpTransport
        from aether.wire import Identity, MessageTable
        identity = Identity(cluster="shop", node="b", store="sb", incarnation="b-1")
        transport = TcpTransport(identity, "127.0.0.1:0", {{"a": {a.address!r}}}, MessageTable())
        nobody = lambda node: None
        trio.run(transport.run, Handlers(message={{}}, connected=nobody, disconnected=nobody))
        """)
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = await trio.to_thread.run_sync(lambda: subprocess.Popen([sys.executable, str(script)], env=environment))
    try:
        await a.until_connected("b")
        began = trio.current_time()
        process.send_signal(signal.SIGKILL)
        await a.until(lambda: a.count("disconnected", "b"))
        took = trio.current_time() - began
    finally:
        process.kill()
        process.wait()

    assert took < 1.0  # milliseconds on an idle machine


# --- TLS --------------------------------------------------------------------------------------------------------------


def contexts(ca: trustme.CA) -> dict[str, ssl.SSLContext]:
    """Mutual TLS: each side shows a certificate of the same authority."""
    certificate = ca.issue_cert("127.0.0.1")
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    client = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
    for context in (server, client):
        certificate.configure_cert(context)
        ca.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    return {"wrap": Wrap(server=lambda: server, client=lambda: client, check=lambda described, node: "")}


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


async def test_messages_travel_under_mutual_tls(tcp_world, ca):
    """The same contract, long frames included."""
    tcp_world.options = contexts(ca)
    a, b = await tcp_world.pair()
    b.answer = lambda peer, message, request_id: b.transport.send(peer, message, request_id)
    contents = ["short", "x" * 300_000, *range(100)]
    for content in contents:
        assert a.transport.send("b", tcp_world.Note(content))
    await a.until_received(len(contents))

    assert {str(m.content) for _, m, _ in a.received} == {str(c) for c in contents}
    b.stop()
    await a.until(lambda: a.count("disconnected", "b"))


@pytest.mark.parametrize("options", ["plain", "stranger"])
async def test_without_a_certificate_of_the_cluster_nobody_gets_in(tcp_world, ca, options, caplog):
    """Neither a plain client nor one with a certificate of its own."""
    caplog.set_level(logging.INFO, "aether.transport")
    tcp_world.options = contexts(ca)
    a = await tcp_world.start("a")
    tcp_world.options = {} if options == "plain" else contexts(trustme.CA())
    z = await tcp_world.start("z")
    refusing = a if options == "plain" else z
    await until(lambda: refusing.transport.statistics().refused)

    assert z.transport.connected() == a.transport.connected() == frozenset()
    assert set(refusing.transport.statistics().refused) == {"malformed" if options == "plain" else "certificate"}


async def test_a_tls_client_at_a_plain_node_is_named(tcp_world, ca, caplog):
    """The likely cause: one node of the cluster was started without its certificates."""
    a = await tcp_world.start("a")
    tcp_world.options = contexts(ca)
    await tcp_world.start("z")
    await until(lambda: a.transport.statistics().refused)

    assert [r for r in caplog.records if "this node was started without TLS" in r.message]


# --- contacts: an address without a name ------------------------------------------------------------------------------


async def test_a_contact_becomes_a_peer_as_soon_as_it_answers(tcp_world):
    """Whoever joins knows host and port of a member, and not its id; nor does the member have to run yet."""
    probe = socket.socket()
    probe.bind(("127.0.0.1", 0))
    address = join_address(*probe.getsockname())
    newcomer = await tcp_world.start("n", contacts=[address])
    probe.close()
    member = await tcp_world.start("m", knows=False, bind=address)

    await newcomer.until_connected("m")
    await member.until_connected("n")

    assert newcomer.count("connected", "m") == member.count("connected", "n") == 1


async def test_asking_who_is_there_does_not_disturb_a_connection_that_stands(tcp_world):
    a, b = await tcp_world.pair()
    stream = await tcp_world.connect(b)
    session = DiallingSession(Hello(a.identity, ANYBODY, Lane.CONSENSUS))
    await stream.send_all(session.opening())

    assert session.feed(await stream.receive_some()).identity.node == "b"
    assert await until_closed(stream) == b""
    assert b.events == [("connected", "a")]
    assert a.events == [("connected", "b")]


async def test_a_contact_that_is_the_node_itself_is_passed_over(tcp_world, caplog):
    """All nodes may be given the same list of contacts."""
    probe = socket.socket()
    probe.bind(("127.0.0.1", 0))
    address = join_address(*probe.getsockname())
    probe.close()
    alone = (await tcp_world.start("a", bind=address, contacts=[address])).transport
    await until(lambda: alone.statistics().refused.get("self") == 1)

    assert not caplog.records or all("refuses us" not in record.message for record in caplog.records)


async def test_a_contact_that_refuses_is_told_once(tcp_world):
    node = await tcp_world.start("a", cluster="bank")
    newcomer = await tcp_world.start("n", knows=False, contacts=[node.address])

    await until(lambda: newcomer.transport.statistics().refused.get("other-cluster", 0) > 1)

    assert [refused.code for refused in newcomer.refusals] == ["other-cluster"]


async def test_a_remembered_address_is_tried_beside_the_configured_one(tcp_world):
    """Either may be stale: the peer moved while we were away, or our options are old."""
    a = await tcp_world.start("a")
    b = await tcp_world.start("b", knows=False)
    c = await tcp_world.start("c", knows=False)
    for node in (b, c):
        stale, right = ("127.0.0.1:1", a.address) if node is b else (a.address, "127.0.0.1:1")
        node.transport.set_peer("a", stale)
        node.transport.remember_peer("a", right)

        await node.until_connected("a")


async def test_what_the_consensus_lane_carries_arrives_in_order_however_long(tcp_world):
    """Entries that come before their predecessors are refused, and everything is sent again."""
    a, b = await tcp_world.pair()
    for number in range(12):
        filler = bytes((0, 10, FRAME_CHUNK_BYTES, 5 * FRAME_CHUNK_BYTES)[number % 4])
        assert a.transport.send("b", tcp_world.Heartbeat(number, filler))
    await b.until_received(12)

    assert [message.number for _, message, _ in b.received] == list(range(12))


async def test_little_waits_in_the_kernel(tcp_world):
    """What it holds of one lane stands in front of the heartbeats of all, and nothing overtakes it."""
    node = await tcp_world.start("a")
    with await connect(node.address) as sock:
        enough = max(SEND_BUFFER_BYTES, 2 * sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG))
        assert enough <= sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) <= 2 * enough


def test_who_leads_overtakes_entries_and_nothing_else_does():
    table = messages_table()
    urgent = [cls for cls in (cls for cls, _, _ in CONSENSUS.values()) if table.is_urgent(cls)]

    assert urgent == [VoteRequest, VoteReply, Heartbeat]
