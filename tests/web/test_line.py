"""The bytes of a connection, read by more than one task in turn."""

import socket

import trio
import trio.testing

from aether.web.line_service import line_of


async def test_reading_a_connection_that_has_ended_brings_its_end_and_no_crash():
    """The watcher of a slow handler may take its first step when the answer is sent and the connection closed."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    client = await trio.open_tcp_stream("127.0.0.1", listeners[0].socket.getsockname()[1])
    server = await listeners[0].accept()
    line = line_of(server)
    line.end()

    assert await line.receive() == b""
    for each in (client, server, *listeners):
        await each.aclose()


async def test_what_arrived_when_an_idle_connection_is_ended_is_read_and_not_lost():
    """Under load the loop sees bytes a turn late; whoever sent them would get no answer, and could not tell why."""
    theirs, ours = socket.socketpair()
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(_unblocked(ours)))
    line, read = line_of(stream), []

    async def receive():
        read.append(await line.receive())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        await trio.testing.wait_all_tasks_blocked()
        theirs.send(b"GET /")
        line.interrupt()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        await trio.testing.wait_all_tasks_blocked()
        line.interrupt()

    assert read == [b"GET /", b""]
    theirs.close()
    await stream.aclose()


def _unblocked(sock):
    sock.setblocking(False)
    return sock
