"""Node processes: started, watched, killed, and never left behind."""

import os
import signal
import socket
import sys
from contextlib import ExitStack, contextmanager

import attrs
import pytest
import trio

from aether.errors import BadInput, NotFound
from aether.forge.ports import ANY, free_ports, keep_ports
from aether.forge.processes import LocalPlan, LocalProcesses, NodeEnded, open_processes

pytestmark = pytest.mark.process


@pytest.fixture
def plan(tmp_path, monkeypatch):
    """A plan whose "nodes" are small scripts: printing, sleeping, deaf to signals, or ending."""

    def make(script, nodes=2):
        monkeypatch.setattr(LocalProcesses, "command", lambda self, node: [sys.executable, "-c", script])
        return LocalPlan(nodes=nodes, apps=(), app_dir=tmp_path, folder=tmp_path)

    return make


def gone(process_id):
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return True
    return False


SLEEPS = "from time import sleep; print('up', flush=True); sleep(60)"


async def test_leaving_ends_every_process(plan):
    async with open_processes(plan(SLEEPS, 3), lambda *_: None) as processes:
        ids = [processes.process_id(node) for node in processes.ports]

    assert all(map(gone, ids))


async def test_a_deaf_process_is_killed_in_the_end(plan, monkeypatch):
    monkeypatch.setattr("aether.forge.processes.STOP_S", 0.3)
    deaf = f"import signal; signal.signal(2, signal.SIG_IGN); {SLEEPS}"
    heard = trio.Event()
    async with open_processes(plan(deaf, 1), lambda *_: heard.set()) as processes:
        await heard.wait()
        process_id = processes.process_id("node-1")

    assert gone(process_id)


async def test_an_error_of_the_body_ends_every_process_too(plan):
    ids = []

    async def fail():
        async with open_processes(plan(SLEEPS), lambda *_: None) as processes:
            ids.extend(processes.process_id(node) for node in processes.ports)
            raise ValueError("mine")

    with pytest.raises(ExceptionGroup) as caught:
        await fail()
    assert caught.group_contains(ValueError)
    assert all(map(gone, ids))


async def test_a_node_that_ends_by_itself_is_told_with_its_last_words(plan):
    async def watch():
        async with open_processes(plan("print('port taken'); raise SystemExit(3)", 1), lambda *_: None) as processes:
            await processes.watch()

    with trio.fail_after(30), pytest.raises(ExceptionGroup) as caught:
        await watch()
    ended = caught.value.exceptions[0]
    assert isinstance(ended, NodeEnded)
    assert (ended.node, ended.exit_code) == ("node-1", 3)
    assert "port taken" in str(ended)


async def test_lines_of_all_nodes_come_with_their_names_and_endless_ones_are_cut(plan):
    """A node that prints megabytes without a newline must not fill this process."""
    lines = []
    script = "import sys; sys.stdout.write('x' * 300_000); print(); print('end', flush=True)"
    async with open_processes(plan(script), lambda node, line: lines.append((node, len(line), line[-3:]))) as processes:
        with trio.fail_after(30):
            while processes.running or sum(end == "end" for _, _, end in lines) < 2:
                await trio.sleep(0.01)

    assert {node for node, _, end in lines if end == "end"} == {"node-1", "node-2"}
    assert max(length for _, length, _ in lines) < 150_000


async def test_a_killed_node_can_be_started_again_but_not_twice(plan):
    async with open_processes(plan(SLEEPS, 1), lambda *_: None) as processes:
        with pytest.raises(BadInput, match="runs already"):
            await processes.start("node-1")
        first = processes.process_id("node-1")
        await processes.kill("node-1")
        assert (processes.running, processes.exit_code("node-1")) == ((), -signal.SIGKILL)

        await processes.start("node-1")

        assert processes.process_id("node-1") != first
        with pytest.raises(NotFound, match="node-1"):
            await processes.kill("node-7")


def test_free_ports_are_different():
    assert len(set(free_ports(30))) == 30


@contextmanager
def kept(*wanted):
    with ExitStack() as stack:
        yield keep_ports(wanted, stack)


class TestUsualPorts:
    """What was typed once can be typed again, as long as nobody else has the port."""

    def test_one_that_is_free_is_taken_and_given_back(self):
        (port,) = free_ports(1)
        for _ in range(2):
            with kept(port, ANY) as (usual, other):
                assert usual == port != other

    def test_two_runs_at_once_do_not_both_get_it(self):
        """Neither listens yet, and both may reuse ports."""
        (port,) = free_ports(1)
        with kept(port) as first, kept(port) as second:
            assert first == [port] != second

    def test_somebody_who_listens_there_keeps_it(self):
        with socket.create_server(("127.0.0.1", 0)) as stranger, kept(stranger.getsockname()[1]) as ports:
            assert ports != [stranger.getsockname()[1]]

    def test_connections_of_the_run_before_do_not_take_it_away(self):
        with socket.create_server(("127.0.0.1", 0)) as node:
            port = node.getsockname()[1]
            caller = socket.create_connection(("127.0.0.1", port))
            node.accept()[0].close()  # first, so that it lingers on this side
            caller.close()
        with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
            stranger.bind(("127.0.0.1", port))
        with kept(port) as ports:
            assert ports == [port]

    async def test_nodes_have_those_of_their_plan(self, plan):
        http, management = free_ports(2)
        usual = attrs.evolve(plan(SLEEPS), ports={"node-1": (http, management)})
        async with open_processes(usual, print) as processes:
            found = processes.ports["node-1"]

        assert (found.http, found.management) == (http, management)
        assert found.cluster not in (http, management)


async def test_ports_of_nodes_are_given_to_nobody_else_while_no_node_listens_there(plan):
    """Many clusters on one machine start at once, and a node needs seconds until it listens."""
    async with open_processes(plan(SLEEPS), print) as processes:
        port = processes.ports["node-1"].cluster
        with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
            stranger.bind(("127.0.0.1", port))
        with socket.socket() as node:
            node.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            node.bind(("127.0.0.1", port))
            node.listen()
        with socket.socket() as caller, pytest.raises(ConnectionRefusedError):
            caller.connect(("127.0.0.1", port))
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", port))


@pytest.mark.parametrize("nodes", [0, 17])
async def test_a_machine_takes_so_many_nodes_only(plan, nodes):
    with pytest.raises(BadInput, match="--nodes"):
        plan(SLEEPS, nodes).check()
