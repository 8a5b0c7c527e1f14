"""When a lane writes: the latency of a lone message, and the throughput of many, hang on it."""

import pytest
import trio
import trio.testing

from aether.model.limits import FRAME_CHUNK_BYTES
from aether.transport.counters import Counters
from aether.transport.sender import EAGER_BATCH, Sender
from aether.wire.frames import FrameDecoder
from aether.wire.lane import Lane


class RecordingLink:
    """Takes what it has `room` for at once; `send` waits until `unblock` is set."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.room = 1 << 30
        self.broken = False
        self.unblocked = trio.Event()
        self.unblocked.set()

    has_unsent = False

    def send_now(self, data: bytes | memoryview) -> int:
        if self.broken:
            raise OSError("broken")
        taken = bytes(data[: self.room])
        if taken:
            self.writes.append(taken)
        return len(taken)

    async def send(self, data: bytes) -> None:
        if self.broken:
            raise OSError("broken")
        await self.unblocked.wait()
        self.writes.append(data)

    async def receive(self) -> bytes:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    @property
    def payloads(self) -> list[bytes]:
        return list(FrameDecoder().feed(b"".join(self.writes)))


@pytest.fixture
def link() -> RecordingLink:
    return RecordingLink()


@pytest.fixture
async def sender(link, nursery) -> Sender:
    made = Sender(Lane.CALLS, link, Counters())
    nursery.start_soon(made.run)
    await trio.testing.wait_all_tasks_blocked()
    return made


async def test_a_lone_message_is_written_before_put_returns(sender, link, autojump_clock):
    """A task switch on each side of a sequential call would be a fifth of its time."""
    for number in range(3):
        assert sender.put(b"%d" % number)
        assert len(link.writes) == number + 1
        await trio.sleep(0.001)


async def test_messages_of_one_turn_leave_together_and_in_order(sender, link, autojump_clock):
    """A system call and a wake-up of the peer for each would cost more than the messages."""
    payloads = [b"%d" % number for number in range(10)]
    for payload in payloads:
        sender.put(payload)
    await trio.testing.wait_all_tasks_blocked()
    assert link.payloads == payloads
    assert len(link.writes) == 2  # the first alone, the rest as one


async def test_messages_of_one_turn_leave_together_however_slow_the_turn_is(sender, link, autojump_clock):
    """What is rare is told by turns: a processor that needs a millisecond for each call has a crowd all the same."""
    for number in range(10):
        sender.put(b"%d" % number)
        autojump_clock.jump(0.001)
    await trio.testing.wait_all_tasks_blocked()
    assert len(link.writes) == 2


async def test_one_message_in_each_turn_is_no_crowd_however_fast_the_turns_are(sender, link, autojump_clock):
    """Callers in sequence on a fast machine: no clock moves between two of these."""
    for number in range(10):
        sender.put(b"%d" % number)
        assert len(link.writes) == number + 1
        await trio.testing.wait_all_tasks_blocked()


async def test_a_full_batch_is_written_without_waiting_for_the_turn(sender, link, autojump_clock):
    """The peer works on it while this loop makes the next: with two cores, twice the rate."""
    for number in range(1 + EAGER_BATCH):
        sender.put(b"%d" % number)
    assert len(link.payloads) == 1 + EAGER_BATCH


async def test_a_crowd_that_has_gone_leaves_lone_messages_eager_again(sender, link, autojump_clock):
    """One burst must not slow every later call."""
    for _ in range(5):
        sender.put(b"x")
    await trio.testing.wait_all_tasks_blocked()
    await trio.sleep(1)
    sender.put(b"late by one turn")
    await trio.testing.wait_all_tasks_blocked()
    await trio.sleep(1)
    before = len(link.writes)
    sender.put(b"at once")
    assert len(link.writes) == before + 1


@pytest.mark.parametrize("room", [0, 1, 3, 7, 50])
async def test_nothing_overtakes_the_rest_of_a_partly_written_batch(sender, link, autojump_clock, room):
    """A frame inside another frame would end the connection."""
    link.room = room
    payloads = [b"%02d" % number * 5 for number in range(3 * EAGER_BATCH)]
    for payload in payloads:
        sender.put(payload)
    await trio.testing.wait_all_tasks_blocked()
    assert link.payloads == payloads


async def test_put_does_not_write_while_the_link_is_blocked(sender, link, autojump_clock):
    """Two writers on one socket mix their bytes."""
    link.unblocked = trio.Event()
    sender.put(b"a")
    sender.put(b"b")
    await trio.testing.wait_all_tasks_blocked()  # `run` waits for the link with b
    for number in range(2 * EAGER_BATCH):
        sender.put(b"%d" % number)
    assert link.payloads == [b"a"]
    link.unblocked.set()
    await trio.testing.wait_all_tasks_blocked()
    assert link.payloads == [b"a", b"b", *(b"%d" % number for number in range(2 * EAGER_BATCH))]


async def test_a_long_frame_goes_through_the_turn(sender, link, autojump_clock):
    """It is split into chunks, which only the writer interleaves."""
    sender.put(b"x" * (FRAME_CHUNK_BYTES + 1))
    assert link.writes == []
    await trio.testing.wait_all_tasks_blocked()
    assert link.payloads == [b"x" * (FRAME_CHUNK_BYTES + 1)]


async def test_what_is_urgent_leaves_first(link, nursery):
    """A heartbeat must not wait for entries that the link does not take."""
    made = Sender(Lane.CONSENSUS, link, Counters())
    nursery.start_soon(made.run)
    await trio.testing.wait_all_tasks_blocked()
    link.unblocked = trio.Event()
    made.put(b"x" * (2 * FRAME_CHUNK_BYTES))
    await trio.testing.wait_all_tasks_blocked()  # `run` waits for the link with the first chunk
    made.put(b"entries")
    made.put(b"heartbeat", urgent=True)
    link.unblocked.set()
    await trio.testing.wait_all_tasks_blocked()
    assert link.payloads == [b"heartbeat", b"x" * (2 * FRAME_CHUNK_BYTES), b"entries"]


async def test_a_short_message_does_not_overtake_a_long_one_of_the_same_turn(link, nursery):
    """Nothing is written at once while anything waits."""
    made = Sender(Lane.CONSENSUS, link, Counters())
    nursery.start_soon(made.run)
    await trio.testing.wait_all_tasks_blocked()
    made.put(b"x" * (FRAME_CHUNK_BYTES + 1))
    made.put(b"next")
    await trio.testing.wait_all_tasks_blocked()
    assert link.payloads == [b"x" * (FRAME_CHUNK_BYTES + 1), b"next"]


async def test_a_batch_that_meets_a_broken_link_ends_the_writer(link):
    """The dialler must learn of it, to dial again."""
    made = Sender(Lane.CALLS, link, Counters())
    with pytest.RaisesGroup(OSError):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(made.run)
            await trio.testing.wait_all_tasks_blocked()
            made.put(b"first")
            link.broken = True
            for _ in range(EAGER_BATCH):
                made.put(b"x")
