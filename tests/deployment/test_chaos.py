"""Everything at once, from a seed: nodes die and return, leaders change, answers get lost, slices fail."""

import random

import pytest
import trio

from aether.errors import NoQuorum, OutcomeUnknown
from aether.kv import keys
from aether.model.ids import NodeId

ARTIFACTS = ("shop:a:1.0.0", "shop:a:2.0.0", "shop:b:1.0.0")
NAMES = ("n1", "n2", "n3", "n4")


class Chaos:
    def __init__(self, world, seed):
        self.world = world
        self.rng = random.Random(seed)

    async def step(self):
        await self.rng.choice([self.kill, self.start, self.elect, self.cut, self.scale, self.trouble, self.answers])()
        await trio.sleep(self.rng.choice([0.0, 0.001, 0.01, 0.1, 1.0, 3.0]))

    async def kill(self):
        if len(self.world.nodes) > 2:
            self.world.kill(self.rng.choice(sorted(self.world.nodes)))

    async def start(self):
        dead = sorted(set(NAMES) - set(self.world.nodes))
        if dead:
            node = await self.world.start(self.rng.choice(dead), *ARTIFACTS)
            node.kv.latency_s = self.rng.choice([0.0, 0.001, 0.02])

    async def elect(self):
        self.world.elect(self.rng.choice(sorted(self.world.nodes)))

    async def cut(self):
        """Out of sight for a while, and back in the same incarnation."""
        name = self.rng.choice(sorted(self.world.nodes))
        if NodeId(name) in self.world.reachable:
            self.world.cut(name)
        await trio.sleep(self.rng.choice([0.5, 2.5]))
        self.see_all()

    async def scale(self):
        await self.world.operator.deploy(self.rng.choice(ARTIFACTS), self.rng.randrange(7))

    async def trouble(self):
        node = self.world.nodes[self.rng.choice(sorted(self.world.nodes))]
        method = self.rng.choice(["load", "activate", "deactivate"])
        node.host.fail[method, self.rng.choice("ab")] = [ValueError("chaos")] * self.rng.randrange(3)
        if node.host.running and self.rng.random() < 0.5:
            node.host.crash(self.rng.choice(sorted(node.host.running)), RuntimeError("chaos"))

    async def answers(self):
        node = self.world.nodes[self.rng.choice(sorted(self.world.nodes))]
        errors = [OutcomeUnknown(), NoQuorum(1, 2)]
        node.kv.fail_next = [
            (error, isinstance(error, OutcomeUnknown) and self.rng.random() < 0.5)
            for error in self.rng.choices(errors, k=self.rng.randrange(5))
        ]

    def see_all(self):
        for name, node in self.world.nodes.items():
            self.world.reachable[NodeId(name)] = node.incarnation
        self.world.members_changed()

    async def calm_down(self):
        self.see_all()
        for node in self.world.nodes.values():
            node.host.fail.clear()
            node.kv.fail_next = []
        await self.elect()

    def settled(self):
        rows = self.world.instances()
        hosted = {i for node in self.world.nodes.values() for i in node.host.running}
        wanted = {row.artifact: row.instances for row in self.world.rows(keys.DESIRED)}
        counts = {artifact: sum(row.artifact == artifact for row in rows) for artifact in wanted}
        return (
            all(row.state == "ACTIVE" for row in rows)
            and counts == wanted
            and len(rows) == sum(wanted.values())
            and hosted == {row.instance for row in rows}
        )


@pytest.mark.parametrize("seed", range(15))
async def test_after_any_trouble_the_wish_is_reached_and_rows_tell_the_truth(autojump_clock, world, seed):
    """What runs, what the rows say and what is wanted are one again, however they were torn apart."""
    for name in NAMES[:3]:
        await world.start(name, *ARTIFACTS)
    chaos = Chaos(world, seed)
    await chaos.elect()
    for _ in range(40):
        await chaos.step()

    await chaos.calm_down()

    # A back-off that grew in the trouble may still have its longest pause before it.
    await world.until(chaos.settled, within_s=150)
    await trio.sleep(30)
    assert chaos.settled(), "and stays"
