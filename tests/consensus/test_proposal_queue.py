"""Proposals in front of the core: bounded, and joined when they come close together."""

import random
from collections.abc import Sequence

import pytest

from aether.consensus.config import RaftConfig
from aether.consensus.core import RaftCore
from aether.consensus.proposal_queue import BATCH, RARE_S, ProposalQueue
from aether.consensus.values import Persisted, Role
from aether.errors import BadInput, Overloaded
from aether.model.ids import NodeId
from aether.model.limits import PROPOSALS_QUEUED_BYTES_MAX

A = NodeId("a")


CONFIG = RaftConfig(node=A, voters=(A,), random=random.Random(1))


def leader(config: RaftConfig = CONFIG) -> RaftCore:
    core = RaftCore(config, Persisted())
    commit(core)
    assert core.role is Role.LEADER
    return core


def commit(core: RaftCore) -> None:
    """Everything that was proposed."""
    while (ready := core.ready()) is not None:
        if ready.write is not None:
            core.persisted(ready.write.number)
        if ready.committed:
            core.applied(ready.committed[-1].index)


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
    assert queue.put(b"first", 1.0), "one alone does not wait either"
    queue.feed(core)
    for _ in range(BATCH - 1):
        assert not queue.put(b"many", 0.0)
    assert queue.put(b"last of a batch", 0.0)
    queue.feed(core)
    assert not queue.put(b"next", 0.0)


def test_each_proposal_is_fed_once() -> None:
    """The core appends whatever it is given."""
    queue, core = ProposalQueue(100), leader()
    before = core.last_index
    queue.put(b"one", 1.0)
    queue.put(b"two", 1.0)
    queue.feed(core)
    queue.feed(core)
    assert core.last_index == before + 2


def test_proposals_that_are_fed_together_may_become_fewer_entries() -> None:
    """What a group costs in log, messages and disks is shared by all in it."""
    given: list[list[bytes]] = []

    def join(payloads: Sequence[bytes]) -> list[bytes]:
        given.append(list(payloads))
        return [b"+".join(payloads)]

    queue, core = ProposalQueue(100, join), leader()
    before = core.last_index
    for payload in (b"one", b"two", b"three"):
        queue.put(payload, 0.0)
    queue.feed(core)
    queue.feed(core)
    assert given == [[b"one", b"two", b"three"]]
    assert core.last_index == before + 1


def test_what_the_log_has_no_room_for_waits_with_those_that_come_later() -> None:
    """In order, and what was joined stays joined."""
    config = RaftConfig(node=A, voters=(A,), random=random.Random(1), uncommitted_bytes_max=10)
    queue, core = ProposalQueue(100, lambda payloads: [b"".join(payloads)]), leader(config)
    queue.put(bytes(40), 1.0)
    queue.feed(core)
    before = core.last_index
    for payload in (b"a", b"b"):
        queue.put(payload, 0.0)
    queue.feed(core)
    assert core.last_index == before, "the first one fills the log until it commits"
    queue.put(b"c", 0.0)
    commit(core)
    queue.feed(core)
    ready = core.ready()
    assert ready is not None
    assert ready.write is not None
    assert [entry.payload for entry in ready.write.entries] == [b"abc"]


def test_a_long_proposal_and_one_too_many_are_refused() -> None:
    """Both limits hold before anything is queued."""
    queue = ProposalQueue(PROPOSALS_QUEUED_BYTES_MAX)
    with pytest.raises(BadInput, match="the proposal is too long"):
        queue.put(bytes(PROPOSALS_QUEUED_BYTES_MAX + 1), 1.0)
    queue.put(bytes(PROPOSALS_QUEUED_BYTES_MAX), 1.0)
    with pytest.raises(Overloaded):
        queue.put(b"x", 1.0)
