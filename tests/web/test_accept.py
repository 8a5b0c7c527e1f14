"""Connections as they come: real sockets, since their backlog is the kernel's."""

import errno
import socket

import pytest
import trio
import trio.testing

from aether.web.accept_service import HELD_MAX, EagerListener, is_here
from aether.web.pressure_service import PressureGate


@pytest.fixture
async def listening():
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    gate = PressureGate()
    eager = EagerListener(listener, gate)
    yield eager, gate, listener.socket.getsockname()
    await eager.aclose()


def dial(address, count):
    return [socket.create_connection(address) for _ in range(count)]


def close(clients):
    for client in clients:
        client.close()


async def peers(listener, count):
    found = []
    for _ in range(count):
        with trio.fail_after(10):
            stream = await listener.accept()
        found.append(stream.socket.getpeername())
        await stream.aclose()
    return found


async def test_every_connection_is_taken_once(listening):
    listener, _, address = listening
    clients = dial(address, 100)

    assert sorted(await peers(listener, 100)) == sorted(client.getsockname() for client in clients)
    close(clients)


async def test_under_pressure_the_newest_goes_first_and_who_has_left_is_never_served(listening):
    """Of a crowd that cannot be served whole, those who came last still wait for their answer."""
    listener, gate, address = listening
    clients = dial(address, 6)
    gone = clients[1], clients[4]
    close(gone)
    gate.close()
    gate.admit(100)
    left = [client.getsockname() for client in clients if client not in gone]

    assert await peers(listener, 4) == [left[0], *reversed(left[1:])]  # the kernel gives its oldest away first
    close(clients)


async def test_while_the_gate_is_closed_no_more_are_taken_than_may_begin(listening):
    listener, gate, address = listening
    clients = dial(address, 5)
    gate.close()
    gate.admit(2)
    await peers(listener, 2)
    with trio.move_on_after(0.2) as waited:
        await listener.accept()

    assert waited.cancelled_caught
    gate.open()
    await peers(listener, 3)
    close(clients)


async def test_what_is_held_has_a_limit(listening, monkeypatch):
    listener, gate, address = listening
    monkeypatch.setattr("aether.web.accept_service.HELD_MAX", 3)
    assert HELD_MAX > 3
    clients = dial(address, 10)
    gate.close()
    gate.admit(100)
    with trio.fail_after(10):
        await peers(listener, 1)

    assert len(listener._waiting) <= 3
    close(clients)


async def test_a_client_that_closed_is_seen_before_anything_is_done_for_it(listening):
    listener, _, address = listening
    (client,) = dial(address, 1)
    client.sendall(b"GET / HTTP/1.1\r\n")
    stream = await listener.accept()
    assert is_here(stream)
    client.close()
    with trio.fail_after(10):
        while is_here(stream):
            await trio.sleep(0.01)
    await stream.aclose()


async def test_without_file_descriptors_it_waits_and_says_so_once(listening, monkeypatch, caplog):
    """Clients that hold all connections are no reason for ten tracebacks a second."""
    listener, _, address = listening
    accept, refused = listener._listener.accept, iter(range(4))

    async def without_files():
        if next(refused, None) is not None:
            raise OSError(errno.EMFILE, "Too many open files")
        return await accept()

    monkeypatch.setattr(listener._listener, "accept", without_files)
    clients = dial(address, 1)

    assert await peers(listener, 1) == [clients[0].getsockname()]
    (said,) = [record for record in caplog.records if record.name == "aether.web"]
    assert "Too many open files" in said.message
    assert not said.exc_info
    close(clients)


async def test_another_error_of_a_listening_socket_is_not_hidden(listening, monkeypatch):
    listener, _, _ = listening

    async def broken():
        raise OSError(errno.EBADF, "Bad file descriptor")

    monkeypatch.setattr(listener._listener, "accept", broken)
    with pytest.raises(OSError, match="Bad file"):
        await listener.accept()
