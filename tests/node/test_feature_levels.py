"""A cluster of mixed releases does only what all of them can."""

from __future__ import annotations

import random

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from aether.consensus.config import RaftConfig
from aether.consensus.service import ConsensusService
from aether.errors import BadInput
from aether.kv import keys
from aether.kv.commands import Batch, Delete, Put
from aether.kv.service import KvService
from aether.kv.store import Store
from aether.model.features import FEATURE_LEVEL, FEATURES, decide_feature_level
from aether.model.ids import Incarnation, NodeId
from aether.model.rows import MemberRow
from aether.node.feature_levels import FeatureLevels, check_release, level_in_force
from aether.storage.memory import MemoryStorage
from aether.work import InlineWork

LEVELS = st.integers(1, 5)


@pytest.fixture
async def kv_of_one(nursery):
    """The store of a single node that leads."""
    store = Store()
    config = RaftConfig(node=NodeId("a"), voters=(NodeId("a"),), random=random.Random(1))
    consensus = ConsensusService(config, MemoryStorage(), store, lambda to, message: False, InlineWork())
    kv = KvService(NodeId("a"), Incarnation("i"), consensus, store, lambda to, message: False, lambda: 0.0)
    await nursery.start(consensus.run)
    await nursery.start(kv.run)
    with trio.fail_after(5):
        while kv.leadership is None:
            await trio.sleep(0.01)
    return kv


@given(LEVELS, st.lists(LEVELS))
def test_the_level_is_what_all_have_and_never_falls(in_force, advertised):
    """What was written at a level must stay readable; what one member lacks must not be written."""
    level = decide_feature_level(in_force, advertised)
    assert level >= in_force
    assert level == in_force or all(other >= level for other in advertised)
    if advertised and min(advertised) >= in_force:
        assert level == min(advertised)


def test_every_level_says_what_it_brings():
    """Levels count from 1 without a gap."""
    assert sorted(FEATURES) == list(range(1, FEATURE_LEVEL + 1))


class FakeRows:
    def __init__(self, level):
        self.level = level

    def get(self, key):
        return self.level if key == keys.feature_level or key is keys.feature_level else None


def test_an_older_release_does_not_serve():
    """It would meet a command that it cannot apply, in the middle of the work."""
    check_release(FakeRows(None), 1)
    check_release(FakeRows(2), 2)
    with pytest.raises(BadInput, match="feature level 2, and this release has level 1"):
        check_release(FakeRows(2), 1)


async def members(kv, **levels):
    rows = [MemberRow(node=node, incarnation="i", feature_level=level) for node, level in levels.items()]
    await kv.propose(Batch((), tuple(Put(keys.member(row.node), row) for row in rows)))


async def test_the_leader_raises_the_level_when_the_last_member_is_updated(autojump_clock, nursery, kv_of_one):
    """A rolling update: nothing new happens until its end, then at once."""
    await members(kv_of_one, a=2, b=2, c=1)
    nursery.start_soon(FeatureLevels(kv_of_one).run)
    await trio.sleep(5)
    assert level_in_force(kv_of_one) == 1
    await members(kv_of_one, c=3)
    await trio.sleep(1)
    assert level_in_force(kv_of_one) == 2
    await members(kv_of_one, c=1)
    await trio.sleep(5)
    assert level_in_force(kv_of_one) == 2


async def test_a_member_that_left_holds_nobody_back(autojump_clock, nursery, kv_of_one):
    """Its row goes with it."""
    await members(kv_of_one, a=2, b=1)
    nursery.start_soon(FeatureLevels(kv_of_one).run)
    await trio.sleep(1)
    await kv_of_one.propose(Batch((), (Delete(keys.member("b")),)))
    await trio.sleep(1)
    assert level_in_force(kv_of_one) == 2
