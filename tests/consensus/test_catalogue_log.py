"""Bugs of other implementations, by their number in docs/design/catalogue.md: what is stored, counted and committed."""

from __future__ import annotations

import itertools

import pytest

from aether.consensus.messages import AppendEntries, AppendReply, VoteReply
from aether.consensus.progress import Mode, Progress
from aether.consensus.quorum import Configuration
from aether.consensus.values import Role, SnapshotMeta, StoredSnapshot
from aether.errors import Overloaded


def test_b02_an_entry_of_an_earlier_term_is_not_committed_by_counting(make_group, persisted_with):
    """Figure 8: a majority of five holds entry 2 of term 2, and a later leader may still replace it."""
    group = make_group("abcde")
    group.start("a", persisted_with(1, 2, term=3))
    group.campaign("a")
    for granted in (VoteReply(term=3, granted=True, pre=True, campaign=1), VoteReply(term=4, granted=True, campaign=2)):
        for peer in "bc":
            group["a"].step(peer, granted)
            group.drive("a")
    assert group["a"].role is Role.LEADER
    for peer in "bcde":
        group["a"].step(peer, AppendReply(term=4, match_index=2))
        group.drive("a")
    assert group["a"].commit_index == 0
    for peer in "bc":
        group["a"].step(peer, AppendReply(term=4, match_index=3))
    group.drive("a")
    assert group["a"].commit_index == 3


def test_b05_a_late_append_takes_no_acknowledged_entry_away(group):
    """b has acknowledged x and y, and they count; then the append with x alone, sent before y, arrives once more."""
    group.elect("a")
    group.propose("a", "x")
    early = group.take("a", "b")
    for _ in range(2):
        for sender, to, message in early:
            group[to].step(sender, message)
        group.drive("b")
        group.propose("a", "y")
        group.deliver("a", "b")
        assert group["b"].last_index > 2
        assert group["b"].commit_index == 1
    assert group.log("b") == "1/1:- 2/1:x 3/1:y 4/1:y"
    assert [entry.index for entry in group.disks["b"].load().entries] == [1, 2, 3, 4]


@pytest.mark.parametrize("order", list(itertools.permutations((1, 2, 3, 3))))
def test_b06_match_commit_and_term_never_fall(group, order):
    """Acknowledgements arrive doubled and in any order, and one of an earlier term is among them."""
    group.elect("a")
    group.propose("a", "x", "y")
    group.take()
    seen = [(1, 1, 1)]
    for index in order:
        group["a"].step("b", AppendReply(term=1, match_index=index))
        group["a"].step("b", AppendReply(term=0, match_index=0))
        group.drive("a")
        seen.append((group["a"].followers["b"].match, group["a"].commit_index, group["a"].term))
    assert all(before <= after for one in zip(*seen, strict=True) for before, after in itertools.pairwise(one))
    assert seen[-1] == (3, 3, 1)


def test_b06_a_follower_does_not_unlearn_its_commit_index(group):
    """An append that was under way for long carries the commit index of its day."""
    group.elect("a")
    group.propose("a", "x")
    old = group.take("a", "b")
    group.propose("a", "y")
    group.stabilize()
    assert group["b"].commit_index == 3
    for sender, to, message in old:
        group[to].step(sender, message)
        group.drive(to)
    assert group["b"].commit_index == 3
    assert [entry.index for entry in group.applied["b"]] == [1, 2, 3]


def test_b07_next_stays_above_match():
    """The rejection of a probe arrives after the snapshot that made it pointless was installed and acknowledged."""
    progress = Progress(9)
    progress.sent(9, 1)
    progress.become_snapshot(StoredSnapshot(SnapshotMeta(20, 3, Configuration(("a", "b"))), 5, 0))
    progress.accepted(20)
    progress.become_replicate()
    assert not progress.rejected(8, 3)
    assert (progress.match, progress.next, progress.mode) == (20, 21, Mode.REPLICATE)
    progress.check(25, 4)


def test_b07_a_late_rejection_of_a_probe_does_not_move_the_leader(group):
    """The same at a leader: what was acknowledged stays, and nothing is sent again."""
    group.elect("a")
    group.propose("a", "x")
    group.stabilize()
    for prev in (0, 1, 2):
        group["a"].step("b", AppendReply(term=1, match_index=prev, rejected=True, hint_index=0, hint_term=0))
        group.drive("a")
        group["a"].check()
        assert group["a"].followers["b"][:3] == (Mode.REPLICATE, 2, 3)
    assert group.sent(AppendEntries, "a") == []


def test_b18_an_old_write_attests_nothing_for_the_entries_that_replaced_it(make_group, entries_of):
    """ABA: entries 2 and 3 of term 1 are being written when a leader of term 2 replaces them by its own 2 and 3.

    When the disk reports the first write, only the first write is durable: nothing may be said about term 2.
    """
    group = make_group("abc")
    core = group["b"]
    core.step("a", AppendEntries(term=1, prev_index=0, prev_term=0, commit_index=0, entries=entries_of(1)))
    group.drive("b")
    group.take()
    group.held.add("b")
    for leader, term in (("a", 1), ("c", 2)):
        added = entries_of(term, term, start=2)
        core.step(leader, AppendEntries(term=term, prev_index=1, prev_term=1, commit_index=0, entries=added))
        group.drive("b")
    assert group.sent(AppendReply, "b") == []
    group.persist("b", 1)
    assert [(m.term, m.match_index) for m in group.sent(AppendReply, "b")] == [(1, 3)]
    group.persist("b", 1)
    assert [(m.term, m.match_index) for m in group.sent(AppendReply, "b")] == [(2, 3)]


def test_b18_a_leader_does_not_count_a_write_of_its_earlier_leadership(make_group, entries_of):
    """Its own disk is slow: entry 2 of term 1 was replaced while it was being written, and then filled once more."""
    group = make_group("abc")
    group.elect("a")
    group.held.add("a")
    group.propose("a", "x")
    overwritten = entries_of(2, start=2)
    group["a"].step("c", AppendEntries(term=2, prev_index=1, prev_term=1, commit_index=1, entries=overwritten))
    group.drive("a")
    assert group["a"]._log.durable == 1
    group.persist("a", 1)
    assert group["a"]._log.durable == 1, "only x is on the disk, and x is gone"
    group.persist("a")
    assert group["a"]._log.durable == 2


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_b19_completions_in_any_order_never_take_back_what_is_durable(make_group, order):
    """The newest number stands for all before it; an older one that comes later says nothing new."""
    group = make_group("a")
    core = group["a"]
    group.drive("a")
    group.held.add("a")
    numbers = []
    for payload in "xyz":
        group.propose("a", payload)
        numbers.append(group.disks["a"].queue[-1].number)
    newest = 0
    for position in order:
        newest = max(newest, position + 1)
        core.persisted(numbers[position])
        group.drive("a")
        assert (core.commit_index, core._log.durable) == (1 + newest, 1 + newest)


@pytest.mark.parametrize("size", range(1, 6))
def test_b20_every_vector_of_acknowledgements_is_counted_right(size):
    """By definition, over all vectors: some majority holds the index, and none holds the next."""
    names = "abcde"[:size]
    majority = size // 2 + 1
    for match in itertools.product(range(4), repeat=size):
        held = dict(zip(names, match, strict=True))
        index = Configuration(tuple(names)).committed_index(held)
        assert sum(at >= index for at in match) >= majority > sum(at >= index + 1 for at in match), held


def test_b20_every_vector_counts_in_both_halves_of_a_change():
    """Not sorted, not stale: the two halves share some voters and not others."""
    joint = Configuration(("a", "b", "d"), outgoing=("a", "b", "c"))
    for match in itertools.product(range(4), repeat=4):
        held = dict(zip("abcd", match, strict=True))
        index = joint.committed_index(held)
        for half in (joint.voters, joint.outgoing):
            assert sum(held[voter] >= index for voter in half) >= 2, held
        assert any(sum(held[voter] > index for voter in half) < 2 for half in (joint.voters, joint.outgoing)), held


def test_b29_a_restart_applies_every_entry_exactly_once(make_group):
    """State and applied index are one thing: what the snapshot holds is not applied again, and nothing is skipped."""
    for stop_at in range(1, 7):
        group = make_group("a", entries_kept=2)
        group.drive("a")
        for number in range(2, 8):
            group.propose("a", f"e{number}")
            if number == stop_at:
                group.snapshot("a")
        covered = group.disks["a"].snapshot_index
        group.crash("a")
        group.start("a")
        group.drive("a")
        applied = [entry.index for entry in group.applied["a"]]
        assert applied == list(range(covered + 1, 9)), f"snapshot at {covered}"


def test_b37_a_leader_without_its_majority_does_not_fill_its_memory(make_group):
    """It refuses long before it notices that it is alone; what it refused did not happen."""
    group = make_group("abc", uncommitted_bytes_max=1_000)
    group.elect("a")
    group.cut = {(one, other) for one in "abc" for other in "abc" if "a" in (one, other)}
    accepted = refused = 0
    for _ in range(200):
        try:
            group.propose("a", "x" * 90)
            accepted += 1
        except Overloaded:
            refused += 1
    group.stabilize()
    assert (accepted, refused) == (10, 190)
    assert group["a"].last_index == 1 + accepted
    assert len(group.disks["a"].load().entries) == 1 + accepted


def test_b37_the_limit_is_free_again_when_the_entries_are_committed_or_gone(make_group, entries_of):
    """A count of bytes kept by hand goes wrong when another leader replaces the entries; this one is measured."""
    group = make_group("abc", uncommitted_bytes_max=100)
    group.elect("a")
    group.propose("a", "x" * 90)
    group.take()
    with pytest.raises(Overloaded):
        group.propose("a", "y" * 90)
    replaced = entries_of(2, start=2)
    group["a"].step("b", AppendEntries(term=2, prev_index=1, prev_term=1, commit_index=2, entries=replaced))
    group.stabilize()
    group.tick("a", 10)
    group.tick("c", 10)
    group.elect("a")
    group.propose("a", "y" * 90)
    assert group["a"].last_index == 4


def test_b38_an_empty_probe_passes_a_full_window(make_group):
    """Every append of the window is lost. A heartbeat's answer shows it, and an append without entries asks."""
    group = make_group("abc", inflight_appends_max=3, append_bytes_max=1)
    group.elect("a")
    group.propose("a", *"uvwxyz")
    assert len(group.sent(AppendEntries, "a", "b")) == 3
    for _ in range(2):
        group.tick("a")
        group.deliver("a", "b")
        group.deliver("b", "a")
    (probe,) = group.sent(AppendEntries, "a", "b")
    assert (probe.prev_index, probe.entries) == (4, ())
    group["b"].step("a", probe)
    group.drive("b")
    group.stabilize()
    assert group["b"].last_index == 7
