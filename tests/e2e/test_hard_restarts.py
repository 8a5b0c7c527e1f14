"""Nodes end and begin again: all at once, one after another, elsewhere, and the leader again and again."""

import signal

import attrs
import pytest
import trio
from tests.e2e.hard_world import LEDGER, SOON_S, ledger, load, long, until, writing

from aether.forge.ports import free_ports

pytestmark = [pytest.mark.process, pytest.mark.timeout(400)]

ROUNDS = 5
LEADERS = 8
LOST_S = 45
QUORUM = "no majority"


@long
async def test_all_nodes_are_killed_again_and_again_while_entries_are_written(open_cluster):
    """Whatever was under way, and in which order they come back: nothing acknowledged is lost, nothing refused is."""
    async with ledger(open_cluster) as hard:
        nodes = list(hard.processes.ports)
        async with writing(hard, nodes) as writers:
            for number in range(ROUNDS):
                for node in nodes:
                    await hard.processes.kill(node)
                for node in nodes[number % 3 :] + nodes[: number % 3]:
                    await hard.processes.start(node)
                await hard.running.ready()
                await writers.go_on()
        await hard.active(LEDGER, 3)
        await writers.audit()
        hard.assert_no_defect()


async def test_all_nodes_move_at_once(open_cluster):
    """Every address of every node changes while all are down: their new command lines are enough to find each other."""
    async with ledger(open_cluster) as hard:
        async with writing(hard) as writers:
            await writers.go_on()
        nodes = list(hard.processes.ports)
        for node in nodes:
            await hard.processes.kill(node)
        for node, port in zip(nodes, free_ports(3), strict=True):
            hard.processes.ports[node] = attrs.evolve(hard.processes.ports[node], cluster=port)
        for node in nodes:
            await hard.processes.start(node)
        await hard.running.ready()
        await hard.active(LEDGER, 3)
        await writers.some(20)
        await writers.audit()
        hard.assert_no_defect()


@long
async def test_all_nodes_move_one_by_one_and_no_request_fails(open_cluster):
    """As when machines are exchanged: each leaves in order and comes back at another address."""
    async with ledger(open_cluster) as hard:
        open_nodes = list(hard.processes.ports)
        async with load(hard, open_nodes) as seen, writing(hard, open_nodes) as writers:
            for node in list(open_nodes):
                open_nodes.remove(node)
                await hard.leave(node)
                ports = hard.processes.ports[node]
                hard.processes.ports[node] = attrs.evolve(ports, cluster=free_ports(1)[0])
                await hard.restart(node)
                await hard.active(LEDGER, 3)
                open_nodes.append(node)
                await writers.go_on()
        assert seen.failures == []
        assert (writers.refused, writers.unknown) == (set(), set())
        await writers.audit()
        hard.assert_no_defect()


@long
async def test_the_leader_is_killed_again_and_again(open_cluster):
    """Nothing acknowledged is lost, whoever leads; what was under way is said to be unknown or not to have happened."""
    async with ledger(open_cluster) as hard:
        async with writing(hard, list(hard.processes.ports)) as writers:
            for _ in range(LEADERS):
                leader = await hard.leader()
                await hard.processes.kill(leader)
                await hard.leader()
                await writers.go_on()
                await hard.restart(leader)
        await hard.active(LEDGER, 3)
        await writers.audit()
        hard.assert_no_defect()


@long
async def test_a_majority_is_lost_for_long_and_what_is_left_answers_and_does_not_grow(open_cluster):
    """Every write is answered in time, and none with a promise; when the others are back, all goes on by itself."""
    async with ledger(open_cluster) as hard:
        left = await hard.leader()
        others = await hard.others(left)
        async with writing(hard, [left]) as writers:
            for node in others:
                hard.processes.send_signal(node, signal.SIGSTOP)
            await until(lambda: writers.refused | writers.told_unknown, SOON_S, "a write is not acknowledged")
            before, kept = await hard.memory(left), len(writers.acknowledged)
            async with trio.open_nursery() as nursery:
                for _ in range(20):
                    nursery.start_soon(writers.run)
                await trio.sleep(LOST_S)  # the loss itself, as long as the scenario says
                nursery.cancel_scope.cancel()
            assert len(writers.refused | writers.told_unknown) > 50
            assert (len(writers.acknowledged), writers.silent) == (kept, set())
            assert await hard.memory(left) < before + 32 * 2**20
            for node in others:
                hard.processes.send_signal(node, signal.SIGCONT)
            await hard.running.ready()
            await writers.go_on()
        await writers.audit()
        hard.assert_no_defect()
