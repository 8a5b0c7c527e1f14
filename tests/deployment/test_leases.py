"""The two sides of a singleton's lease: the leader never lets go before the node has."""

import trio
from hypothesis import given
from hypothesis import strategies as st

from aether.deployment.contact_manager import ContactManager
from aether.deployment.leases import Leases
from aether.errors import NoQuorum
from aether.model.artifact import Artifact
from aether.model.ids import Incarnation, InstanceId, NodeId
from aether.model.lifecycle import SliceState
from aether.model.limits import CONTACT_CONFIRM_S, MEMBER_LOST_S, SINGLETON_LOST_S
from aether.model.rows import InstanceRow, LeadershipRow

N1 = NodeId("n1")
ONE = LeadershipRow(term=1, node=NodeId("n2"))
TWO = LeadershipRow(term=2, node=NodeId("n2"))


def row(token=1):
    return InstanceRow(
        instance=InstanceId("a"),
        artifact=Artifact.parse("shop:writer:1.0.0"),
        node=N1,
        incarnation=Incarnation("i"),
        state=SliceState.ACTIVE,
        token=token,
    )


def test_a_silent_node_is_waited_for_and_one_that_answers_or_runs_no_singleton_is_not():
    leases = Leases()
    assert leases.look((row(),), {N1}, ONE, 0.0) == frozenset()
    assert leases.look((row(),), set(), ONE, 1.0) == {N1}
    assert leases.look((row(),), set(), ONE, 0.9 + SINGLETON_LOST_S) == {N1}
    assert leases.pause_s(0.9 + SINGLETON_LOST_S) is not None
    assert leases.look((row(),), set(), ONE, 1.0 + SINGLETON_LOST_S) == frozenset()
    assert leases.pause_s(1.0 + SINGLETON_LOST_S) is None
    assert Leases().look((row(token=0),), set(), ONE, 1.0) == frozenset()


@given(st.lists(st.tuples(st.floats(0.1, 3.0), st.booleans(), st.sampled_from([ONE, TWO])), max_size=40))
def test_nobody_is_let_go_until_one_leadership_has_had_its_whole_silence(steps):
    leases, now, quiet_since, led = Leases(), 0.0, None, None
    for passed_s, answers, leadership in steps:
        now += passed_s
        if answers:
            quiet_since = None
        elif quiet_since is None or leadership != led:
            quiet_since = now
        led = leadership
        waited = leases.look((row(),), {N1} if answers else set(), leadership, now)
        assert (N1 in waited) == (not answers and now - quiet_since < SINGLETON_LOST_S)


async def test_contact_that_is_lost_gives_up_in_time_and_contact_that_comes_back_does_not(autojump_clock):
    lost, works, asked = [], [True], []

    async def barrier():
        asked.append(trio.current_time())
        await trio.sleep(0.01)
        if not works[0]:
            raise NoQuorum(1, 2)

    contact = ContactManager(barrier, lambda instance: lost.append((instance, trio.current_time())))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(contact.run)
        await trio.sleep(5)
        assert asked == [], "nobody depends on it, so nobody asks"
        await contact.keep(InstanceId("a"))
        await trio.sleep(5)
        works[0] = False
        await trio.sleep(1)
        works[0] = True
        await trio.sleep(5)
        assert lost == []
        began = trio.current_time()
        works[0] = False
        await trio.sleep(5)
        ((instance, at),) = lost
        assert instance == "a"
        assert MEMBER_LOST_S - 2 * CONTACT_CONFIRM_S <= at - began <= MEMBER_LOST_S
        assert not contact.is_kept(instance)
        nursery.cancel_scope.cancel()


async def test_a_barrier_that_never_answers_counts_as_no_contact(autojump_clock):
    lost, stuck = [], [False]

    async def barrier():
        await trio.sleep(float("inf") if stuck[0] else 0.01)

    contact = ContactManager(barrier, lambda instance: lost.append(trio.current_time()))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(contact.run)
        await contact.keep(InstanceId("a"))
        began, stuck[0] = trio.current_time(), True
        await trio.sleep(10)
        assert len(lost) == 1
        assert lost[0] - began <= MEMBER_LOST_S + CONTACT_CONFIRM_S
        nursery.cancel_scope.cancel()
