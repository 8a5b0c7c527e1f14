"""Faults in virtual time: exact seconds, and the same ones from the same seed."""

import pytest
import trio

from aether.model.limits import PEER_SILENT_S
from aether.wire import Lane


def numbers(node) -> list[int]:
    return [message.number for _, message, _ in node.received]


async def test_a_delay_takes_exactly_as_long_as_set(autojump_clock, memory_world):
    """Virtual seconds are free, so delays can be asserted by equality."""
    a, b = await memory_world.pair()
    memory_world.network.set_delay(8.0, 8.0)
    began = trio.current_time()
    a.transport.send("b", memory_world.Heartbeat(1))
    await b.until_received(1)

    assert trio.current_time() - began == 8.0


async def test_a_lane_keeps_its_order_under_random_delays(autojump_clock, memory_world):
    """TCP does, so code may rely on it."""
    a, b = await memory_world.pair()
    memory_world.network.set_delay(0.0, 1.0)
    for number in range(100):
        a.transport.send("b", memory_world.Heartbeat(number))
        await trio.sleep(0.01)
    await b.until_received(100)

    assert numbers(b) == list(range(100))


async def test_a_short_partition_delays_and_loses_nothing(autojump_clock, memory_world):
    """TCP sends again what was not acknowledged."""
    a, b = await memory_world.pair()
    memory_world.network.partition("a", "b")
    a.transport.send("b", memory_world.Heartbeat(1))
    await trio.sleep(PEER_SILENT_S / 2)
    assert b.received == []

    memory_world.network.heal()
    await b.until_received(1)
    assert a.count("disconnected", "b") == b.count("disconnected", "a") == 0


async def test_a_long_partition_ends_the_connections_after_the_silence_limit(autojump_clock, memory_world):
    """Both sides learn that what was under way is lost, and find each other again."""
    a, b = await memory_world.pair()
    began = trio.current_time()
    memory_world.network.partition("a", "b")
    a.transport.send("b", memory_world.Heartbeat(1))
    await a.until(lambda: a.count("disconnected", "b"))
    assert trio.current_time() - began == PEER_SILENT_S
    await b.until(lambda: b.count("disconnected", "a"))
    assert not a.transport.send("b", memory_world.Heartbeat(2))

    await trio.sleep(60)
    assert a.transport.connected() == frozenset()
    memory_world.network.heal()
    await a.until_connected("b")
    await b.until_connected("a")
    assert b.received == []


async def test_a_one_way_partition_lets_the_other_direction_through(autojump_clock, memory_world):
    """Half-broken links are where protocols fail."""
    a, b = await memory_world.pair()
    memory_world.network.partition("a", "b", one_way=True)
    a.transport.send("b", memory_world.Heartbeat(1))
    b.transport.send("a", memory_world.Heartbeat(2))
    await a.until_received(1)

    assert numbers(a) == [2]
    assert b.received == []


async def test_a_partition_leaves_the_other_nodes_alone(autojump_clock, memory_world):
    """Three nodes, one broken cable."""
    nodes = {name: await memory_world.start(name) for name in "abc"}
    for node in nodes.values():
        await node.until_connected(*nodes.keys() - {node.name})
    memory_world.network.partition("a", "b")
    await trio.sleep(2 * PEER_SILENT_S)

    assert nodes["c"].transport.connected() == {"a", "b"}
    assert nodes["a"].transport.connected() == {"c"}


async def test_what_is_sent_to_and_from_a_stalled_node_arrives_when_it_goes_on(autojump_clock, memory_world):
    """A stopped process loses nothing; a partition that began meanwhile is healed by itself."""
    nodes = {name: await memory_world.start(name) for name in "abc"}
    for node in nodes.values():
        await node.until_connected(*nodes.keys() - {node.name})
    memory_world.network.stall("a")
    nodes["a"].transport.send("b", memory_world.Heartbeat(1))
    nodes["b"].transport.send("a", memory_world.Heartbeat(2))
    nodes["b"].transport.send("c", memory_world.Heartbeat(3))
    await nodes["c"].until_received(1)
    memory_world.network.partition("a", "b", one_way=True)
    await trio.sleep(PEER_SILENT_S / 4)
    assert nodes["a"].received == nodes["b"].received == []

    memory_world.network.resume("a")
    await nodes["a"].until_received(1)
    assert nodes["b"].received == []
    memory_world.network.heal()
    await nodes["b"].until_received(1)


async def test_a_stalled_node_is_given_up_after_the_silence_limit(autojump_clock, memory_world):
    a, b = await memory_world.pair()
    began = trio.current_time()
    memory_world.network.stall("a")
    await b.until(lambda: b.count("disconnected", "a"))
    assert trio.current_time() - began == PEER_SILENT_S
    memory_world.network.resume("a")
    await a.until_connected("b")


async def test_a_slow_node_is_slow_in_both_directions(autojump_clock, memory_world):
    a, b = await memory_world.pair()
    memory_world.network.slow_down("a", 2.0)
    for sender, receiver in ((a, b), (b, a)):
        began = trio.current_time()
        sender.transport.send(receiver.name, memory_world.Heartbeat(1))
        await receiver.until_received(1)
        assert trio.current_time() - began == 2.0
    memory_world.network.slow_down("a", 0.0)
    began = trio.current_time()
    a.transport.send("b", memory_world.Heartbeat(2))
    await b.until_received(2)
    assert trio.current_time() == began


async def test_messages_are_lost_at_the_rate_set_for_their_lane(autojump_clock, memory_world):
    """Loss is per lane: consensus must survive it, calls over TCP never see it."""
    a, b = await memory_world.pair()
    memory_world.network.set_drop_rate(Lane.CONSENSUS, 0.5)
    for number in range(400):
        assert a.transport.send("b", memory_world.Heartbeat(number))
        assert a.transport.send("b", memory_world.Note(number))
    await trio.sleep(1)

    notes = [m for _, m, _ in b.received if hasattr(m, "content")]
    assert len(notes) == 400
    assert 140 < len(b.received) - len(notes) < 260


async def test_a_killed_node_is_noticed_and_sends_no_more(autojump_clock, memory_world):
    """As SIGKILL: its peers see the end of the stream, and it gets no chance to say anything."""
    a, b = await memory_world.pair()
    memory_world.network.kill("b")

    assert a.events[-1] == ("disconnected", "b")
    assert b.count("disconnected", "a") == 0
    assert b.transport.connected() == frozenset()
    assert not b.transport.send("a", memory_world.Note("from the grave"))
    await trio.sleep(10)
    assert a.transport.connected() == frozenset()


async def test_a_killed_node_comes_back_as_another_process(autojump_clock, memory_world):
    """The old one may still be winding down in the same test."""
    a, _ = await memory_world.pair()
    memory_world.network.kill("b")
    b2 = await memory_world.start("b", incarnation="b-2")
    await a.until_connected("b")
    a.transport.send("b", memory_world.Note("welcome back"))
    await b2.until_received(1)


async def test_what_was_under_way_to_a_killed_node_does_not_reach_its_successor(autojump_clock, memory_world):
    """It was sent to another process."""
    a, _ = await memory_world.pair()
    memory_world.network.set_delay(5.0, 5.0)
    a.transport.send("b", memory_world.Note("to the first"))
    memory_world.network.kill("b")
    b2 = await memory_world.start("b", incarnation="b-2")
    await a.until_connected("b")
    await trio.sleep(20)

    assert b2.received == []


async def test_a_partition_does_not_buffer_without_bound(autojump_clock, memory_world):
    """A held message counts against the mailbox it was put in."""
    a, _ = await memory_world.pair()
    memory_world.network.partition("a", "b")
    accepted = sum(a.transport.send("b", memory_world.Note(n)) for n in range(10_000))

    assert accepted == 4_096


@pytest.mark.parametrize("seed", [3, 4])
async def test_the_same_seed_gives_the_same_faults(autojump_clock, seed):
    """A failing run is found again by its seed."""
    from aether.transport import MemoryNetwork

    def losses(network: MemoryNetwork) -> list[float]:
        return [network.backoff_s(3) for _ in range(20)]

    assert losses(MemoryNetwork(seed)) == losses(MemoryNetwork(seed))
    assert losses(MemoryNetwork(seed)) != losses(MemoryNetwork(seed + 10))
