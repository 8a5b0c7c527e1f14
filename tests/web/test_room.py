"""Who makes way when a listener is full."""

from __future__ import annotations

import attrs
import pytest
import trio
import trio.testing

from aether.web.config import WebConfig
from aether.web.request import Request, Response
from aether.web.room_service import Room
from aether.web.service import WebServer


@attrs.define(eq=False)
class Seat:
    """A connection that is idle, waits for its client, or is at work."""

    doing: str
    closed: bool = False

    @property
    def may_be_cut(self) -> bool:
        return self.doing == "waits"

    def close_if_idle(self) -> bool:
        self.closed = self.closed or self.doing == "idle"
        return self.doing == "idle"

    def cut(self) -> None:
        self.closed = True


def filled(room: Room, *seats: tuple[str, str]) -> list[Seat]:
    made = [Seat(doing) for doing, _ in seats]
    for seat, (_, client) in zip(made, seats, strict=True):
        assert room.enter(seat, client)
    return made


GREEDY, SMALL, NEW = "10.0.0.1", "10.0.0.2", "10.0.0.3"


@pytest.mark.parametrize(
    ("seats", "client", "closes"),
    [
        ([("idle", SMALL), ("idle", GREEDY), ("idle", GREEDY)], NEW, 1),
        ([("idle", SMALL), ("works", GREEDY), ("works", GREEDY)], NEW, 0),
        ([("idle", SMALL), ("idle", GREEDY), ("idle", GREEDY)], GREEDY, 0),
        ([("works", GREEDY), ("waits", GREEDY), ("waits", GREEDY), ("waits", SMALL)], NEW, 1),
        ([("waits", GREEDY), ("waits", GREEDY), ("waits", SMALL), ("waits", SMALL)], NEW, None),
        ([("waits", GREEDY), ("waits", GREEDY), ("waits", GREEDY)], GREEDY, None),
        ([("works", GREEDY), ("works", GREEDY), ("works", GREEDY)], NEW, None),
    ],
    ids=[
        "the idle one of who has the most", "any idle one", "a newcomer of who has the most takes the oldest idle one",
        "what waits for who has over half", "nobody has over half", "its own", "work is never cut",
    ],
)  # fmt: skip
def test_who_makes_way(seats, client, closes):
    room = Room(len(seats))
    made = filled(room, *seats)
    assert room.enter(Seat("idle"), client) == (closes is not None)
    assert [seat.closed for seat in made] == [number == closes for number in range(len(made))]


async def test_streams_of_one_host_leave_room_for_others(autojump_clock):
    """An answer without an end held its connection for good: one host with enough of them had the port for itself."""

    async def endless():
        while True:
            yield b"."
            await trio.sleep(1)

    async def handler(request: Request) -> Response:
        return Response(200, stream=endless()) if request.path == "/stream" else Response(204)

    server = WebServer(handler, WebConfig(connections_max=2))
    async with trio.open_nursery() as nursery:

        async def asked(path: str, client: str) -> trio.StapledStream:
            ours, theirs = trio.testing.memory_stream_pair()
            nursery.start_soon(server.serve_stream, theirs, client)
            await ours.send_all(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            await trio.testing.wait_all_tasks_blocked()
            return ours

        for _ in range(2):
            stream = await asked("/stream", GREEDY)
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 200 ")
        assert (await (await asked("/", GREEDY)).receive_some()).startswith(b"HTTP/1.1 503 ")
        assert (await (await asked("/", NEW)).receive_some()).startswith(b"HTTP/1.1 204 ")
        nursery.cancel_scope.cancel()
