"""Frames: whatever the cut, what comes out is what went in, and nothing oversized is ever stored."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aether.errors import BadInput
from aether.model.limits import FRAME_BYTES_MAX, FRAME_CHUNK_BYTES, LONG_FRAMES_MAX
from aether.wire.frames import CHUNK_HEADER_BYTES, FrameDecoder, FrameTooLarge, encode_frame, split_frame

PAYLOADS = st.lists(st.one_of(st.binary(max_size=40), st.integers(0, 3 * FRAME_CHUNK_BYTES).map(bytes)), max_size=6)


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    """`data` in pieces of the sizes, over and over."""
    pieces, position, turn = [], 0, 0
    while position < len(data):
        size = sizes[turn % len(sizes)]
        pieces.append(data[position : position + size])
        position, turn = position + size, turn + 1
    return pieces


def encoded(payloads: list[bytes]) -> bytes:
    whole = [
        encode_frame(p) if len(p) <= FRAME_CHUNK_BYTES else b"".join(split_frame(p, number))
        for number, p in enumerate(payloads)
    ]
    return b"".join(whole)


@given(PAYLOADS, st.lists(st.integers(1, 70_000), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_any_payloads_survive_any_chunking(payloads: list[bytes], sizes: list[int]):
    """TCP cuts the stream where it likes."""
    sizes = sizes if max(sizes) > 500 else [*sizes, 5_000]
    decoder = FrameDecoder()

    out = [payload for piece in cut(encoded(payloads), sizes) for payload in decoder.feed(piece)]

    assert out == payloads
    assert decoder.is_empty


@given(st.lists(st.binary(max_size=200), max_size=8))
@settings(max_examples=50, deadline=None)
def test_one_byte_at_a_time_is_enough(payloads: list[bytes]):
    """The smallest pieces meet every boundary inside header and body."""
    decoder = FrameDecoder()

    assert [p for byte in encoded(payloads) for p in decoder.feed(bytes([byte]))] == payloads


@given(
    st.lists(
        st.binary(max_size=40) | st.sampled_from([encode_frame(b"x"), b"\x80\x00\x00\x02" + b"\0" * 8]), max_size=12
    )
)
@settings(max_examples=200, deadline=None)
def test_b31_hostile_bytes_raise_nothing_but_the_documented_errors(pieces: list[bytes]):
    """A peer may send anything; the reader of its connection relies on BadInput being the only way out."""
    decoder = FrameDecoder()
    try:
        for piece in pieces:
            for payload in decoder.feed(piece):
                assert isinstance(payload, bytes)
    except BadInput:
        return


def test_an_oversized_frame_is_refused_when_it_is_announced():
    """Four bytes must not make us wait for, or store, sixteen megabytes and one."""
    decoder = FrameDecoder()

    with pytest.raises(
        FrameTooLarge, match=f"a frame of {FRAME_BYTES_MAX + 1} bytes exceeds the limit of {FRAME_BYTES_MAX}"
    ):
        list(decoder.feed((FRAME_BYTES_MAX + 1).to_bytes(4, "big")))


def test_an_oversized_frame_in_chunks_is_refused_with_its_first_header():
    """Chunks announce the whole, so the sum is refused before any of it is kept."""
    header = (1 << 31 | 10).to_bytes(4, "big") + (1).to_bytes(4, "big") + (FRAME_BYTES_MAX + 1).to_bytes(4, "big")
    decoder = FrameDecoder()

    with pytest.raises(FrameTooLarge):
        list(decoder.feed(header))


def test_frames_before_a_bad_one_are_still_delivered():
    """What was complete was sent in good faith; only the rest of the stream is lost."""
    feed = FrameDecoder().feed(encode_frame(b"good") + b"\x7f\xff\xff\xff")

    assert next(feed) == b"good"
    with pytest.raises(FrameTooLarge):
        next(feed)


def test_a_short_frame_passes_between_the_chunks_of_a_long_one():
    """A heartbeat must not wait for a snapshot."""
    long = b"l" * (2 * FRAME_CHUNK_BYTES)
    first, second = split_frame(long, 7)
    decoder = FrameDecoder()

    assert list(decoder.feed(first + encode_frame(b"short") + second)) == [b"short", long]


def test_two_long_frames_interleave():
    """Chunks are told apart by the number of their frame."""
    a, b = b"a" * (2 * FRAME_CHUNK_BYTES + 1), b"b" * (2 * FRAME_CHUNK_BYTES)
    (a1, a2, a3), (b1, b2) = split_frame(a, 1), split_frame(b, 2)
    decoder = FrameDecoder()

    assert list(decoder.feed(a1 + b1 + a2 + b2 + a3)) == [b, a]


def test_more_unfinished_long_frames_than_allowed_are_refused():
    """Otherwise a peer could make us hold any number of halves."""
    decoder = FrameDecoder()
    starts = [next(split_frame(b"x" * (2 * FRAME_CHUNK_BYTES), n)) for n in range(LONG_FRAMES_MAX + 1)]

    with pytest.raises(BadInput, match="unfinished"):
        list(decoder.feed(b"".join(starts)))


@pytest.mark.parametrize(
    ("first", "second"),
    [((4, 1, 8), (4, 1, 9)), ((4, 1, 8), (5, 1, 8)), ((0, 1, 8), (0, 1, 8)), ((4, 1, 3), (1, 1, 3))],
    ids=["another total", "more than the rest", "empty chunk", "longer than its whole"],
)
def test_chunks_that_contradict_each_other_are_refused(first, second):
    """Each of these would make the count of missing bytes wrong for ever."""

    def chunk(size: int, number: int, total: int) -> bytes:
        return b"".join(n.to_bytes(4, "big") for n in (1 << 31 | size, number, total)) + b"x" * size

    with pytest.raises(BadInput, match="does not fit"):
        list(FrameDecoder().feed(chunk(*first) + chunk(*second)))


def test_a_slow_long_frame_is_copied_a_bounded_number_of_times():
    """Feeding one megabyte in 64-byte pieces took minutes when each piece moved the whole buffer."""
    payload = bytes(FRAME_BYTES_MAX // 16)
    stream = len(payload).to_bytes(4, "big") + payload
    decoder = FrameDecoder()
    moved = 0
    for start in range(0, len(stream), 64):
        before = len(decoder._buffer)
        out = list(decoder.feed(stream[start : start + 64]))
        moved += before if len(decoder._buffer) < before else 0  # the buffer was emptied: its bytes were copied once

    assert out == [payload]
    assert moved <= 3 * len(stream)


def test_the_header_of_a_chunk_is_as_long_as_documented():
    """Other implementations read this layout from the module's first lines."""
    (only,) = split_frame(b"abc", 5)

    assert only == b"\x80\x00\x00\x03" + b"\x00\x00\x00\x05" + b"\x00\x00\x00\x03" + b"abc"
    assert len(only) == CHUNK_HEADER_BYTES + 3
