"""What both transports promise, over sockets and in memory."""

import logging

import pytest
import trio
from tests.transport.conftest import Novelty, make_newer_table

from aether.model.limits import FRAME_BYTES_MAX, FRAME_CHUNK_BYTES, OUTBOX_BYTES_MAX, OUTBOX_MESSAGES_MAX
from aether.transport.dispatch import TOLD_MAX
from aether.wire import FrameTooLarge, Lane, RefusedCode


async def test_messages_arrive_once_in_order_with_sender_and_request_id(clock, world):
    """Everything above relies on the order within a lane."""
    a, b = await world.pair()

    for number in range(200):
        assert a.transport.send("b", world.Note(number), f"r{number}")
        if number % 7 == 0:
            await trio.lowlevel.checkpoint()
    await b.until_received(200)

    assert b.received == [("a", world.Note(n), f"r{n}") for n in range(200)]


async def test_a_handler_may_answer_at_once(clock, world):
    """Replies are sent from inside handlers; a peer that reached us can be reached by then."""
    a, b = await world.pair()
    answered = []
    b.answer = lambda peer, message, request_id: answered.append(
        b.transport.send(peer, world.Note(message.content + 1), request_id)
    )

    a.transport.send("b", world.Note(41), "r")
    await a.until_received(1)

    assert answered == [True]
    assert a.received == [("b", world.Note(42), "r")]


async def test_messages_are_never_shared(clock, world):
    """A list that two nodes hold in common would make a bug that no network has."""
    a, b = await world.pair()
    content = [1, [2]]
    a.transport.send("b", world.Note(content))
    content.append(3)
    await b.until_received(1)

    assert b.received[0][1] == world.Note([1, [2]])


async def test_lanes_are_counted_apart(clock, world):
    """The figures answer which lane is busy."""
    a, b = await world.pair()
    a.transport.send("b", world.Heartbeat(1))
    a.transport.send("b", world.Note("x"))
    a.transport.send("b", world.Chunk(b"y" * 100))
    await b.until_received(3)

    sent, received = a.transport.statistics(), b.transport.statistics()
    assert dict(sent.sent_frames) == dict(received.received_frames) == dict.fromkeys(Lane, 1)
    assert received.received_bytes[Lane.BULK] == sent.sent_bytes[Lane.BULK] > 100
    assert sent.reconnects == sum(sent.dropped.values()) == sent.unhandled == 0


async def test_a_long_message_arrives_whole_and_short_ones_may_pass_it(clock, world):
    """A long message is chunked; what follows on its lane does not wait for all of it."""
    a, b = await world.pair()
    long = bytes(20 * FRAME_CHUNK_BYTES)
    a.transport.send("b", world.Note(long))
    a.transport.send("b", world.Note("short"))
    await b.until_received(2)

    assert sorted(len(m.content) for _, m, _ in b.received) == [5, len(long)]


async def test_a_message_longer_than_a_frame_is_refused_at_the_sender(clock, world):
    """The caller can do something about it; the receiver could only close the connection."""
    a, _ = await world.pair()

    with pytest.raises(FrameTooLarge, match="exceeds the limit"):
        a.transport.send("b", world.Note(bytes(FRAME_BYTES_MAX)))
    assert a.transport.connected() == {"b"}


async def test_nobody_there_is_false_and_oneself_is_a_bug(clock, world):
    """Callers short-cut themselves; anything else would take the long way round."""
    a = await world.start("a")

    assert not a.transport.send("nobody", world.Note("x"))
    a.transport.set_peer("late", "127.0.0.1:1")
    assert not a.transport.send("late", world.Note("x"))
    with pytest.raises(AssertionError, match="to itself"):
        a.transport.send("a", world.Note("x"))


async def test_a_full_mailbox_refuses_calls(clock, world):
    """A caller that cannot be served learns it at once, before anything is buffered without bound."""
    a, b = await world.pair()
    filler = "x" * 2_000  # more than the kernel buffers of a connection hold, long before the count is reached
    accepted = 0
    while a.transport.send("b", world.Note(filler)):
        accepted += 1
        assert accepted < 100_000
    refused = a.transport.send("b", world.Note(filler))

    assert not refused
    assert accepted >= OUTBOX_MESSAGES_MAX
    assert a.transport.statistics().dropped[Lane.CALLS] == 2
    await b.until_received(accepted)
    assert a.transport.send("b", world.Note("room again"))
    await b.until_received(accepted + 1)


async def test_a_full_consensus_mailbox_drops_its_oldest(clock, world):
    """Raft repeats what matters; the newest message says most."""
    a, b = await world.pair()
    filler = b"x" * 2_000
    sent = 0
    while a.transport.statistics().dropped[Lane.CONSENSUS] < 10:
        assert a.transport.send("b", world.Heartbeat(sent, filler))
        sent += 1
        assert sent < 100_000
    await b.until(lambda: b.received and b.received[-1][1].number == sent - 1)

    numbers = [message.number for _, message, _ in b.received]
    assert numbers == sorted(numbers)
    assert len(numbers) == sent - 10


async def test_mailboxes_are_bounded_in_bytes(clock, world):
    """A few large messages fill memory as well as many small ones."""
    a, _ = await world.pair()
    size = 4 * 2**20
    accepted = 0
    while a.transport.send("b", world.Chunk(bytes(size))):
        accepted += 1

    assert accepted <= OUTBOX_BYTES_MAX // size


async def test_a_lost_peer_is_told_once_and_at_once(clock, world):
    """Failover starts here: milliseconds, not a time-out."""
    a, b = await world.pair()
    began = trio.current_time()
    b.stop()
    await a.until(lambda: a.count("disconnected", "b"))
    took = trio.current_time() - began

    assert took < 0.5
    assert a.transport.connected() == frozenset()
    assert not a.transport.send("b", world.Note("x"))
    assert a.events == [("connected", "b"), ("disconnected", "b")]


async def test_a_restarted_peer_is_connected_again(clock, world):
    """It may come back under a new address, and says so itself by dialling in."""
    a, b = await world.pair()
    b.stop()
    await a.until(lambda: a.count("disconnected", "b"))

    b2 = await world.start("b", incarnation="b-2")
    await a.until(lambda: a.count("connected", "b") == 2)
    await b2.until_connected("a")
    assert a.transport.send("b", world.Note("again"))
    await b2.until_received(1)

    assert a.transport.statistics().reconnects == 1


async def test_a_peer_moved_by_set_peer_is_dialled_there(clock, world):
    """Members publish their address in the replicated store; whoever reads it moves the peer."""
    a = await world.start("a")
    a.transport.set_peer("b", "127.0.0.1:1")
    b = await world.start("b", knows=False)
    a.transport.set_peer("b", b.address)

    await a.until_connected("b")
    assert b.transport.connected() <= {"a"}


async def test_a_forgotten_peer_is_disconnected_and_not_dialled_again(clock, world):
    """A removed member must not keep its mailbox."""
    a, b = await world.pair()
    b.transport.forget_peer("a")
    a.transport.forget_peer("b")
    await a.until(lambda: a.count("disconnected", "b"))
    await b.until(lambda: b.count("disconnected", "a"))

    assert not a.transport.send("b", world.Note("x"))
    await trio.sleep(0.3)
    assert a.transport.connected() == b.transport.connected() == frozenset()


async def test_two_nodes_with_one_id_the_newcomer_is_refused_and_told(clock, world, caplog):
    """Two processes under one id would vote twice. The message names both, for the one who has to fix it."""
    caplog.set_level(logging.WARNING, "aether.transport")
    a, b = await world.pair()
    double = await world.start("b", incarnation="b-double")
    await double.until(lambda: double.refusals)

    assert double.refusals[0].code is RefusedCode.DUPLICATE_ID
    assert "two nodes have the id b" in double.refusals[0].reason
    if world.kind == "tcp":
        assert b.address in double.refusals[0].reason
        assert double.address in double.refusals[0].reason
    assert "--node-id" in double.refusals[0].reason
    assert a.transport.connected() == {"b"}
    assert a.count("disconnected", "b") == 0
    assert a.transport.statistics().refused["duplicate-id"] >= 1
    assert [r for r in caplog.records if "two nodes have the id b" in r.message and r.message.startswith("a:")]
    assert a.transport.send("b", world.Note("to the first"))
    await b.until_received(1)
    assert double.received == []


async def test_a_newcomer_gets_in_when_the_first_is_gone(clock, world):
    """A refusal is not for ever: it is tried again with back-off."""
    a, b = await world.pair()
    second = await world.start("b", incarnation="b-2")
    await second.until(lambda: second.refusals)
    b.stop()

    await second.until_connected("a")
    await a.until(lambda: a.count("connected", "b") == 2)
    assert a.transport.send("b", world.Note("x"))
    await second.until_received(1)


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"cluster": "bank"}, RefusedCode.OTHER_CLUSTER, "'bank'"),
        ({"version_min": 5, "version_max": 6}, RefusedCode.VERSION, "5 to 6"),
        ({"initial": ("x", "y")}, RefusedCode.INITIAL_PEERS, "x, y"),
    ],
    ids=["cluster", "version", "initial peers"],
)
async def test_a_stranger_is_refused_with_the_reason(clock, world, changes, code, words):
    """It never counts as connected, and its operator reads why in its own log."""
    a = await world.start("a", initial=("a", "b"))
    stranger = await world.start("z", **changes)
    await stranger.until(lambda: stranger.refusals)

    assert stranger.refusals[0].code is code
    assert words in stranger.refusals[0].reason
    assert a.transport.statistics().refused[code.value] >= 1
    assert a.transport.connected() == stranger.transport.connected() == frozenset()
    assert len(stranger.refusals) == 1


async def test_another_cluster_with_the_same_name_is_refused_once_its_uuid_is_known(clock, world):
    """Two installations left on the default name must not mix."""
    a = await world.start("a")
    a.transport.set_cluster_uuid("one")
    stranger = await world.start("z", cluster_uuid="two")
    await stranger.until(lambda: stranger.refusals)

    assert stranger.refusals[0].code is RefusedCode.OTHER_CLUSTER


async def test_three_nodes_find_each_other_when_each_knows_those_before_it(clock, world):
    """A joining node dials in; the others dial back without being told."""
    nodes = [await world.start(name) for name in "abc"]

    for node in nodes:
        await node.until_connected(*{"a", "b", "c"} - {node.name})


async def test_one_log_line_per_connect_and_disconnect(clock, world, caplog):
    """The log of a node is read when something is wrong: it must be short and complete."""
    caplog.set_level(logging.INFO, "aether.transport")
    a, b = await world.pair()
    b.stop()
    await a.until(lambda: a.count("disconnected", "b"))

    mine = [r.message for r in caplog.records if r.message.startswith("a: ") and "cannot reach" not in r.message]
    assert len(mine) == 2
    assert mine[0].startswith("a: connected with b")
    assert mine[1].startswith("a: lost b (")


async def test_stopping_tells_nobody_here_and_everybody_there(clock, world):
    """Handlers of a node that goes down must not react to its own end."""
    a, b = await world.pair()
    a.stop()
    await b.until(lambda: b.count("disconnected", "a"))

    assert a.events == [("connected", "b")]


async def test_a_handler_that_raises_ends_its_own_transport(clock, world, nursery):
    """A bug in a handler must be seen, not survive as a node that is half deaf."""
    a = await world.start("a")
    ended, has_ended = [], trio.Event()

    def trip(peer, message, request_id):
        raise RuntimeError("bug in a handler")

    async def run() -> None:
        with pytest.raises(ExceptionGroup) as caught:
            await fragile.transport.run(fragile.handlers())
        ended.append(caught.value)
        has_ended.set()

    fragile = world.make("c")
    fragile.answer = trip
    nursery.start_soon(run)
    await fragile.until_connected("a")
    a.transport.send("c", world.Note("x"))
    await has_ended.wait()

    assert ended[0].subgroup(RuntimeError)


def known(world):
    return {Lane.CONSENSUS: world.Heartbeat(0), Lane.CALLS: world.Note("x"), Lane.BULK: world.Chunk(b"x")}


@pytest.mark.parametrize("lane", Lane)
async def test_messages_of_a_newer_release_are_ignored_and_cost_no_connection(clock, world, caplog, lane):
    """A cluster is upgraded node by node: until the last one is, the newer ones say things that others do not know."""
    old, first = await world.start("a"), 300 + lane
    new = await world.start("b", table=make_newer_table(first, 1))
    await new.until_connected("a")
    await old.until_connected("b")
    for number in range(5):
        assert new.transport.send("a", Novelty(number))
    new.transport.send("a", known(world)[lane])
    await old.until_received(1)

    assert old.transport.statistics().unhandled == 5
    assert (old.count("disconnected", "b"), new.count("disconnected", "a")) == (0, 0)
    (said,) = [record.message for record in caplog.records if "ignored" in record.message]
    assert f"tag {first} are ignored; b, which sends them, runs a newer release" in said


async def test_invented_messages_fill_no_log(clock, world, caplog):
    """A peer may have as many tags as there are numbers."""
    old = await world.start("a")
    table = make_newer_table(300, 3 * TOLD_MAX)
    new = await world.start("b", table=table)
    await new.until_connected("a")
    for cls in [each for each in table._by_class if each.__name__.startswith("Novelty")]:
        assert new.transport.send("a", cls(1))
    for lane in Lane:
        new.transport.send("a", known(world)[lane])
    await old.until_received(len(Lane))

    assert old.transport.statistics().unhandled == 3 * TOLD_MAX
    assert len([record for record in caplog.records if "ignored" in record.message]) == TOLD_MAX


async def test_a_request_sent_when_told_connected_is_answered(clock, world):
    """`connected` means both ways: the receiver can answer from inside its handler, at every one of many meetings."""
    a = await world.start("a")
    a.answer = lambda peer, message, request_id: a.transport.send(peer, world.Note("answer"))
    for round_number in range(10):
        b = world.make("b", incarnation=f"b-{round_number}")
        b.when_connected = lambda peer, b=b: b.transport.send(peer, world.Note("request"))
        await world.run(b)
        await b.until_received(1)
        b.stop()
        await a.until(lambda count=round_number + 1: a.count("disconnected", "b") == count)


async def test_after_a_loss_nothing_is_accepted_that_would_be_lost_in_silence(clock, world):
    """What `send` took is delivered or followed by `disconnected`; else a caller would wait for its deadline."""
    a, b = await world.pair()
    b.stop()
    await a.until(lambda: a.count("disconnected", "b"))
    told = a.count("disconnected", "b")
    accepted = []
    for _ in range(50):
        accepted.append(a.transport.send("b", world.Note("x")))
        await trio.sleep(0.001)

    assert not any(accepted) or a.count("disconnected", "b") > told


async def test_nodes_that_come_and_go_always_find_each_other(clock, world):
    """Reconnecting is the normal case: every order of ends and beginnings has to lead back."""
    a = await world.start("a")
    b = await world.start("b")
    for round_number in range(8):
        c = await world.start("c", incarnation=f"c-{round_number}")
        await c.until_connected("a", "b")
        await a.until_connected("b", "c")
        await b.until_connected("a", "c")
        c.stop()
        await a.until(lambda: a.transport.connected() == {"b"})
        await b.until(lambda: b.transport.connected() == {"a"})

    assert a.count("disconnected", "b") == b.count("disconnected", "a") == 0
    assert a.count("disconnected", "c") == 8
