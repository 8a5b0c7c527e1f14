"""Raft by the paper, section 8: what clients may rely on. One test for each sentence.

Ongaro, Ousterhout: In Search of an Understandable Consensus Algorithm (extended version, 2014). Serial numbers of
requests are the store's: a session per node, and the numbers of its requests.
"""

from __future__ import annotations

import pytest

from aether.consensus.entry import EntryKind
from aether.consensus.messages import HeartbeatReply, TimeoutNow
from aether.consensus.values import Role
from aether.errors import NotLeader
from aether.kv.commands import Apply, BatchResult, OpenSession, encode_command, stamped
from aether.kv.store import Store

# --- whom to ask ------------------------------------------------------------------------------------------------------


def test_followers_refuse_proposals_and_name_the_leader(in_role):
    """8: who asks the wrong node is refused, and told whom to ask."""
    group = in_role("follower")
    with pytest.raises(NotLeader) as refused:
        group["a"].propose([b"x"])
    assert refused.value.leader == "b"


def test_without_a_leader_a_node_says_that_it_knows_none(group):
    """8: the client asks another one, or the same one after the election."""
    with pytest.raises(NotLeader) as refused:
        group["a"].propose([b"x"])
    assert refused.value.leader is None


def test_a_client_of_a_dead_leader_is_served_by_the_next(in_role):
    """8: its request got no answer; it asks anybody, and is led to the new leader."""
    group = in_role("follower")
    group.crash("b")
    group.tick("a", 10)
    group.tick("c", 10)
    group.take()
    group.elect("c")
    with pytest.raises(NotLeader) as refused:
        group["a"].propose([b"x"])
    group.propose(refused.value.leader, "x")
    group.stabilize()
    assert group.applied["a"][-1].payload == b"x"


# --- executed once ----------------------------------------------------------------------------------------------------


def request(session, sequence, value):
    return stamped(encode_command(Apply(session, sequence, 0, (), (("k", value),))), 1_000)


def stores_of(group):
    """Each node's state machine, after what it has applied."""
    stores = {}
    for name in group.cores:
        stores[name] = Store()
        stores[name].apply(group.applied[name])
    return stores


def test_a_command_is_executed_once_although_its_leader_dies_before_it_answers(make_group):
    """8: it was committed; the client, which cannot know, repeats it at the next leader: the same request, same number.

    The log holds it twice, and every state machine executes the first and remembers its answer for the second.
    """
    group = make_group("abc")
    group.elect("a")
    group["a"].propose([stamped(encode_command(OpenSession("n", "i", 1)), 1_000)])
    group.stabilize()
    session = group["a"].last_index
    group["a"].propose([request(session, 1, b"first")])
    group["a"].propose([request(session, 2, b"second")])
    group.stabilize()
    group.crash("a")
    for name in "bc":
        group.tick(name, 10)
    group.take()
    group.elect("b")
    group["b"].propose([request(session, 1, b"first")])
    group.stabilize()
    repeats = [e for e in group.applied["b"] if e.payload == request(session, 1, b"first")]
    assert [e.index for e in repeats] == [session + 1, session + 4]
    for store in stores_of(group).values():
        assert store.get("k").value == b"second"
        assert store.decided(session, 1) == BatchResult(True, session + 1, None)


def test_a_serial_number_that_was_seen_is_answered_and_not_executed(make_group):
    """8: even when the repeated command says something else: the number is the request."""
    group = make_group("a")
    group.drive("a")
    group["a"].propose([stamped(encode_command(OpenSession("n", "i", 1)), 1_000)])
    session = group["a"].last_index
    group["a"].propose([request(session, 1, b"first"), request(session, 1, b"other"), request(session, 2, b"next")])
    group.drive("a")
    store = stores_of(group)["a"]
    assert store.get("k").value == b"next"
    assert store.decided(session, 1).revision == session + 1
    assert store.get("k").version == session + 3


# --- reads without the log --------------------------------------------------------------------------------------------


def test_a_new_leader_commits_a_no_op_of_its_term_at_once(make_group):
    """8: a term begins with an entry that changes nothing, so that the leader learns what is committed."""
    group = make_group("abc")
    group.elect("a")
    assert [(e.kind, e.payload, e.term) for e in group.applied["b"]] == [(EntryKind.NO_OP, b"", 1)]


def test_a_read_adds_nothing_to_the_log(in_role):
    """8: it could be answered from the leader's state alone, if only it were certain that it still leads."""
    group = in_role("leader")
    before = group["a"].last_index
    group.read("a", 1)
    group.stabilize()
    assert group["a"].last_index == before
    assert group.reads == [("a", 1, before)]


def test_a_leader_that_was_deposed_answers_no_read(in_role):
    """8: a newer leader may have committed what the old one has never heard of, so a majority must confirm it first."""
    group = in_role("leader")
    group["b"].step("a", TimeoutNow(term=1))
    group.drive("b")
    for _ in range(3):
        group.deliver("b", "c")
        group.deliver("c", "b")
        if group["b"].role is Role.LEADER and group["b"].last_index == 2:
            group.propose("b", "new")
    assert (group["b"].commit_index, group["a"].commit_index) == (3, 1)
    group.take()
    group.read("a", 1)
    for peer in "bc":
        group.deliver("a", peer)
        group.deliver(peer, "a")
    assert ("a", 1, 1) not in group.reads
    assert group.reads == [("a", 1, 0)]


def test_a_leader_exchanges_heartbeats_with_a_majority_before_it_answers_a_read(make_group):
    """8: in a group of five, two answers and its own word."""
    group = make_group("abcde")
    group.elect("a")
    group.read("a", 1)
    for peer, reads in (("b", []), ("c", [("a", 1, 1)])):
        group["a"].step(peer, HeartbeatReply(term=1, round=1))
        group.drive("a")
        assert group.reads == reads


def test_a_leader_knows_what_is_committed_only_after_an_entry_of_its_own(make_group, persisted_with):
    """8: by leader completeness it has everything, but not the knowledge how far that is committed: reads wait."""
    group = make_group("abc")
    for name in "abc":
        group.start(name, persisted_with(1, 1, 1, commit=1))
    group.campaign("a")
    for _ in range(4):
        group.deliver()
    group.read("a", 1)
    assert (group["a"].commit_index, group.reads) == (1, [])
    group.stabilize()
    assert group.reads == [("a", 1, 4)]
