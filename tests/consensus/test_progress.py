"""The leader's picture of one follower."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from aether.consensus.progress import Mode, Progress, SnapshotTransfer
from aether.consensus.quorum import Configuration
from aether.consensus.values import SnapshotMeta, StoredSnapshot


def snapshot_of(size):
    return StoredSnapshot(SnapshotMeta(5, 1, Configuration(("a",))), size, 0)


def test_a_probe_waits_for_its_answer():
    """Guessing on would flood a follower whose log is far behind."""
    progress = Progress(9)
    assert progress.can_append(4)
    progress.sent(9, 1)
    assert not progress.can_append(4)
    assert progress.next == 9
    progress.heard_heartbeat(9)
    assert progress.can_append(4)


def test_replication_is_optimistic_up_to_its_window():
    """next moves when entries are sent, not when they are acknowledged."""
    progress = Progress(5)
    progress.accepted(4)
    progress.become_replicate()
    for last in (5, 6):
        assert progress.can_append(2)
        progress.sent(last, 1)
    assert (progress.next, progress.can_append(2)) == (7, False)
    assert progress.accepted(5)
    assert progress.can_append(2)


def test_a_rejection_goes_back_but_never_behind_match():
    """What a follower acknowledged it cannot lack."""
    progress = Progress(10)
    progress.accepted(4)
    progress.become_replicate()
    progress.sent(9, 5)
    assert progress.rejected(9, 2)
    assert (progress.mode, progress.next, len(progress.in_flight)) == (Mode.PROBE, 5, 0)
    assert not progress.rejected(3, 1)


def test_a_stale_rejection_of_another_probe_is_ignored():
    """Only the answer to the probe under way moves it."""
    progress = Progress(10)
    assert not progress.rejected(7, 3)
    assert progress.next == 10
    assert progress.rejected(9, 3)
    assert progress.next == 3


def test_a_snapshot_that_was_lost_after_it_arrived_is_sent_again():
    """The follower crashed before it was durable."""
    progress = Progress(1)
    progress.become_snapshot(snapshot_of(10))
    progress.transfer.next_chunk(100, 2)
    progress.transfer.acknowledge(10)
    assert progress.transfer.complete
    assert not progress.rejected(5, 1)
    assert progress.transfer.next_chunk(100, 2) == (0, 10)


def test_an_empty_snapshot_is_one_empty_chunk():
    """A state machine may have nothing to say; the index still moves."""
    transfer = SnapshotTransfer(snapshot_of(0))
    assert transfer.next_chunk(4, 2) == (0, 0)
    assert transfer.next_chunk(4, 2) is None
    transfer.resend()
    assert transfer.next_chunk(4, 2) == (0, 0)


@given(st.integers(0, 60), st.integers(1, 9), st.integers(1, 4), st.lists(st.booleans(), max_size=40))
@settings(max_examples=150)
def test_b43_a_snapshot_arrives_whole_whatever_is_lost(size, chunk_bytes, window, losses):
    """Chunk boundaries and resends are where off-by-one errors live."""
    content = bytes(i % 251 for i in range(size))
    transfer = SnapshotTransfer(snapshot_of(size))
    received, lost, got_any = bytearray(), iter(losses), False
    for _ in range(400):
        in_flight = []
        while (piece := transfer.next_chunk(chunk_bytes, window)) is not None:
            in_flight.append(piece)
        assert len(in_flight) <= window
        for offset, length in in_flight:
            assert length <= chunk_bytes
            if next(lost, False):
                continue
            got_any = True
            if offset == len(received):
                received += content[offset : offset + length]
            transfer.acknowledge(len(received))
        if got_any and len(received) == size:
            break
        for _ in range(200):  # longer than the longest patience
            transfer.heard_heartbeat()
    assert bytes(received) == content
    assert transfer.complete


@given(st.lists(st.tuples(st.sampled_from(["send", "ack", "reject", "beat"]), st.integers(0, 30)), max_size=60))
@settings(max_examples=200)
def test_the_invariants_survive_any_order_of_answers(events):
    """match never falls, next stays above it, the window holds: for late, doubled and lying answers alike."""
    progress, last, match = Progress(11), 10, 0
    for event, number in events:
        if event == "send" and progress.can_append(4):
            last = max(last, progress.next)
            progress.sent(progress.next, 1)
        elif event == "ack" and number <= last:
            progress.accepted(number)
            progress.become_replicate()
        elif event == "reject" and number <= last:
            progress.rejected(number, max(1, number - 3))
        elif event == "beat":
            progress.heard_heartbeat(last)
        progress.check(last, 4)
        assert progress.match >= match
        match = progress.match
