"""What a client may cost by the way it cuts its messages into frames."""

import tracemalloc

import pytest
import trio
import trio.testing
import wsproto.events as ws
from wsproto.connection import Connection, ConnectionType

from aether.model import limits
from aether.web.leaving import Leaving
from aether.web.websocket_service import Socket

PARTS = 20_000


def frames(data, count, *, ends=True):
    """One message in `count` frames of `data`."""
    client, kind = Connection(ConnectionType.CLIENT), ws.TextMessage if isinstance(data, str) else ws.BytesMessage
    return b"".join(client.send(kind(data=data, message_finished=ends and n == count - 1)) for n in range(count))


async def nothing():
    await trio.sleep_forever()
    yield b""


@pytest.fixture
async def heard(nursery):
    """`heard(raw)`: a Socket that was sent these bytes, and where its messages come out."""

    def begin(raw):
        ours, theirs = trio.testing.memory_stream_pair()
        sender, receiver = trio.open_memory_channel(limits.WEBSOCKET_MESSAGES_AHEAD)
        socket = Socket(ours, sender, "GET /x", Leaving())
        nursery.start_soon(socket.run, nothing(), raw)
        return socket, receiver, theirs

    return begin


@pytest.mark.parametrize("data", ["ab", "é", "𝄞", b"ab"])
async def test_a_message_in_tiny_frames_weighs_little_more_than_its_bytes(heard, data):
    """An object for each of its parts would be thirty times as much as the limit of a message says."""
    raw = frames(data, PARTS, ends=False)
    size = PARTS * len(data if isinstance(data, bytes) else data.encode())
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        socket, _, theirs = heard(b"")
        for start in range(0, len(raw), 4_096):  # as a socket gives it: little of it at a time
            await theirs.send_all(raw[start : start + 4_096])
            await trio.testing.wait_all_tasks_blocked()
        assert socket._size == size
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 4 * size + 64 * 1024


@pytest.mark.parametrize("data", ["ab", "é\n", "", b"ab", b""])
@pytest.mark.parametrize("count", [1, 2, 100])
async def test_a_message_is_the_same_however_it_was_cut(heard, data, count):
    _, messages, _ = heard(frames(data, count) + frames(data, count) + frames(b"\x00\xff", 1) + frames("end", 2))
    assert [await messages.receive() for _ in range(4)] == [data * count, data * count, b"\x00\xff", "endend"]


async def test_many_small_frames_leave_others_their_turn(heard):
    """A whole buffer of them would hold the loop of the node for a tenth of a second, again and again."""
    socket, _, _ = heard(frames("ab", 6_400, ends=False))
    turns = 0
    while socket._size < 2 * 6_400:
        await trio.lowlevel.checkpoint()
        turns += 1
    assert turns >= 100
