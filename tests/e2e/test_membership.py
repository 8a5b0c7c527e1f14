"""Real processes join, vote, are removed, lose their disks and move, while clients write."""

import shutil

import attrs
import pytest
import trio

from aether.forge.polling import until
from aether.forge.ports import free_ports

pytestmark = [pytest.mark.process, pytest.mark.timeout(240)]

COUNTER = "e2e:counter:1.0.0"


class Group:
    """The members as one node shows them, and changes of them."""

    def __init__(self, running):
        self.running = running
        self.processes = running.processes

    async def members(self, node):
        return {each["id"]: each for each in (await self.running.console.get(node, "/members"))["members"]}

    async def voters(self, node, wanted):
        """Wait until `node` says that exactly the numbers in `wanted` vote."""
        names = {f"node-{each}" for each in wanted}

        async def agreed():
            members = await self.members(node)
            return {name for name, each in members.items() if each["kind"] == "VOTER"} == names

        await until(agreed, 60, f"{node} knows {sorted(names)} as the voters")

    async def reached(self, node, other, address):
        """Wait until `node` reaches `other` at `address`."""

        async def known():
            member = (await self.members(node))[other]
            return member["reachable"] and member["clusterAddress"] == address

        await until(known, 30, f"{node} reaches {other} at {address}")

    async def start(self, node):
        await self.processes.start(node)
        await self.running.ready(node)

    async def remove(self, node, *, by):
        return await self.running.console.post(by, "/members/remove?wait=60", body={"node": node})


class Writer:
    """Counts up one number through one node. Nothing may fail but what a killed node had begun: that is repeated."""

    def __init__(self, running, node):
        self.client, self.url = running.client, f"{running.http(node)}/counts/a"
        self.written = 0

    async def run(self):
        while True:
            answer = await self.client.put(self.url, json={"value": self.written + 1})
            if answer.status_code == 504:
                assert answer.json()["type"] == "urn:aether:outcome-unknown", answer.text
                continue
            assert answer.status_code == 200, answer.text
            self.written += 1
            await trio.sleep(0.02)

    async def goes_on(self):
        before = self.written
        await until(lambda: self.written >= before + 10, 30, "ten more writes")


async def grow(group):
    await group.running.ready("node-1")
    await group.running.deploy(COUNTER, 2)
    for number, voters in [(2, "1"), (3, "123"), (4, "123"), (5, "12345")]:
        await group.start(f"node-{number}")
        await group.voters("node-1", voters)


async def lose_the_leader(group):
    """By order: no write is lost, and none fails."""
    assert await group.running.console.leader("node-5") == "node-1"
    await group.remove("node-1", by="node-4")
    code, said = await group.running.ended("node-1")
    assert code == 4
    assert "never used again" in said
    await group.voters("node-4", "2345")


async def replace_a_dead_node(group):
    """Those who are left."""
    leader = await group.running.console.leader("node-5")
    dead = next(name for name in ("node-2", "node-3", "node-4") if name != leader)
    await group.processes.kill(dead)
    await group.remove(dead, by="node-5")
    await group.start("node-6")
    left = sorted({"node-2", "node-3", "node-4", "node-5"} - {dead})
    await group.voters("node-5", [name[-1] for name in left])
    assert (await group.members("node-5"))["node-6"]["kind"] == "WORKER"
    return left


async def move(group, node, others):
    await group.processes.stop(node)
    group.processes.ports[node] = attrs.evolve(group.processes.ports[node], cluster=free_ports(1)[0])
    await group.start(node)
    for other in others:
        await group.reached(other, node, f"127.0.0.1:{group.processes.ports[node].cluster}")


async def wipe_a_disk(group, left):
    """Those who are left, with the worker in the place of the wiped one."""
    leader = await group.running.console.leader("node-5")
    wiped = next(name for name in left if name not in (leader, "node-5"))
    await group.processes.kill(wiped)
    shutil.rmtree(group.processes.directory(wiped))
    await group.processes.start(wiped)
    code, said = await group.running.ended(wiped)
    assert code == 1
    assert f"aether members remove {wiped}" in said
    await group.remove(wiped, by="node-6")
    left = [*(name for name in left if name != wiped), "node-6"]
    await group.voters("node-5", [name[-1] for name in left])
    return left


async def test_a_group_grows_loses_its_leader_a_node_and_a_disk_and_moves_while_clients_write(open_cluster):
    async with open_cluster(nodes=6, joins=True) as running:
        group = Group(running)
        await grow(group)
        writer = Writer(running, "node-5")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(writer.run)
            await writer.goes_on()
            await lose_the_leader(group)
            await writer.goes_on()
            left = await replace_a_dead_node(group)
            await move(group, "node-6", left)
            left = await wipe_a_disk(group, left)
            await writer.goes_on()
            nursery.cancel_scope.cancel()

        for name in left:
            assert (await running.client.get(f"{running.http(name)}/counts/a")).json() >= writer.written
        printed = [line for lines in running.lines.values() for line in lines]
        assert not [line for line in printed if "Traceback" in line]
