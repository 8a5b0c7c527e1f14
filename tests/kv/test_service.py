"""Proposals from any node: exactly once, through losses, repeats and changes of leader."""

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from aether.errors import (
    BadInput,
    Draining,
    NoQuorum,
    NotLeader,
    OutcomeUnknown,
    Overloaded,
    QuotaExceeded,
    SessionExpired,
    SessionFull,
)
from aether.kv import keys
from aether.kv.commands import Apply, Batch, Compare, Delete, Put, encode_command, encode_group
from aether.kv.keys import MapRow
from aether.kv.messages import ProposeReply, ProposeRequest, Refusal
from aether.model.limits import PROPOSE_DEADLINE_S, SESSION_ANSWERS_MAX, SESSION_IDLE_S
from aether.model.rows import LeadershipRow

KEY = keys.map_entry("m", b"k")


def put(value, key=KEY):
    return Batch(changes=(Put(key, value),))


def times(cluster, text):
    """How many entries of the log carry `text`."""
    return sum(text in entry.payload for entry in cluster.log)


@pytest.mark.parametrize("node", ["a", "b"])
async def test_a_proposal_returns_once_it_is_applied_on_the_node_that_asked(cluster, autojump_clock, node):
    """The caller may read its own write at once, wherever it runs."""
    result = await cluster.kv[node].propose(put(b"v"))

    assert result.applied
    assert cluster.kv[node].get(KEY) == b"v"
    assert cluster.kv[node].version(KEY) == result.revision
    assert cluster.kv[node].revision >= result.revision


async def test_a_proposal_waits_for_its_own_node_not_for_the_leader(cluster, autojump_clock):
    """A follower that lags answers late rather than with a state it cannot show."""
    await cluster.kv["b"].propose(put(b"1"))
    cluster.stalled.add("b")
    with trio.move_on_after(5) as scope:
        await cluster.kv["b"].propose(put(b"2"))

    assert scope.cancelled_caught
    assert cluster.kv["a"].get(KEY) == b"2"
    assert cluster.kv["b"].get(KEY) == b"1"


async def test_compares_decide_between_two_writers(cluster, autojump_clock):
    """Compare-and-set from two nodes at once: exactly one wins, and the loser learns which key."""
    results = []

    async def write(node, value):
        results.append(await cluster.kv[node].propose(Batch((Compare(KEY, 0),), (Put(KEY, value),))))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write, "a", b"a")
        nursery.start_soon(write, "b", b"b")

    assert sorted(result.applied for result in results) == [False, True]
    assert [result.conflict for result in results if not result.applied] == [KEY.text]


async def test_a_forwarded_proposal_survives_a_change_of_leader_and_is_applied_once(cluster, autojump_clock):
    """The old leader took it and lost it: it is sent again under the same number."""
    await cluster.kv["c"].propose(Batch())
    cluster.committing = False
    async with trio.open_nursery() as nursery:
        nursery.start_soon(cluster.kv["c"].propose, put(b"once"))
        await trio.sleep(0.05)
        assert any(b"once" in payload for payload in cluster.pending)
        cluster.elect("b")
        cluster.committing = True

    assert cluster.kv["c"].get(KEY) == b"once"
    assert times(cluster, b"once") == 1


async def test_b44_an_entry_that_survived_the_old_leader_is_not_applied_again(cluster, autojump_clock):
    """It committed after all, and was repeated: the session recognises the repeat."""
    await cluster.kv["c"].propose(Batch())
    cluster.committing = False
    results = []

    async def write():
        results.append(await cluster.kv["c"].propose(put(b"once")))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        await trio.sleep(0.05)
        cluster.stalled.update("abc")
        cluster.elect("b", keep=1)
        await trio.sleep(0.05)
        cluster.committing = True
        await trio.sleep(0.05)
        cluster.stalled.clear()

    assert times(cluster, b"once") == 2
    assert cluster.kv["c"].version(KEY) == results[0].revision
    first = next(entry for entry in cluster.log if b"once" in entry.payload)
    assert results[0].revision == first.index


async def test_a_local_proposal_lost_with_the_leadership_is_sent_to_the_new_leader(cluster, autojump_clock):
    """The caller sat in the old leader's process; it still gets its answer."""
    await cluster.kv["a"].propose(Batch())
    cluster.committing = False
    async with trio.open_nursery() as nursery:
        nursery.start_soon(cluster.kv["a"].propose, put(b"moved"))
        await trio.sleep(0.05)
        cluster.depose()
        await trio.sleep(0.5)
        cluster.committing = True
        cluster.elect("c")

    assert cluster.kv["a"].get(KEY) == b"moved"


async def test_lost_forwards_are_repeated_until_they_arrive(cluster, autojump_clock):
    """A message may vanish without an error: only its effect proves that it arrived."""
    await cluster.kv["b"].propose(Batch())
    cluster.loss = 1.0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(cluster.kv["b"].propose, put(b"v"))
        await trio.sleep(2.5)
        assert cluster.kv["b"].get(KEY) is None
        cluster.loss = 0.0

    assert cluster.kv["b"].get(KEY) == b"v"


@pytest.mark.parametrize("seed", range(8))
async def test_counters_are_exact_under_loss_duplication_reordering_and_elections(
    fake_cluster, nursery, autojump_clock, seed
):
    """Each increment is one compare-and-set loop; a lost or doubled one would show in the sum and in the versions."""
    cluster = fake_cluster(seed=seed)
    cluster.loss, cluster.duplicate, cluster.delay_s = 0.2, 0.4, 0.3
    for kv in cluster.kv.values():
        await nursery.start(kv.run)
    nursery.start_soon(cluster.pump)
    cluster.elect("a")
    applied = []

    async def count(node, number):
        key = keys.map_entry("m", b"%s-%d" % (node.encode(), number))
        for turn in range(5):
            result = await cluster.kv[node].propose(
                Batch((Compare(key, cluster.kv[node].version(key)),), (Put(key, b"%d" % turn),))
            )
            applied.append(result.applied)

    async def trouble():
        while True:
            await trio.sleep(cluster.random.uniform(0.2, 1.0))
            cluster.elect(cluster.random.choice(cluster.names), keep=cluster.random.randrange(3))

    with trio.fail_after(60):
        async with trio.open_nursery() as callers:
            callers.start_soon(trouble)
            async with trio.open_nursery() as workers:
                for node in cluster.names:
                    for number in range(4):
                        workers.start_soon(count, node, number)
            callers.cancel_scope.cancel()

    assert applied == [True] * 60  # nobody else writes these keys: a conflict would be its own repeat
    for name in cluster.names:
        cluster.apply(name)
    assert len({store.state_hash for store in cluster.stores.values()}) == 1
    assert len({store.snapshot() for store in cluster.stores.values()}) == 1


async def test_without_a_leader_the_caller_learns_that_nothing_happened(cluster, autojump_clock):
    """Exactly the deadline, and an error that says: try again."""
    await cluster.kv["b"].propose(Batch())
    cluster.depose()
    began = trio.current_time()

    with pytest.raises(NoQuorum, match="of the 2 voters needed"):
        await cluster.kv["b"].propose(put(b"v"))

    assert PROPOSE_DEADLINE_S <= trio.current_time() - began < PROPOSE_DEADLINE_S + 0.2


async def test_without_a_leader_a_first_proposal_cannot_open_its_session(fake_cluster, nursery, autojump_clock):
    """The same answer before there is a session, with what the node sees of the voters."""
    cluster = fake_cluster()
    cluster.consensus["b"].status = attrs.evolve(cluster.consensus["b"].status, reachable=3)
    await nursery.start(cluster.kv["b"].run)

    with pytest.raises(NoQuorum, match="3 voters are connected and 2 are needed"):
        await cluster.kv["b"].propose(put(b"v"))


async def test_sent_but_never_decided_is_an_unknown_outcome(cluster, autojump_clock):
    """It sits in some log: to call it failed would be a lie."""
    await cluster.kv["b"].propose(Batch())
    cluster.committing = False

    with pytest.raises(OutcomeUnknown):
        await cluster.kv["b"].propose(put(b"v"))


async def test_a_full_queue_at_home_is_told_at_once(cluster, autojump_clock):
    """Back-pressure, not a hidden queue."""
    await cluster.kv["a"].propose(Batch())
    cluster.consensus["a"].full = True

    with pytest.raises(Overloaded):
        await cluster.kv["a"].propose(put(b"v"))

    cluster.consensus["a"].full = False
    assert (await cluster.kv["a"].propose(put(b"w"))).applied


async def test_a_full_queue_at_the_leader_is_waited_out(cluster, autojump_clock):
    """A forwarded proposal repeats itself within its deadline."""
    await cluster.kv["b"].propose(Batch())
    cluster.consensus["a"].full = True
    async with trio.open_nursery() as nursery:
        nursery.start_soon(cluster.kv["b"].propose, put(b"v"))
        await trio.sleep(1)
        cluster.consensus["a"].full = False

    assert cluster.kv["b"].get(KEY) == b"v"


async def test_the_oldest_undecided_proposal_bounds_the_younger(cluster, autojump_clock):
    """At most SESSION_ANSWERS_MAX sequences are open, so that the store never has to forget an answer too early."""
    await cluster.kv["a"].propose(Batch())
    cluster.committing = False
    async with trio.open_nursery() as nursery:
        for _ in range(SESSION_ANSWERS_MAX):
            nursery.start_soon(cluster.kv["a"].propose, Batch())
        await wait_all_tasks_blocked()
        with pytest.raises(SessionFull):
            await cluster.kv["a"].propose(Batch())
        cluster.committing = True

    assert (await cluster.kv["a"].propose(put(b"v"))).applied


async def test_a_cancelled_proposal_leaves_nothing_waiting(cluster, autojump_clock):
    """Its number is free for the acknowledgement to pass, whether or not it happened."""
    await cluster.kv["a"].propose(Batch())
    cluster.committing = False
    with trio.move_on_after(1) as scope:
        await cluster.kv["a"].propose(put(b"v"))

    assert scope.cancelled_caught
    assert cluster.kv["a"]._proposer.waiting == 0


async def test_an_idle_session_ends_and_the_next_proposal_opens_another(cluster, autojump_clock):
    """An hour of log time without a request: the node notices by itself, and the caller never."""
    await cluster.kv["b"].propose(put(b"1"))
    cluster.wall_s += SESSION_IDLE_S + 1
    await cluster.kv["a"].propose(put(b"2"))
    assert len(cluster.stores["b"].sessions()) == 1

    assert (await cluster.kv["b"].propose(put(b"3"))).applied

    assert cluster.kv["a"].get(KEY) == b"3"
    assert len(cluster.stores["b"].sessions()) == 2


async def test_a_proposal_that_arrives_after_its_session_ended_is_asked_again_in_a_new_one(cluster, autojump_clock):
    """This node has seen in its own log that the first was refused, so to repeat it is safe."""
    await cluster.kv["b"].propose(put(b"1"))
    cluster.cut.add("b")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(cluster.kv["b"].propose, put(b"2"))
        await trio.sleep(0.05)
        cluster.wall_s += SESSION_IDLE_S + 1
        cluster.stalled.add("b")
        await cluster.kv["a"].propose(Batch())
        cluster.cut.clear()
        await trio.sleep(0.5)
        cluster.stalled.clear()

    assert cluster.kv["b"].get(KEY) == b"2"
    assert cluster.kv["b"].version(KEY) == cluster.kv["a"].version(KEY)


async def test_a_session_that_ended_behind_a_snapshot_leaves_the_outcome_unknown(cluster, autojump_clock):
    """The log that told whether the request was applied is gone; guessing would risk a second time."""
    await cluster.kv["b"].propose(put(b"1"))
    cluster.stalled.add("b")
    errors = []

    async def write():
        with pytest.raises(SessionExpired) as caught:
            await cluster.kv["b"].propose(put(b"2"))
        errors.append(caught.value)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        await trio.sleep(0.5)
        cluster.wall_s += SESSION_IDLE_S + 1
        await cluster.kv["a"].propose(Batch())
        cluster.stores["b"].restore(cluster.stores["a"].snapshot(), cluster.stores["a"].revision)

    assert len(errors) == 1


async def test_a_snapshot_answers_what_it_decided(cluster, autojump_clock):
    """A node that skips a part of the log finds the answers of its own session in the snapshot."""
    await cluster.kv["b"].propose(put(b"1"))
    cluster.stalled.add("b")
    results = []

    async def write():
        results.append(await cluster.kv["b"].propose(put(b"2")))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        await trio.sleep(0.5)
        cluster.stores["b"].restore(cluster.stores["a"].snapshot(), cluster.stores["a"].revision)

    assert results[0].applied
    assert results[0].revision == cluster.kv["a"].version(KEY)


@pytest.mark.parametrize("node", ["a", "b"])
async def test_a_leaving_node_ends_its_session(cluster, autojump_clock, node):
    """It is forgotten at once rather than after an hour."""
    await cluster.kv[node].propose(put(b"v"))
    cluster.kv[node].end_session()
    await trio.sleep(0.1)

    assert cluster.stores["c"].sessions() == []


async def test_the_fence_of_a_leader_appears_with_its_row_and_goes_with_its_leadership(cluster, autojump_clock):
    """Only the node that leads, and only once its row is applied, may act as the leader."""
    assert cluster.kv["a"].leadership == LeadershipRow(term=1, node="a")
    assert cluster.kv["b"].leadership is None

    cluster.committing = False
    cluster.elect("b")
    await trio.sleep(0.05)
    assert cluster.kv["a"].leadership is None
    assert cluster.kv["b"].leadership is None  # its row is not applied yet

    cluster.committing = True
    await trio.sleep(0.05)
    assert cluster.kv["b"].leadership == LeadershipRow(term=2, node="b")


async def test_a_leader_elected_again_waits_for_the_row_of_its_new_term(cluster, autojump_clock):
    """Its old row names it, but other leaders may have ordered things in between."""
    cluster.committing = False
    cluster.elect("a")
    await trio.sleep(0.05)
    assert cluster.kv["a"].leadership is None

    cluster.committing = True
    await trio.sleep(0.05)
    assert cluster.kv["a"].leadership == LeadershipRow(term=2, node="a")


async def test_a_fenced_batch_is_decided_while_its_row_stands(cluster, autojump_clock):
    """The ordinary case of a leader's writer."""
    kv = cluster.kv["a"]

    assert (await kv.propose(put(b"v"), fence=kv.leadership)).applied


async def test_a_fence_of_another_node_is_refused_before_anything_is_sent(cluster, autojump_clock):
    """Fenced batches are never forwarded: who does not lead has nothing to order."""
    with pytest.raises(NotLeader):
        await cluster.kv["b"].propose(put(b"v"), fence=cluster.kv["a"].leadership)

    assert times(cluster, b"KEY") == 0


async def test_a_leader_that_was_replaced_unawares_changes_nothing(cluster, autojump_clock):
    """It still believes that it leads; the row in the log knows better, and it is told that nothing happened."""
    kv = cluster.kv["a"]
    await kv.propose(Batch())
    fence = kv.leadership
    cluster.committing = False
    errors = []

    async def write():
        with pytest.raises(NotLeader) as caught:
            await kv.propose(put(b"stale"), fence=fence)
        errors.append(caught.value)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        await wait_all_tasks_blocked()
        cluster.elect("b")
        cluster.committing = True

    assert len(errors) == 1
    assert times(cluster, b"stale") == 0
    assert kv.get(KEY) is None


async def test_a_fenced_batch_that_survived_behind_the_new_row_conflicts(cluster, autojump_clock):
    """Whatever the order in the log, a batch fenced by an old row is never applied after a new one."""
    kv = cluster.kv["a"]
    await kv.propose(Batch())
    version = kv.version(keys.leadership)
    cluster.elect("b")
    await trio.sleep(0.05)

    result = await cluster.kv["b"].propose(Batch((Compare(keys.leadership, version),), (Put(KEY, b"stale"),)))

    assert not result.applied
    assert result.conflict == "leadership"


async def test_a_full_queue_delays_the_leadership_row_but_does_not_lose_it(fake_cluster, nursery, autojump_clock):
    """A leader without its row would never act."""
    cluster = fake_cluster()
    await nursery.start(cluster.kv["a"].run)
    nursery.start_soon(cluster.pump)
    cluster.consensus["a"].full = True
    cluster.elect("a")
    await trio.sleep(1)
    assert cluster.kv["a"].leadership is None

    cluster.consensus["a"].full = False
    await trio.sleep(1)

    assert cluster.kv["a"].leadership is not None


async def test_a_barrier_shows_what_was_acknowledged_elsewhere(cluster, autojump_clock):
    """A read after it is linearizable."""
    await cluster.kv["a"].propose(put(b"v"))
    cluster.stalled.add("b")
    await cluster.kv["a"].propose(put(b"w"))
    cluster.stalled.clear()

    revision = await cluster.kv["b"].barrier()

    assert cluster.kv["b"].get(KEY) == b"w"
    assert cluster.kv["b"].revision >= revision


async def test_without_a_barrier_a_node_shows_what_it_has_applied_and_asks_nobody(cluster, autojump_clock):
    """Perhaps stale, at no cost, and also where no majority answers."""
    await cluster.kv["a"].propose(put(b"v"))
    await cluster.kv["b"].barrier()
    cluster.cut.add("b")
    cluster.stalled.add("b")
    await cluster.kv["a"].propose(put(b"w"))

    assert cluster.kv["b"].get(KEY) == b"v"
    assert cluster.kv["a"].get(KEY) == b"w"


async def test_a_barrier_writes_nothing_and_needs_no_session(cluster, autojump_clock):
    """A read must not cost an entry of the log and a sync of every disk."""
    before = len(cluster.log)
    for kv in cluster.kv.values():
        assert await kv.barrier() == before
    assert len(cluster.log) == before
    assert not list(cluster.stores["a"].sessions())


async def test_a_barrier_that_nobody_confirms_ends_as_no_quorum(cluster, autojump_clock):
    """The caller learns it in bounded time, and that repeating is harmless."""
    cluster.cut.add("a")
    began_s = trio.current_time()
    with pytest.raises(NoQuorum):
        await cluster.kv["b"].barrier()
    assert trio.current_time() - began_s == pytest.approx(PROPOSE_DEADLINE_S)


async def test_a_barrier_of_a_node_that_applies_nothing_ends_as_no_quorum(cluster, autojump_clock):
    """Confirmed is not enough: this node cannot show it."""
    await cluster.kv["a"].propose(put(b"v"))
    cluster.stalled.add("b")
    await cluster.kv["a"].propose(put(b"w"))
    with pytest.raises(NoQuorum):
        await cluster.kv["b"].barrier()
    assert cluster.kv["b"]._revision_waits == []


async def test_a_cancelled_barrier_leaves_nothing_behind(cluster, autojump_clock):
    """Others go on; the node does not remember it."""
    cluster.cut.add("a")
    with trio.move_on_after(1) as scope:
        await cluster.kv["b"].barrier()
    assert scope.cancelled_caught
    assert not cluster.kv["b"]._barriers


async def test_wait_applied_returns_exactly_when_the_revision_is_there(cluster, autojump_clock):
    """Mutations answer with a revision; another node waits for it."""
    revision = (await cluster.kv["a"].propose(put(b"v"))).revision
    with trio.fail_after(1):
        await cluster.kv["c"].wait_applied(revision)
    assert cluster.kv["c"].get(KEY) == b"v"

    with trio.move_on_after(1) as scope:
        await cluster.kv["c"].wait_applied(revision + 100)
    assert scope.cancelled_caught
    assert cluster.kv["c"]._revision_waits == []


async def test_a_full_map_is_told_with_its_limit(cluster, autojump_clock):
    """The store's refusal arrives as the public error, also through a follower."""
    limits = Put(keys.map_definition("m"), MapRow(entries_max=1))
    await cluster.kv["b"].propose(Batch(changes=(limits, Put(KEY, b"v"))))

    with pytest.raises(QuotaExceeded, match="'m' holds its limit of 1 entries"):
        await cluster.kv["b"].propose(put(b"w", keys.map_entry("m", b"other")))


async def test_an_oversized_value_never_leaves_the_caller(cluster, autojump_clock):
    """Limits are checked where the mistake was made."""
    with pytest.raises(BadInput, match="maps/m/k"):
        await cluster.kv["b"].propose(put(bytes(2**20)))


async def test_a_malformed_forwarded_proposal_is_refused_by_the_leader(cluster, autojump_clock):
    """A command that no node can decode would stop every node: it must not reach the log."""
    before = len(cluster.log)
    cluster.kv["a"].deliver("b", ProposeRequest(99, b"\xc1"))
    own = encode_command(Apply(0, 0, 0, (), (("leadership", b""),)))
    cluster.kv["a"].deliver("b", ProposeRequest(98, own))
    await trio.sleep(0.1)

    assert len(cluster.log) == before


async def test_a_group_is_not_taken_from_a_peer(cluster, autojump_clock):
    """In it a peer could write as the leader itself, or one key twice at one version."""
    before = len(cluster.log)
    own = encode_command(Apply(0, 0, 0, (), (("leadership", b""),)))
    cluster.kv["a"].deliver("b", ProposeRequest(97, encode_group([own, own])))
    await trio.sleep(0.1)

    assert len(cluster.log) == before


async def test_a_refused_proposal_tells_its_caller_why(cluster, autojump_clock):
    """The leader found it malformed: repeating it would not help."""
    await cluster.kv["b"].propose(Batch())
    cluster.loss = 1.0
    errors = []

    async def write():
        with pytest.raises(BadInput, match="too new") as caught:
            await cluster.kv["b"].propose(put(b"v"))
        errors.append(caught.value)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        await wait_all_tasks_blocked()
        number = next(iter(cluster.kv["b"]._proposer._proposals)).sequence
        cluster.kv["b"].deliver("a", ProposeReply(number, Refusal.MALFORMED, "a", "too new"))

    assert len(errors) == 1


async def test_an_unknown_message_is_a_programming_error(cluster, autojump_clock):
    """The table of messages and the service must agree."""
    with pytest.raises(TypeError):
        cluster.kv["a"].deliver("b", object())


async def test_a_stopping_node_leaves_no_caller_behind(fake_cluster, nursery, autojump_clock):
    """Sent: unknown. Not sent, or asked later: draining. Waiting to read: draining."""
    cluster = fake_cluster()
    nursery.start_soon(cluster.pump)
    raised = []

    async def expect(error, function, *arguments):
        with pytest.raises(error) as caught:
            await function(*arguments)
        raised.append(caught.type)

    async with trio.open_nursery() as outer:
        async with trio.open_nursery() as services:
            for kv in cluster.kv.values():
                await services.start(kv.run)
            cluster.elect("a")
            await cluster.kv["b"].propose(Batch())
            cluster.committing = False
            outer.start_soon(expect, OutcomeUnknown, cluster.kv["b"].propose, put(b"v"))
            await wait_all_tasks_blocked()
            cluster.cut.add("a")
            outer.start_soon(expect, Draining, cluster.kv["b"].propose, put(b"v"))
            outer.start_soon(expect, Draining, cluster.kv["c"].propose, put(b"v"))
            outer.start_soon(expect, Draining, cluster.kv["b"].wait_applied, 10_000)
            outer.start_soon(expect, Draining, cluster.kv["b"].barrier)
            await wait_all_tasks_blocked()
            stopped_s = trio.current_time()
            services.cancel_scope.cancel()

    assert trio.current_time() - stopped_s < 1
    for late in (lambda kv: kv.propose(put(b"v")), lambda kv: kv.barrier()):
        with pytest.raises(Draining):
            await late(cluster.kv["b"])
    assert sorted(kind.__name__ for kind in raised) == ["Draining"] * 4 + ["OutcomeUnknown"]


async def test_rows_and_scans_are_typed_sorted_and_fixed_at_the_call(cluster, autojump_clock):
    """A reader that awaits between rows must not trip over a write."""
    kv = cluster.kv["a"]
    batch = Batch(changes=tuple(Put(keys.blueprint_current(name), n) for n, name in enumerate(["c", "a", "b"])))
    await kv.propose(batch)
    rows = kv.rows(keys.BLUEPRINTS_CURRENT)
    scan = kv.scan(keys.BLUEPRINTS_CURRENT)
    await kv.propose(Batch(changes=(Delete(keys.blueprint_current("a")),)))

    assert list(rows) == [1, 2, 0]
    assert [text for text, _, _ in scan] == [f"blueprint-current/{name}" for name in "abc"]
    assert list(kv.rows(keys.BLUEPRINTS_CURRENT)) == [2, 0]
