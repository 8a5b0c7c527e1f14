"""A group of whole nodes in memory that grows, shrinks and loses disks. Tests name `autojump_clock` themselves."""

import random
from contextlib import asynccontextmanager

import attrs
import pytest
import trio

from aether.cluster.opening import open_node, opening
from aether.consensus.values import Role
from aether.model.ids import NodeId, StoreId
from aether.node.config import NodeConfig
from aether.node.seams import OpenedStorage, Seams
from aether.storage.memory import MemoryStorage
from aether.transport.memory import MemoryTransport
from aether.transport.network import MemoryNetwork
from aether.work import InlineWork

PATIENCE_S = 120.0


@attrs.define(eq=False)
class Member:
    """One node process. `error` is what it ended with by itself."""

    node: object = None
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    ended: trio.Event = attrs.field(factory=trio.Event)
    error: BaseException | None = None


class Group:
    """Nodes by name; `stores` outlive them. `contacts`: whom a newcomer asks."""

    def __init__(self, nursery):
        self.nursery = nursery
        self.network = MemoryNetwork(seed=7)
        self.stores = {}
        self.members = {}
        self.starts = 0
        self.contacts = ["n1"]

    # --- processes ---

    async def start(self, name, *, join=True, founders=(), slices=(), **config):
        """Start a node; returns as soon as it runs, ready or not."""
        store = self.stores.get(name) or OpenedStorage(MemoryStorage(), StoreId(f"store-{name}-{self.starts}"))
        founded = store.founders
        if founded is None:
            founded = () if join else tuple(sorted({name, *founders}))
        self.stores[name] = store = attrs.evolve(store, boots=store.boots + 1, founders=founded)
        peers = {} if join else {NodeId(each): "127.0.0.1:1" for each in founders if each != name}
        contacts = ("127.0.0.1:1",) if join else ()
        settings = NodeConfig(node=NodeId(name), peers=peers, join=contacts, port=1, **config)
        member = self.members[name] = Member()
        await self.nursery.start(self._run, member, settings, slices, store, [*founders, *self.contacts])
        return member

    async def _run(self, member, config, slices, store, peers, *, task_status):
        self.starts += 1
        choices = random.Random(self.starts)

        def make_transport(config, identity, table, admit, wrap=None):
            return MemoryTransport(identity, self.network, peers, table, admit=admit)

        seams = Seams(
            make_transport=make_transport,
            work=InlineWork(),
            slice_work=InlineWork(),
            wall=lambda: 1_700_000_000.0 + trio.current_time(),
            rng=choices,
            new_id=lambda: f"{choices.getrandbits(48):012x}",
            new_uuid=lambda: f"{choices.getrandbits(128):032x}",
        )
        try:
            with member.scope, opening():
                async with open_node(config, slices, (), seams, store) as node:
                    member.node = node
                    task_status.started()
                    await trio.sleep_forever()
        except Exception as error:
            member.error = error
            if member.node is None:
                task_status.started()
        finally:
            member.ended.set()

    async def kill(self, name):
        self.members[name].scope.cancel()
        await self.members[name].ended.wait()
        del self.members[name]

    async def ended(self, name):
        """The error with which a node ended by itself."""
        with trio.fail_after(PATIENCE_S):
            await self.members[name].ended.wait()
        return self.members.pop(name).error

    # --- looking ---

    def node(self, name):
        return self.members[name].node

    def status(self, name):
        return self.node(name).consensus.status

    @property
    def leader(self):
        """The name of whoever leads now; "" in an election."""
        leading = [name for name in self.members if self.status(name).role is Role.LEADER]
        return max(leading, key=lambda name: self.status(name).term, default="")

    async def until(self, condition):
        with trio.fail_after(PATIENCE_S):
            while not condition():
                await trio.sleep(0.05)

    async def ready(self, *names):
        for name in names:
            await self.until(lambda name=name: self.node(name).ready.is_set())

    async def settled(self, voters, workers=""):
        """Until every running node knows exactly these voters and workers (names without their n)."""
        wanted = [sorted(f"n{each}" for each in group) for group in (voters, workers)]

        def agree():
            for name in self.members:
                status = self.status(name)
                configuration = status.configuration
                found = [sorted(configuration.voters), sorted(configuration.learners)]
                if found != wanted or status.is_changing or configuration.is_joint:
                    return False
            return bool(self.leader)

        await self.until(agree)

    async def fulfilled(self, wish):
        await self.until(lambda: wish.missing() == [])

    async def grow(self, count, **config):
        """The first founds, the others join one after another."""
        await self.start("n1", join=False, **config)
        await self.ready("n1")
        for number in range(2, count + 1):
            await self.start(f"n{number}", **config)
            await self.ready(f"n{number}")


@asynccontextmanager
async def open_group():
    async with trio.open_nursery() as nursery:
        yield Group(nursery)
        nursery.cancel_scope.cancel()


@pytest.fixture
async def group(autojump_clock):
    async with open_group() as opened:
        yield opened
