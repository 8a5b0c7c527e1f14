"""Nodes whose states part are found, and the wrong ones stop."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from aether.consensus.entry import EntryKind
from aether.errors import StateDiverged
from aether.kv import agreement
from aether.kv.agreement import Agreement, decide_diverged
from aether.kv.commands import Batch
from aether.kv.messages import StateVerdict

VOTERS = ("a", "b", "c")


@pytest.mark.parametrize(
    ("reports", "stopped"),
    [
        ({"a": b"1"}, ""),
        ({"a": b"1", "b": b"1"}, ""),
        ({"a": b"1", "b": b"2"}, ""),
        ({"a": b"1", "b": b"2", "c": b"1"}, "b"),
        ({"a": b"1", "b": b"2", "c": b"2"}, "a"),
        ({"a": b"1", "b": b"2", "c": b"3"}, "abc"),
        ({"a": b"1", "b": b"1", "w": b"2"}, "w"),
        ({"a": b"1", "w": b"2", "v": b"2"}, ""),
        ({"w": b"2"}, ""),
    ],
)
def test_the_majority_of_the_voters_is_right(reports, stopped):
    """Learners are judged and have no say; nobody is judged too early; without any majority nobody can be believed."""
    assert decide_diverged(reports, VOTERS) == frozenset(stopped)


@given(
    st.dictionaries(st.sampled_from("abcdew"), st.sampled_from([b"1", b"2", b"3"])), st.sets(st.sampled_from("abcde"))
)
def test_no_node_that_agrees_with_a_majority_is_ever_stopped(reports, voters):
    """A false accusation would take a healthy cluster down."""
    stopped = decide_diverged(reports, voters)
    for state_hash in {*reports.values()}:
        holders = [node for node in voters if reports.get(node) == state_hash]
        if len(holders) >= len(voters) // 2 + 1:
            assert not stopped & set(holders)
            assert stopped == {node for node in reports if reports[node] != state_hash}


def test_old_marks_are_forgotten():
    """A leader of years must not remember every report."""
    known = Agreement()
    for revision in range(1, 100):
        known.reported("a", revision, b"1", VOTERS)
    assert len(known._reports) == agreement.REVISIONS_KEPT


async def write_until(cluster, revision):
    while len(cluster.log) < revision:
        cluster._append(EntryKind.NO_OP, b"")
    await trio.sleep(0.1)


@pytest.mark.parametrize("wrong", ["a", "b"])
async def test_the_node_whose_state_differs_stops_and_no_other(autojump_clock, fake_cluster, monkeypatch, wrong):
    """Leader or follower: whoever differs from the majority must not be read any more."""
    monkeypatch.setattr("aether.kv.store.STATE_HASH_EVERY", 10)
    made = fake_cluster()
    stopped = {}

    async def run(name):
        try:
            await made.kv[name].run()
        except* StateDiverged as error:
            stopped[name] = error.exceptions[0]

    async with trio.open_nursery() as nursery:
        for name in made.names:
            nursery.start_soon(run, name)
        nursery.start_soon(made.pump)
        made.elect("a")
        await trio.sleep(0.05)
        await write_until(made, 15)
        assert not stopped
        made.stores[wrong]._chain ^= 1
        await write_until(made, 25)
        assert list(stopped) == [wrong]
        assert "differs from that of the majority" in str(stopped[wrong])
        nursery.cancel_scope.cancel()


async def test_only_the_leader_accuses(autojump_clock, cluster, nursery):
    """A confused node must not take others down."""
    cluster.kv["b"].deliver("c", StateVerdict(10))
    await trio.sleep(1)
    await cluster.kv["b"].propose(Batch())


async def test_a_new_leader_hears_from_everybody(autojump_clock, fake_cluster, nursery, monkeypatch):
    """What the old one knew is gone with it."""
    monkeypatch.setattr("aether.kv.store.STATE_HASH_EVERY", 10)
    made = fake_cluster()
    for kv in made.kv.values():
        await nursery.start(kv.run)
    nursery.start_soon(made.pump)
    made.elect("a")
    await trio.sleep(0.05)
    await write_until(made, 12)
    made.elect("b")
    await trio.sleep(0.2)
    assert set(made.kv["b"]._states._agreement._reports[10]) == {"a", "b", "c"}
