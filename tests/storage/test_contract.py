"""What every LogStorage promises, on disk and in memory alike."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aether.consensus.values import HardState, Persisted
from aether.storage.memory import MemoryStorage


def test_a_new_store_is_empty(reopen):
    """A first boot must not look like a restart."""
    store = reopen()
    assert store.is_new
    assert store.load() == Persisted(HardState(), None, ())


def test_a_restart_finds_hard_state_and_entries(reopen, make):
    """Votes and acknowledged entries outlive the process: Raft's safety rests on it."""
    store = reopen()
    store.load()
    store.write([make.write(1, *make.entries(1, 3), state=make.hard(1, "a"))])
    store.write([make.write(2, *make.entries(4, 5)), make.write(3, state=make.hard(2, "b", 4))])
    assert reopen().load() == Persisted(make.hard(2, "b", 4), None, make.entries(1, 5))


def test_entries_keep_their_payload_and_encoding(reopen, make):
    """The encoded bytes serve the peers after a restart too."""
    store = reopen()
    store.load()
    added = make.entry(1, 7, bytes(range(256)) + bytes(3000))
    store.write([make.write(1, added, state=make.hard(7))])
    (found,) = reopen().load().entries
    assert found == added
    assert found.encoded == added.encoded


def test_a_write_that_overlaps_replaces_the_tail(reopen, make):
    """A new leader overrides entries that never committed; the old ones must not come back."""
    store = reopen()
    store.load()
    store.write([make.write(1, *make.entries(1, 6, term=1))])
    store.write([make.write(2, *make.entries(3, 4, term=2), state=make.hard(2))])
    assert reopen().load().entries == make.entries(1, 2, term=1) + make.entries(3, 4, term=2)


def test_a_received_snapshot_restarts_the_log_behind_it(reopen, make):
    """Entries before a received snapshot may contradict it."""
    store = reopen()
    store.load()
    store.write([make.write(1, *make.entries(1, 6, term=1))])
    store.write([make.write(2, *make.entries(11, 12, term=3), snap=make.snapshot(10, 3), state=make.hard(3))])
    assert reopen().load() == Persisted(make.hard(3), make.snapshot(10, 3), make.entries(11, 12, term=3))


def test_a_local_snapshot_keeps_the_entries_behind_it(reopen, make):
    """What the snapshot does not cover is still needed."""
    store = reopen()
    store.load()
    store.write([make.write(1, *make.entries(1, 20), state=make.hard(1, commit=12))])
    store.save_snapshot(make.snapshot(12).meta, [b"sta", b"te"], 8)
    assert reopen().load() == Persisted(make.hard(1, commit=12), make.snapshot(12), make.entries(13, 20))


def test_an_older_snapshot_does_not_replace_a_newer_one(reopen, make):
    """A local snapshot may finish after a newer one was received."""
    store = reopen()
    store.load()
    store.write([make.write(1, *make.entries(1, 20))])
    store.write([make.write(2, snap=make.snapshot(30))])
    store.save_snapshot(make.snapshot(15).meta, [b"old"], 10)
    assert reopen().load() == Persisted(HardState(), make.snapshot(30), ())


def test_writing_goes_on_after_a_restart(reopen, make):
    """The position to append at is found again, several times over."""
    for round_number in range(5):
        store = reopen()
        first = 3 * round_number + 1
        assert store.load().entries == make.entries(1, first - 1)
        store.write([make.write(1, *make.entries(first, first + 2))])


def test_writing_nothing_is_allowed(reopen):
    """An empty group commit is no error."""
    store = reopen()
    store.load()
    store.write([])
    assert reopen().load() == Persisted()


@st.composite
def histories(draw):
    """Legal sequences: append, override, move the commit index, save or receive a snapshot, restart."""
    return draw(
        st.lists(
            st.tuples(
                st.sampled_from(["append", "override", "commit", "save", "receive", "restart"]),
                st.integers(1, 40),
                st.integers(0, 400),
            ),
            max_size=25,
        )
    )


@given(history=histories())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_disk_and_memory_agree_after_any_history(history, make, tmp_path_factory, open_disk):
    """Memory is the simulator's disk: if the two differed, simulations would prove nothing about the real one."""
    path = tmp_path_factory.mktemp("history")
    disk, memory = open_disk(path), MemoryStorage()
    disk.load()
    last, term, saved = 0, 1, 0
    terms: dict[int, int] = {}  # of each entry as the log has it now
    for number, (act, size, payload_bytes) in enumerate(history, 1):
        if act in {"append", "override"}:
            term += act == "override"
            start = last + 1 if act == "append" else max(saved + 1, last - size)
            last = start + size % 7
            terms |= dict.fromkeys(range(start, last + 1), term)
            added = make.entries(start, last, term, bytes(payload_bytes))
            both = [make.write(number, *added, state=make.hard(term, "a"))]
        elif act == "commit":
            both = [make.write(number, state=make.hard(term, "a", last))]
        elif act == "receive":
            saved = last = last + size
            both = [make.write(number, snap=make.snapshot(saved, term))]
        else:
            both = []
        if act == "save" and last > saved:
            saved = saved + 1 + size % (last - saved)
            for store in (disk, memory):
                store.save_snapshot(
                    make.snapshot(saved, terms.get(saved, term)).meta, [b"s" * payload_bytes], max(1, saved - size)
                )
        if act == "restart":
            disk = open_disk(path)
            assert disk.load() == memory.load()
        for store in (disk, memory):
            store.write(both)
    assert open_disk(path).load() == memory.load()


def test_memory_forgets_what_was_staged_when_it_crashes(make):
    """The model of un-synced loss: a first part survives, in order."""
    store = MemoryStorage()
    store.write([make.write(1, *make.entries(1, 2))])
    store.stage([make.write(2, make.entry(3)), make.write(3, make.entry(4)), make.write(4, make.entry(5))])
    store.crash(kept=1)
    assert store.load().entries == make.entries(1, 3)


def test_memory_fails_like_a_dying_disk(make):
    """Nothing of a failed write is kept, and no later one is accepted, until the node restarts."""
    from aether.errors import StorageFailed

    store = MemoryStorage()
    store.fail("gone")
    for _ in range(2):
        with pytest.raises(StorageFailed, match="gone"):
            store.write([make.write(1, make.entry(1))])
    store.crash()
    assert store.load() == Persisted()
