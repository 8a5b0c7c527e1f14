"""Real processes die, freeze and come back under load: nothing acknowledged is lost, nothing stays stuck."""

import json
import signal

import pytest
import tomli
import trio

from aether.forge.audit import audit
from aether.forge.demo import order_demo
from aether.forge.load import OrderStream
from aether.forge.polling import until

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]

RATE, SECONDS = 10, 14
INITIAL = 1_000_000


class Losses:
    """What is done to the nodes, one after another, while orders come in."""

    def __init__(self, running):
        self.running = running
        self.processes = running.processes

    async def leader(self):
        async def known():
            for node in self.processes.running:
                leader = await self.running.console.leader(node)
                if leader in self.processes.running:
                    return leader
            return None

        return await until(known, 30, "a leader that runs")

    async def restart(self, *nodes):
        for node in nodes:
            await self.processes.kill(node)
        for node in nodes:
            await self.processes.start(node)
        await self.running.ready(*nodes)

    async def kill_leader(self):
        await self.restart(await self.leader())

    async def kill_follower_in_the_middle_of_a_blueprint(self, blueprint):
        leader = await self.leader()
        follower = next(node for node in self.processes.running if node != leader)
        text = blueprint.replace("instances = 2", "instances = 3")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: self.running.console.post(leader, "/blueprint", text=text))
            await trio.sleep(0.01)
            await self.processes.kill(follower)
        await self.processes.start(follower)
        await self.running.ready(follower)

    async def freeze_leader(self):
        """A stopped process keeps its connections; only silence tells."""
        leader = await self.leader()
        self.processes.send_signal(leader, signal.SIGSTOP)
        await trio.sleep(3)
        self.processes.send_signal(leader, signal.SIGCONT)
        await self.running.ready(leader)

    async def kill_all(self):
        await self.restart(*self.processes.running)


async def test_orders_survive_every_kind_of_loss(open_cluster):
    shop = order_demo()
    blueprint = (shop / "blueprint.toml").read_text()
    orders = [json.loads(line) for line in (shop / "orders.jsonl").read_text().splitlines()]
    async with open_cluster(app="order_demo", app_dir=shop.parent) as running:
        await running.ready()
        await running.console.post("node-1", "/blueprint?wait=30", text=blueprint)
        stream = OrderStream(running.client, [p.http_url for p in running.processes.ports.values()], orders, "losses")
        losses = Losses(running)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.run, RATE, SECONDS)
            await losses.kill_leader()
            await losses.kill_follower_in_the_middle_of_a_blueprint(blueprint)
            await losses.freeze_leader()
            await losses.kill_all()

        assert [o for o in stream.outcomes if o.failed] == []
        wanted = {each["artifact"]: 3 for each in tomli.loads(blueprint)["slices"]}
        for node in running.processes.running:
            await running.console.wait_active(node, wanted, 30.0)
        revision = max([(await running.console.get(n, "/status"))["revision"] for n in running.processes.running])
        for node in running.processes.running:

            async def caught_up(node=node):
                return (await running.console.get(node, "/status"))["revision"] >= revision

            await until(caught_up, 15, f"{node} has applied {revision}")
            rows = [await running.console.map_rows(node, name) for name in ("orders", "inventory")]
            result = audit(node, stream.outcomes, *rows, INITIAL)
            assert result.clean, result
            states = {instance["state"] for instance in await running.console.instances(node)}
            assert states == {"ACTIVE"}
        printed = [line for lines in running.lines.values() for line in lines]
        assert not [line for line in printed if "Traceback" in line or " ERROR " in line]
