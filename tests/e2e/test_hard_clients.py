"""Hostile and broken clients on both ports of every node while a leader dies: honest clients lose nothing."""

import contextlib
import resource
import socket
import threading

import psutil
import pytest
import trio
from tests.e2e.hard_world import BRAKE, SOON_S, ledger, load, long, until, writing

pytestmark = [pytest.mark.process, pytest.mark.timeout(300), long]

EACH = 12  # connections of each kind on each port
FILES = 160
BRAKE_S = 4.0

HEAD = b"GET /echo/1 HTTP/1.1\r\nHost: x\r\n"
PUT = b"PUT /entries/1 HTTP/1.1\r\nHost: x\r\n"
OPENINGS = {
    "half a request line": b"GET /ec",
    "a header that never ends": HEAD + b"X-Long: " + b"a" * 200,
    "a body that never comes": PUT + b"Content-Length: 1000\r\n\r\n{",
    "no request at all": b"",
}
ATTACKS = {
    "huge headers": HEAD + b"X-Huge: " + b"a" * 1_000_000 + b"\r\n\r\n",
    "thousands of headers": HEAD + b"".join(b"X-%d: 1\r\n" % n for n in range(20_000)) + b"\r\n",
    "two lengths": PUT + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "a length and chunks": PUT + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "an endless length": PUT + b"Content-Length: 99999999999999999999\r\n\r\n",
    "no HTTP": bytes(range(256)) * 40,
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500,
    "a deep body": PUT + b"Content-Type: application/json\r\nContent-Length: 50000\r\n\r\n" + b"[" * 50_000,
}


class Hostile(threading.Thread):
    """Does to `ports` what no honest client does, over and over, in a thread of its own."""

    def __init__(self, ports):
        super().__init__(daemon=True)
        self.ports, self.over, self.rounds = ports, threading.Event(), 0

    def run(self):
        while not self.over.is_set():
            held = [self.open(port, opening) for port in self.ports for opening in OPENINGS.values() for _ in range(4)]
            for port in self.ports:
                for attack in ATTACKS.values():
                    self.close(self.open(port, attack))
            self.rounds += 1
            for each in held:
                if each is not None:
                    with contextlib.suppress(OSError):
                        each.send(b"a")  # one more byte, for those who count silence
            self.over.wait(0.2)
            for number, each in enumerate(held):
                self.close(each, rudely=number % 2 == 0)

    def open(self, port, data):
        made = socket.socket()
        made.settimeout(0.5)
        try:
            made.connect(("127.0.0.1", port))
            made.sendall(data)
        except OSError:  # refused, reset, or nobody reads: as the server likes
            made.close()
            return None
        return made

    def close(self, made, *, rudely=True):
        if made is None:
            return
        if rudely:  # a reset in the place of a good-bye
            made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        made.close()


@contextlib.contextmanager
def hostile(hard):
    ports = [port for each in hard.processes.ports.values() for port in (each.http, each.management, each.cluster)]
    attacker = Hostile(ports)
    attacker.start()
    try:
        yield attacker
    finally:
        attacker.over.set()
        attacker.join(60)


async def test_hostile_clients_while_the_leader_dies_cost_honest_ones_nothing(open_cluster):
    """Endless headers, half requests, smuggling, noise and resets on the ports for clients, operators and peers."""
    async with ledger(open_cluster) as hard:
        with hostile(hard) as attacker:
            await until(lambda: attacker.rounds >= 2, SOON_S, "two rounds of all attacks")
            leader = await hard.leader()
            open_nodes = await hard.others(leader)
            async with load(hard, open_nodes) as seen, writing(hard, open_nodes) as writers:
                await writers.go_on()
                await hard.processes.kill(leader)
                await hard.leader(*open_nodes)
                await writers.go_on()
                await hard.restart(leader)
                await writers.go_on()
                rounds = attacker.rounds
                await until(lambda: attacker.rounds > rounds, SOON_S, "attacks go on")
        assert seen.failures == []
        await writers.audit()
        hard.assert_no_defect()


async def test_idle_connections_and_half_requests_do_not_keep_a_cluster_from_a_new_leader(open_cluster):
    """Hundreds of connections that are held and say nothing, or half a request, on every port of every node."""
    async with ledger(open_cluster) as hard:
        held = []
        try:
            for each in hard.processes.ports.values():
                for port in (each.http, each.management):
                    held += [connect(port, opening) for opening in OPENINGS.values() for _ in range(EACH)]
            leader = await hard.leader()
            open_nodes = await hard.others(leader)
            async with load(hard, open_nodes) as seen, writing(hard, open_nodes) as writers:
                await hard.processes.kill(leader)
                await hard.leader(*open_nodes)
                await writers.go_on()
        finally:
            for each in held:
                each.close()
        assert seen.failures == []
        await hard.restart(leader)
        await writers.audit()
        hard.assert_no_defect()


def connect(port, opening):
    made = socket.create_connection(("127.0.0.1", port), timeout=5)
    made.sendall(opening)
    return made


async def test_a_node_without_file_descriptors_stays_a_member_and_is_well_again(open_cluster):
    """Clients take all that it may open: its peers keep their connections, other nodes serve, and it comes back."""
    async with ledger(open_cluster) as hard:
        full = (await hard.others(await hard.leader()))[0]
        others = await hard.others(full)
        process = hard.processes.process_id(full)
        limit = psutil.Process(process).num_fds() + FILES
        resource.prlimit(process, resource.RLIMIT_NOFILE, (limit, limit))
        term = (await hard.console.get(others[0], "/status"))["term"]
        port, held = hard.processes.ports[full].http, []
        async with load(hard, others) as seen, writing(hard, others) as writers:
            for _ in range(2 * FILES):
                with contextlib.suppress(OSError):
                    held.append(connect(port, OPENINGS["half a request line"]))
            await writers.go_on(40)
            for each in held:
                each.close()
            await hard.running.ready(full)
            assert (await hard.running.client.get(f"{hard.running.http(full)}/echo/7")).json() == 7
            await writers.go_on()
        assert seen.failures == []
        assert (await hard.console.get(others[0], "/status"))["term"] == term
        await writers.audit()
        hard.assert_no_defect()


async def test_code_that_keeps_the_loop_of_the_leader_costs_others_nothing_acknowledged(open_cluster):
    """A slice computes for seconds without awaiting, on the leader: it is told, another leads, nothing is lost."""
    async with ledger(open_cluster) as hard:
        await hard.running.deploy(BRAKE, 1)
        await hard.active(BRAKE, 1)
        instances = await hard.console.instances("node-1")
        braked = next(each["nodeId"] for each in instances if each["artifact"] == BRAKE)
        await hard.hand_over(braked)
        others = await hard.others(braked)
        async with writing(hard, others) as writers, trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(brake, hard, braked)
            await writers.go_on(40)
        await until(lambda: braked in hard.said("the loop was"), SOON_S, f"{braked} says that its loop was late")
        await hard.running.ready(braked)
        await writers.some(10)
        await writers.audit()


async def brake(hard, node):
    with contextlib.suppress(Exception):
        await hard.running.client.post(f"{hard.running.http(node)}/brake", json={"seconds": BRAKE_S}, timeout=30)


async def test_clients_that_stop_reading_hold_up_nobody_else(open_cluster):
    """They ask for what is large, again and again, and never read: memory stays, others are answered."""
    async with ledger(open_cluster) as hard:
        async with writing(hard) as writers:
            await writers.go_on(50)
        node = "node-1"
        before, held = await hard.memory(node), []
        request = b"GET /maps/entries?limit=1000 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 200
        try:
            for _ in range(50):
                made = socket.socket()
                made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                made.connect(("127.0.0.1", hard.processes.ports[node].management))
                made.setblocking(False)
                with contextlib.suppress(OSError):
                    made.send(request)
                held.append(made)
            async with load(hard, list(hard.processes.ports)) as seen, writing(hard) as more:
                await more.go_on(60)
            assert await hard.memory(node) < before + 64 * 2**20
        finally:
            for each in held:
                each.close()
        assert seen.failures == []
        hard.assert_no_defect()
