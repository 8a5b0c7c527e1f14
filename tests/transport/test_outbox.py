"""What waits for a lane: bounded, in order, and never a long frame in front of a short one."""

from hypothesis import given, settings
from hypothesis import strategies as st

from aether.model.limits import (
    FRAME_BYTES_MAX,
    FRAME_CHUNK_BYTES,
    OUTBOX_BYTES_MAX,
    OUTBOX_MESSAGES_MAX,
)
from aether.transport.outbox import BATCH_BYTES, Outbox
from aether.wire import FrameDecoder

SIZES = st.lists(st.integers(0, 100) | st.integers(0, 5 * FRAME_CHUNK_BYTES), max_size=12)


@given(SIZES, SIZES)
@settings(max_examples=60, deadline=None)
def test_b43_whatever_is_put_comes_out_whole_and_short_ones_in_order(first, second):
    """Taken while more is put, as a writer does."""
    payloads = [bytes([n % 251]) * size for n, size in enumerate(first + second)]
    outbox, decoder, out = Outbox(drop_oldest=False), FrameDecoder(), []
    for payload in payloads[: len(first)]:
        assert outbox.put(payload)
    out += decoder.feed(outbox.take())
    for payload in payloads[len(first) :]:
        assert outbox.put(payload)
    while outbox:
        out += decoder.feed(outbox.take())

    assert sorted(out) == sorted(payloads)
    short = [p for p in payloads if len(p) <= FRAME_CHUNK_BYTES]
    assert [p for p in out if len(p) <= FRAME_CHUNK_BYTES] == short
    assert len(outbox) == outbox._bytes == 0


def test_many_small_messages_leave_in_one_write():
    """One system call for each message costs a factor of three in throughput."""
    outbox = Outbox(drop_oldest=False)
    for _ in range(100):
        outbox.put(b"x" * 50)

    assert len(list(FrameDecoder().feed(outbox.take()))) == 100
    assert not outbox


def test_a_short_message_waits_for_one_batch_at_most():
    """However many long ones are in front."""
    outbox = Outbox(drop_oldest=False)
    for _ in range(2):
        outbox.put(bytes(FRAME_BYTES_MAX))
    outbox.take()
    outbox.put(b"heartbeat")
    batch = outbox.take()

    assert b"heartbeat" in batch
    assert len(batch) <= BATCH_BYTES + FRAME_CHUNK_BYTES + 100


@given(SIZES, SIZES)
@settings(max_examples=60, deadline=None)
def test_in_order_is_in_order_however_long_the_messages_are(first, second):
    """A follower refuses entries whose predecessors it has not seen; all of them would be sent again."""
    payloads = [bytes([n % 251]) * size for n, size in enumerate(first + second)]
    outbox, decoder, out = Outbox(drop_oldest=True, in_order=True), FrameDecoder(), []
    for payload in payloads[: len(first)]:
        assert outbox.put(payload)
    out += decoder.feed(outbox.take())
    for payload in payloads[len(first) :]:
        assert outbox.put(payload)
    while outbox:
        out += decoder.feed(outbox.take())

    assert out == payloads
    assert len(outbox) == outbox._bytes == 0


def test_an_urgent_message_waits_for_one_chunk_at_most():
    """A heartbeat beside megabytes of entries, some of them short."""
    outbox = Outbox(drop_oldest=True, in_order=True)
    outbox.put(bytes(FRAME_BYTES_MAX))
    for _ in range(100):
        outbox.put(bytes(FRAME_CHUNK_BYTES))
    assert len(outbox.take()) <= FRAME_CHUNK_BYTES + 100
    outbox.put(b"heartbeat", urgent=True)

    assert next(FrameDecoder().feed(outbox.take())) == b"heartbeat"


def test_what_is_urgent_is_dropped_last():
    """A follower that is told nothing any more elects another leader."""
    outbox = Outbox(drop_oldest=True, in_order=True)
    outbox.put(b"heartbeat", urgent=True)
    for _ in range(2 * OUTBOX_BYTES_MAX // FRAME_BYTES_MAX):
        assert outbox.put(bytes(FRAME_BYTES_MAX))

    assert outbox.dropped > 0
    assert next(FrameDecoder().feed(outbox.take())) == b"heartbeat"


def test_a_full_outbox_refuses_the_newest_or_drops_the_oldest():
    """Calls are refused at the sender; consensus keeps what is newest."""
    refusing, dropping = Outbox(drop_oldest=False), Outbox(drop_oldest=True)
    for number in range(OUTBOX_MESSAGES_MAX):
        assert refusing.put(b"%d" % number)
        assert dropping.put(b"%d" % number)

    assert not refusing.put(b"late")
    assert dropping.put(b"late")
    assert len(refusing) == len(dropping) == OUTBOX_MESSAGES_MAX
    assert refusing.dropped == dropping.dropped == 1
    assert next(FrameDecoder().feed(dropping.take())) == b"1"


def test_bytes_are_bounded_too_and_a_frame_half_sent_is_not_dropped():
    """Its peer waits for the rest; the newest has to give way instead."""
    outbox = Outbox(drop_oldest=True)
    for _ in range(OUTBOX_BYTES_MAX // FRAME_BYTES_MAX):
        assert outbox.put(bytes(FRAME_BYTES_MAX))
    outbox.take()

    assert not outbox.put(bytes(FRAME_BYTES_MAX))
    assert outbox.dropped == 1
