"""What systemd is told: over a real datagram socket, by the class alone and by a node."""

import os
import signal
import socket
import subprocess
import sys

import pytest
import trio

from aether.cluster.supervisor import STOPPING_MORE_S, Supervisor

WAIT_S = 30.0


class Notices:
    """A socket as systemd opens one, and what came."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(WAIT_S)
        self.came = []

    def next(self):
        self.came.append(self.socket.recv(4096).decode().split("\n"))
        return self.came[-1]

    def until(self, field):
        while field not in self.next():
            pass
        return self.came


@pytest.fixture
def notices(tmp_path):
    made = Notices(str(tmp_path / "notify"))
    yield made
    made.socket.close()


def address_of(notices):
    return notices.socket.getsockname()


def test_readiness_and_leaving_are_told_in_the_words_of_sd_notify(notices):
    supervisor = Supervisor({"NOTIFY_SOCKET": address_of(notices)}, 7)

    supervisor.starting()
    supervisor.ready()
    supervisor.stopping()

    assert "READY=1" not in notices.next()
    assert notices.next() == ["READY=1", "STATUS=ready"]
    assert notices.next() == ["STOPPING=1", "STATUS=drains", f"EXTEND_TIMEOUT_USEC={STOPPING_MORE_S * 1e6:.0f}"]


def test_a_name_in_the_abstract_space_is_an_address():
    name = f"aether-test-{os.getpid()}"
    notices = Notices(f"\0{name}")
    Supervisor({"NOTIFY_SOCKET": f"@{name}"}, 7).ready()

    assert notices.next()[0] == "READY=1"
    notices.socket.close()


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:9"}])
def test_without_an_address_nothing_is_sent_and_nothing_fails(environment):
    supervisor = Supervisor(environment, 7)
    supervisor.ready()

    assert not supervisor.listens


def test_a_supervisor_that_is_gone_is_told_of_once(tmp_path, caplog):
    supervisor = Supervisor({"NOTIFY_SOCKET": str(tmp_path / "nobody")}, 7)
    supervisor.ready()
    supervisor.stopping()

    assert len(caplog.records) == 1
    assert "does not hear this node" in caplog.text


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, None),  # of the program that started us
        ({}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "9" * 30}, None),
    ],
)
def test_the_watchdog_is_ours_or_nobodys(environment, seconds):
    assert Supervisor(environment, 7).watchdog_s == seconds


async def test_the_loop_is_known_to_run_twice_in_the_time_of_the_watchdog(notices, autojump_clock):
    supervisor = Supervisor({"NOTIFY_SOCKET": address_of(notices), "WATCHDOG_USEC": "4000000"}, 7)

    with trio.move_on_after(9):
        await supervisor.keep(trio.Event())

    assert [notices.next() for _ in range(5)] == [["WATCHDOG=1"]] * 5
    notices.socket.setblocking(False)
    with pytest.raises(BlockingIOError):
        notices.next()


async def test_a_drain_asks_for_time_until_it_ends(notices, autojump_clock):
    supervisor = Supervisor({"NOTIFY_SOCKET": address_of(notices)}, 7)
    leaving = trio.Event()
    leaving.set()

    with trio.move_on_after(12):
        await supervisor.keep(leaving)

    assert [notices.next() for _ in range(3)] == [["EXTEND_TIMEOUT_USEC=15000000"]] * 3


def node(tmp_path, notices, *arguments):
    environment = {**os.environ, "NOTIFY_SOCKET": address_of(notices), "WATCHDOG_USEC": "1000000"}
    environment |= {"XDG_STATE_HOME": str(tmp_path / "state")}
    line = [sys.executable, "-m", "aether", "node", "--port", "0", "--http-port", "0", "--management-port", "0"]
    return subprocess.Popen(
        [*line, *arguments], cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip


@pytest.mark.process
def test_a_node_tells_its_whole_life(tmp_path, notices):
    process = node(tmp_path, notices)
    try:
        notices.until("READY=1")
        notices.until("WATCHDOG=1")
        process.send_signal(signal.SIGTERM)
        came = notices.until("STOPPING=1")
        assert process.wait(WAIT_S) == 0
    finally:
        process.kill()
        process.wait()

    words = [field for fields in came for field in fields]
    assert words.index("READY=1") < words.index("STOPPING=1")
    assert "STATUS=waits for a majority of the voters, and catches up" in words[: words.index("READY=1")]


@pytest.mark.process
def test_a_node_without_a_majority_is_alive_and_not_ready(tmp_path, notices):
    """`systemctl start` shall not return before the node serves; its watchdog must not end it meanwhile."""
    process = node(tmp_path, notices, "--peers", "node-1:127.0.0.1:9,node-2:127.0.0.1:10,node-3:127.0.0.1:11")
    try:
        for _ in range(4):
            notices.until("WATCHDOG=1")
        process.send_signal(signal.SIGTERM)
        came = notices.until("STOPPING=1")
        assert process.wait(WAIT_S) == 0
    finally:
        process.kill()
        process.wait()

    assert not [fields for fields in came if "READY=1" in fields]
