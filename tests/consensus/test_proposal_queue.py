"""Proposals in front of the core: bounded, and joined when they come close together."""

import random

import pytest

from aether.consensus.config import RaftConfig
from aether.consensus.core import RaftCore
from aether.consensus.proposal_queue import BATCH, RARE_S, ProposalQueue
from aether.consensus.values import Persisted, Role
from aether.errors import BadInput, Overloaded
from aether.model.ids import NodeId
from aether.model.limits import PROPOSALS_QUEUED_BYTES_MAX

A = NodeId("a")


def leader() -> RaftCore:
    core = RaftCore(RaftConfig(node=A, voters=(A,), random=random.Random(1)), Persisted())
    while (ready := core.ready()) is not None:
        if ready.write is not None:
            core.persisted(ready.write.number)
        if ready.committed:
            core.applied(ready.committed[-1].index)
    assert core.role is Role.LEADER
    return core


def test_proposals_are_a_crowd_from_the_second_close_one_until_a_turn_finds_one_alone() -> None:
    """A crowd shares messages and writes; a lone caller must not wait for company."""
    queue, core = ProposalQueue(100), leader()
    queue.put(b"alone", 1.0)
    assert not queue.is_crowded
    queue.feed(core)
    queue.put(b"close", RARE_S / 2)
    assert queue.is_crowded
    queue.put(b"second", 1.0)
    queue.feed(core)
    assert queue.is_crowded
    queue.put(b"last", 1.0)
    queue.feed(core)
    assert not queue.is_crowded


def test_a_full_batch_does_not_wait_for_the_rest_of_the_crowd() -> None:
    """Followers would be idle while thousands of callers make their proposals."""
    queue, core = ProposalQueue(100), leader()
    queue.put(b"first", 1.0)
    assert queue.wants_turn
    queue.feed(core)
    for _ in range(BATCH - 1):
        queue.put(b"many", 0.0)
        assert not queue.wants_turn
    queue.put(b"last of a batch", 0.0)
    assert queue.wants_turn
    queue.feed(core)
    queue.put(b"next", 0.0)
    assert not queue.wants_turn


def test_each_proposal_is_fed_once() -> None:
    """The core appends whatever it is given."""
    queue, core = ProposalQueue(100), leader()
    before = core.last_index
    queue.put(b"one", 1.0)
    queue.put(b"two", 1.0)
    queue.feed(core)
    queue.feed(core)
    assert core.last_index == before + 2


def test_a_long_proposal_and_one_too_many_are_refused() -> None:
    """Both limits hold before anything is queued."""
    queue = ProposalQueue(PROPOSALS_QUEUED_BYTES_MAX)
    with pytest.raises(BadInput, match="the proposal is too long"):
        queue.put(bytes(PROPOSALS_QUEUED_BYTES_MAX + 1), 1.0)
    queue.put(bytes(PROPOSALS_QUEUED_BYTES_MAX), 1.0)
    with pytest.raises(Overloaded):
        queue.put(b"x", 1.0)
