"""Whole nodes join, vote, are replaced and leave: in memory, in virtual time."""

import itertools

import attrs
import pytest
import trio

from aether.errors import BadInput, Conflict, IdentityMismatch, NotFound, Removed
from aether.kv import keys
from aether.kv.commands import Batch, Put
from aether.model.ids import StoreId
from aether.node.seams import OpenedStorage
from aether.storage.memory import MemoryStorage

KEY = keys.map_entry("m", b"k")


async def write(group, name, value):
    result = await group.node(name).kv.propose(Batch(changes=(Put(KEY, value),)))
    assert result.applied


# --- joining ----------------------------------------------------------------------------------------------------------


async def test_a_group_grows_from_one_node_to_five_voters_and_a_worker(autojump_clock, group):
    await group.start("n1", join=False)
    await group.ready("n1")
    await write(group, "n1", b"before anybody joined")
    steps = [("1", "2"), ("123", ""), ("123", "4"), ("12345", ""), ("12345", "6")]
    for number, (voters, workers) in enumerate(steps, 2):
        await group.start(f"n{number}")
        await group.ready(f"n{number}")
        await group.settled(voters, workers)
        assert group.node(f"n{number}").kv.get(KEY) == b"before anybody joined"

    await write(group, "n6", b"by a worker")
    for name in group.members:
        await group.until(lambda name=name: group.node(name).kv.get(KEY) == b"by a worker")


async def test_five_nodes_that_join_at_once_all_get_in(autojump_clock, group):
    """Bootstrap in any order: the newcomers may be started before whom they ask."""
    for number in range(2, 6):
        await group.start(f"n{number}")
    await trio.sleep(3)
    await group.start("n1", join=False)

    await group.settled("12345")
    await group.ready(*group.members)


async def test_a_joined_node_comes_back_by_what_its_own_store_knows(autojump_clock, group):
    await group.grow(3)
    await group.settled("123")
    for name in ("n3", "n2", "n1"):
        await group.kill(name)
    group.contacts = []
    for name in ("n2", "n3"):  # two of three are enough, and neither is told of the other
        await group.start(name, join=False)

    await group.ready("n2", "n3")
    await group.start("n1", join=False)
    await group.settled("123")


async def test_a_member_that_is_told_to_join_again_just_comes_back(autojump_clock, group):
    """The same options at each start are the usual unit file."""
    await group.grow(3)
    await group.settled("123")
    await group.kill("n3")
    await group.start("n3")
    await group.ready("n3")

    await group.settled("123")


async def test_the_first_entry_of_the_first_leader_names_the_cluster(autojump_clock, group):
    await group.grow(2)
    store = group.node("n1").kv

    assert 0 < store.version(keys.cluster) < store.version(keys.leadership)
    first = store.version(keys.cluster)
    await group.kill("n1")
    await group.start("n1", join=False)
    await group.ready("n1")
    assert group.node("n1").kv.version(keys.cluster) == first


# --- identity ---------------------------------------------------------------------------------------------------------


async def test_a_member_with_another_disk_is_refused_and_told_what_mends_it(autojump_clock, group):
    await group.grow(3)
    await group.settled("123")
    await group.kill("n3")
    del group.stores["n3"]
    await group.start("n3")

    error = await group.ended("n3")

    assert "another data directory" in str(error)
    assert "aether members remove n3" in str(error)
    await write(group, "n1", b"undisturbed")


async def test_an_older_copy_of_a_disk_is_refused(autojump_clock, group):
    """Restored from yesterday's image, it would vote again in a term in which it has voted."""
    await group.grow(3)
    await group.settled("123")
    await group.kill("n3")
    copied = group.stores["n3"].boots
    await group.start("n3")
    await group.ready("n3")
    await group.kill("n3")
    group.stores["n3"] = attrs.evolve(group.stores["n3"], boots=copied)
    await group.start("n3")

    error = await group.ended("n3")

    assert "older copy" in str(error)
    assert f"this is start {copied + 1}" in str(error)


async def test_two_clusters_that_are_wired_together_refuse_each_other_and_count_it(autojump_clock, group):
    """An address that somebody else has now, a cloned image: same name, other cluster."""
    await group.start("n1", join=False)
    await group.start("n2", join=False)
    await group.ready("n1", "n2")

    await group.until(lambda: group.node("n2").transport.statistics().refused.get("other-cluster"))

    assert group.node("n1").transport.statistics().refused["other-cluster"]
    for name in ("n1", "n2"):
        await write(group, name, name.encode())
        assert group.status(name).voters == (name,)


# --- leaving ----------------------------------------------------------------------------------------------------------


async def test_a_removed_node_stops_by_itself_and_never_comes_back(autojump_clock, group):
    await group.grow(4)
    await group.settled("123", "4")

    wish = await group.node("n1").membership.operator.remove("n2")
    error = await group.ended("n2")

    assert isinstance(error, Removed)
    assert "never used again" in str(error)
    await group.fulfilled(wish)
    await group.settled("134")  # its vote went to the worker in the same change
    await group.until(lambda: group.node("n1").kv.get(keys.member("n2")) is None)

    await group.start("n2")
    assert isinstance(await group.ended("n2"), Removed)
    del group.stores["n2"]
    await group.start("n2")
    assert isinstance(await group.ended("n2"), Removed)
    with pytest.raises(Conflict, match="removed already"):
        await group.node("n1").membership.operator.remove("n2")


async def test_a_dead_member_is_removed_and_replaced(autojump_clock, group):
    await group.grow(5)
    await group.settled("12345")
    await group.kill("n2")
    await group.kill("n3")

    for name in ("n2", "n3"):
        await group.fulfilled(await group.node("n4").membership.operator.remove(name))
    await group.settled("145")
    await write(group, "n5", b"v")
    await group.start("n6")
    await group.start("n7")
    await group.settled("14567")


async def test_the_leader_is_removed_while_writes_go_on(autojump_clock, group):
    await group.grow(3)
    await group.settled("123")
    leader = group.leader
    others = [name for name in group.members if name != leader]
    written = []

    async def keep_writing():
        while True:
            await write(group, others[0], str(len(written)).encode())
            written.append(len(written))
            await trio.sleep(0.02)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep_writing)
        await trio.sleep(1)
        wish = await group.node(others[1]).membership.operator.remove(leader)
        assert isinstance(await group.ended(leader), Removed)
        await group.fulfilled(wish)
        before = len(written)
        await group.until(lambda: len(written) > before + 10)
        nursery.cancel_scope.cancel()

    assert set(group.status(others[0]).voters) == set(others)


async def test_a_node_that_missed_its_own_removal_is_told_by_whom_it_dials(autojump_clock, group):
    await group.grow(3)
    await group.settled("123")
    for other in ("n1", "n2"):
        group.network.partition("n3", other)
    await group.until(lambda: "n3" not in group.node("n1").transport.connected())
    wish = await group.node("n1").membership.operator.remove("n3")
    await group.fulfilled(wish)
    await group.until(lambda: group.node("n1").kv.get(keys.member("n3")) is None)
    group.network.heal()

    assert isinstance(await group.ended("n3"), Removed)


# --- what operators may ask for ---------------------------------------------------------------------------------------


async def test_a_demoted_member_stays_a_worker_until_it_is_promoted(autojump_clock, group):
    await group.grow(4)
    await group.settled("123", "4")
    operator = group.node("n2").membership.operator

    await group.fulfilled(await operator.demote("n3"))
    await group.settled("124", "3")
    await trio.sleep(30)
    await group.settled("124", "3")
    await group.fulfilled(await operator.promote("n3"))

    await group.settled("1234")  # by order, an even number too


async def test_the_leader_is_demoted_and_another_leads(autojump_clock, group):
    await group.grow(3)
    await group.settled("123")
    leader = group.leader

    await group.fulfilled(await group.node(leader).membership.operator.demote(leader))

    await group.until(lambda: group.leader not in ("", leader))
    await write(group, leader, b"a worker still writes")


async def test_leadership_goes_to_whom_it_is_given(autojump_clock, group):
    await group.grow(3)
    await group.settled("123")
    operator = group.node("n1").membership.operator
    for to in ("n2", "n3", "n2"):
        await group.fulfilled(await operator.transfer(to))
        assert group.leader == to
        await group.until(lambda to=to: group.status("n1").leader == to)

    await group.fulfilled(await operator.transfer())
    assert group.leader not in ("", "n2")
    assert (await operator.transfer(group.leader)).missing() == []


async def test_wishes_that_cannot_be_are_refused_with_the_reason(autojump_clock, group):
    await group.grow(4)
    await group.settled("123", "4")
    operator = group.node("n1").membership.operator
    with pytest.raises(NotFound, match="n1, n2, n3, n4"):
        await operator.remove("n9")
    with pytest.raises(BadInput, match="choose one of n2, n3"):
        await operator.transfer("n4")
    with pytest.raises(Conflict, match="already"):
        await operator.add("n2", "127.0.0.1:1")
    await group.kill("n4")
    await group.kill("n3")
    await group.until(lambda: "n3" not in group.node("n1").transport.connected())

    with pytest.raises(Conflict, match="n3 do not answer"):
        await operator.remove("n2")


async def test_the_only_voter_is_not_removed(autojump_clock, group):
    await group.grow(1)
    for wish in (group.node("n1").membership.operator.remove, group.node("n1").membership.operator.demote):
        with pytest.raises(Conflict, match="only voter"):
            await wish("n1")


async def test_a_full_core_takes_no_promotion(autojump_clock, group):
    await group.grow(2, core_max=1)
    await group.settled("1", "2")

    with pytest.raises(Conflict, match="core_max is 1; demote one of n1"):
        await group.node("n1").membership.operator.promote("n2")


async def test_an_announced_member_is_a_learner_before_it_comes(autojump_clock, group):
    await group.grow(1)
    operator = group.node("n1").membership.operator

    await group.fulfilled(await operator.add("n2", "127.0.0.1:1"))
    await group.settled("1", "2")
    await group.start("n2")
    await group.ready("n2")

    assert group.node("n1").kv.get(keys.member("n2")).store == group.stores["n2"].store


# --- by itself --------------------------------------------------------------------------------------------------------


async def test_a_voter_that_is_silent_for_long_gives_its_vote_to_a_worker(autojump_clock, group):
    await group.grow(4)
    await group.settled("123", "4")
    silent = next(name for name in ("n2", "n3") if name != group.leader)
    began = trio.current_time()
    await group.kill(silent)

    await group.settled({"n2": "134", "n3": "124"}[silent], silent[1:])

    assert 60 <= trio.current_time() - began < 65
    await group.start(silent)
    await group.ready(silent)
    await trio.sleep(5)
    await group.settled({"n2": "134", "n3": "124"}[silent], silent[1:])


async def test_nobody_is_replaced_when_operators_want_it_so(autojump_clock, group):
    await group.grow(4, auto_replace=False)
    await group.settled("123", "4")
    await group.kill("n3")
    await trio.sleep(70)

    await group.settled("123", "4")


async def test_what_lives_in_memory_alone_never_votes_and_goes_when_it_is_gone(autojump_clock, group):
    await group.grow(2)
    group.stores["n3"] = OpenedStorage(MemoryStorage(), StoreId("s3"), ephemeral=True)
    await group.start("n3")
    await group.ready("n3")
    await trio.sleep(5)
    await group.settled("1", "23")
    await group.kill("n3")

    await group.settled("1", "2")
    kv = group.node("n1").kv
    await group.until(lambda: kv.get(keys.member("n3")) is None and kv.get(keys.removed("n3")) is None)


async def test_a_founder_that_lives_in_memory_votes_only_while_it_is_alone(autojump_clock, group):
    """A notebook opens a cluster, servers join it: what they are told must not be forgotten with the notebook."""
    storage = MemoryStorage()
    group.stores["n1"] = OpenedStorage(storage, StoreId("s1"), ephemeral=True)
    await group.start("n1", join=False)
    await group.ready("n1")
    await group.settled("1")
    await group.start("n2")
    await group.settled("2", "1")
    await write(group, "n1", b"kept by n2")
    await group.kill("n1")

    await group.settled("2")
    assert group.node("n2").kv.get(KEY) == b"kept by n2"


# --- founders ---------------------------------------------------------------------------------------------------------


async def test_founders_come_back_with_their_old_options_after_the_group_has_changed(autojump_clock, group):
    founders = ["n1", "n2", "n3"]
    for name in founders:
        await group.start(name, join=False, founders=founders)
    await group.start("n4")
    await group.ready("n4")
    await group.fulfilled(await group.node("n1").membership.operator.remove("n3"))
    await group.ended("n3")
    await group.settled("124")
    for name in ("n1", "n2", "n4"):
        await group.kill(name)

    for name in ("n1", "n2"):
        await group.start(name, join=False, founders=founders)
    await group.start("n4")
    await group.ready("n1", "n2", "n4")
    await group.settled("124")


@pytest.mark.parametrize("order", list(itertools.permutations(["n1", "n2", "n3"])), ids="-".join)
async def test_founders_may_start_in_any_order_and_again_in_any_other(autojump_clock, group, order):
    """Three terminals, three machines, three unit files: nobody keeps an order."""
    for founders in (order, reversed(order)):
        for name in founders:
            await group.start(name, join=False, founders=["n1", "n2", "n3"])
            await trio.sleep(4)
        await group.settled("123")
        await group.ready(*order)
        named = {group.node(name).kv.get(keys.cluster).uuid for name in order}
        await write(group, order[0], b"v")
        for name in order:
            await group.kill(name)
        group.uuids = {*getattr(group, "uuids", ()), *named}

    assert len(group.uuids) == 1


async def test_a_group_of_two_founders_votes_with_both(autojump_clock, group):
    """Whoever asks for two voters gets them: everything acknowledged is on both disks."""
    for name in ("n1", "n2"):
        await group.start(name, join=False, founders=["n1", "n2"])
    await group.settled("12")
    await group.ready("n1", "n2")
    await trio.sleep(10)
    await group.settled("12")
    await group.start("n3")
    await group.settled("123")


async def test_one_of_three_voters_started_alone_waits(autojump_clock, group):
    await group.grow(3)
    await group.settled("123")
    for name in list(group.members):
        await group.kill(name)
    group.contacts = []
    await group.start("n1", join=False)
    await trio.sleep(30)

    assert not group.node("n1").ready.is_set()
    assert group.status("n1").voters == ("n1", "n2", "n3")


async def test_who_has_never_joined_and_is_not_told_whom_to_join_says_so(autojump_clock, group):
    await group.start("n2")
    await trio.sleep(1)
    await group.kill("n2")
    await group.start("n2", join=False)

    error = await group.ended("n2")

    assert isinstance(error, BadInput)
    assert "--join HOST:PORT" in str(error)


def test_errors_of_identity_are_one_kind():
    """Whoever embeds a node catches one class for all."""
    assert issubclass(Removed, IdentityMismatch)
