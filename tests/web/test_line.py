"""The bytes of a connection, read by more than one task in turn."""

import trio

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
