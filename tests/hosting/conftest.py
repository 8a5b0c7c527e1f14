"""One node without a network: a real store over a log that commits at once, a real Invoker, real hosting."""

import contextlib
import importlib.util
import sys
from pathlib import Path
from random import Random

import attrs
import msgpack
import pytest
import trio
import trio.testing

from aether.consensus.entry import Entry, EntryKind
from aether.consensus.values import Role
from aether.deployment.slice_store import route_row
from aether.hosting.host import Hosting
from aether.hosting.trees import Tree, TreeSlice
from aether.hosting.worker_describing import describe_tree
from aether.invocation.endpoints import EndpointRegistry
from aether.invocation.endpoints_service import EndpointWatcher
from aether.invocation.local import NoHost
from aether.invocation.messages import MESSAGES
from aether.invocation.proxy import bind_proxy
from aether.invocation.service import Invoker
from aether.kv import keys
from aether.kv.commands import Batch, Delete, Put
from aether.kv.service import KvService
from aether.kv.store import Store
from aether.model.artifact import Artifact
from aether.model.ids import Incarnation, InstanceId, NodeId
from aether.model.lifecycle import SliceState
from aether.model.rows import DesiredRow, InstanceRow, MemberRow
from aether.slice_api.contract import contract_of
from aether.slice_api.described import DescribedSlice
from aether.work import InlineWork


def _known_as(name, file):
    """Load a file of this folder as a module: tests import it by that name, worker processes find it by its file."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(file))
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)


_known_as("worker_slices", "worker_slices.py")

APART = ("worker", "far worker", "worker of a tree")
WAYS = ["co-located", "wire", "remote", *(pytest.param(w, marks=pytest.mark.process) for w in APART)]


@pytest.fixture(params=WAYS)
def way(request):
    """How a call travels to the instance that serves it."""
    return request.param


@pytest.fixture
def clock(way):
    """Virtual time, but for what happens in another process."""
    return None if "worker" in way else trio.testing.MockClock(autojump_threshold=0)


@attrs.frozen
class LeadingStatus:
    role: Role = Role.LEADER
    term: int = 1
    leader: str = "n1"
    voters: tuple[str, ...] = ("n1",)


class InstantConsensus:
    """A log of one node that commits each proposal before `propose` returns."""

    def __init__(self, store):
        self.store = store
        self.index = 0
        self.status = LeadingStatus()

    def propose(self, payload, *, asker=None):
        self.index += 1
        self.store.apply([Entry(self.index, 1, EntryKind.COMMAND, payload)])

    async def read_index(self):
        await trio.lowlevel.checkpoint()
        return self.index

    async def status_changed(self, since):
        await trio.sleep_forever()


class Classes:
    """The classes of this process, as a slice store offers them."""

    def __init__(self):
        self.classes = {}

    def add(self, *classes):
        for cls in classes:
            self.classes[contract_of(cls).artifact] = cls

    async def describe(self, cls):
        """Offer the class as a tree of this folder's files would, which this process knows nothing of."""
        artifact = contract_of(cls).artifact
        slices = (TreeSlice(artifact=artifact, module=cls.__module__, qualname=cls.__qualname__),)
        tree = Tree(name="here", slices=slices, path=(str(Path(__file__).parent),))
        self.classes.update(await describe_tree(tree, sys.path))
        assert isinstance(self.classes[artifact], DescribedSlice), self.classes[artifact]

    def available(self):
        return tuple(sorted(self.classes))

    async def load(self, artifact):
        return self.classes[artifact]


class Far:
    """Another node that hosts nothing and calls `home` over msgpack, with one millisecond each way."""

    def __init__(self, home):
        self.node = NodeId("n2")
        self.home = home
        self.registry = EndpointRegistry(self.node)
        self.invoker = Invoker(self.node, self.registry, self.to_home, NoHost(), rng=Random(2))
        self.watcher = EndpointWatcher(
            self.registry, home.kv, lambda: frozenset({home.node}), self.invoker.endpoints_changed
        )
        self._send, self._receive = trio.open_memory_channel(1_000)

    def to_home(self, to, message, request_id):
        return self._post(self.node, self.home.invoker, message, request_id)

    def to_far(self, to, message, request_id):
        return self._post(self.home.node, self.invoker, message, request_id)

    def _post(self, source, invoker, message, request_id):
        spec = next(spec for spec in MESSAGES if spec.cls is type(message))
        packed = msgpack.packb(spec.encode(message))
        try:
            self._send.send_nowait((trio.current_time() + 0.001, source, invoker, spec, packed, request_id))
        except trio.WouldBlock:  # a full mailbox
            return False
        return True

    async def carry(self):
        async for due, source, invoker, spec, packed, request_id in self._receive:
            await trio.sleep_until(due)
            invoker.deliver(source, spec.decode(msgpack.unpackb(packed)), request_id)


class Home:
    """One node. `crashes` and `waits` hold what hosting reported."""

    def __init__(self, *, work=None, config=None, secrets=None, bindings=(), drain_s=10.0, wire=False):
        self.node = NodeId("n1")
        store = Store()
        self.kv = KvService(
            self.node, Incarnation("x"), InstantConsensus(store), store, lambda to, message: False, lambda: 1_000.0
        )
        self.classes = Classes()
        self.hosting = Hosting(
            self.node,
            self.classes,
            self.kv,
            work or InlineWork(),
            config=config or {},
            secrets=secrets,
            bindings=bindings,
            drain_s=drain_s,
        )
        self.registry = EndpointRegistry(self.node)
        self.far = Far(self)
        self.invoker = Invoker(self.node, self.registry, self.far.to_far, self.hosting, rng=Random(1), wire=wire)
        self.watcher = EndpointWatcher(
            self.registry, self.kv, lambda: frozenset({self.far.node}), self.invoker.endpoints_changed
        )
        self.crashes = []
        self.waits = []
        self._count = 0

    def instance_crashed(self, instance, error):
        self.crashes.append((instance, error))

    def instance_waits(self, instance, reason):
        self.waits.append(reason)

    async def put(self, key, value):
        await self.kv.propose(Batch((), (Put(key, value),)))

    async def desire(self, cls_or_artifact, *, config=None, bind=None, host=None, memory_mb=None):
        artifact = cls_or_artifact if isinstance(cls_or_artifact, Artifact) else contract_of(cls_or_artifact).artifact
        row = DesiredRow(
            artifact=artifact, instances=1, blueprint="app", config=config or {}, bind=bind or {},
            host=host, memory_mb=memory_mb,
        )  # fmt: skip
        await self.put(keys.desired(artifact.base), row)
        return row

    async def deploy(self, cls, **desired):
        """What the deployment manager would do: wish, load, activate, report ACTIVE. host="tree": not imported here."""
        if desired.get("host") == "tree":
            del desired["host"]
            await self.classes.describe(cls)
        else:
            self.classes.add(cls)
        row = await self.desire(cls, **desired)
        return await self.start(row)

    async def start(self, desired):
        self._count += 1
        name = InstanceId(f"{desired.artifact.base.name}-{self._count}")
        row = InstanceRow(
            instance=name,
            artifact=desired.artifact,
            node=self.node,
            incarnation=Incarnation("x"),
            state=SliceState.ACTIVE,
        )
        await self.hosting.load(desired.artifact)
        await self.hosting.activate(row, desired)
        await self.put(keys.routes(desired.artifact.base), await route_row(self.classes, desired.artifact))
        await self.put(keys.instance(desired.artifact.base, name), row)
        await trio.testing.wait_all_tasks_blocked()
        return name

    async def stop(self, cls, instance):
        await self.kv.propose(Batch((), (Delete(keys.instance(contract_of(cls).artifact.base, instance)),)))
        await self.hosting.deactivate(instance)
        await self.hosting.unload(instance)

    def get(self, cls, target=None, *, remote=False):
        base = contract_of(target or cls).artifact.base
        return bind_proxy(contract_of(cls), base, self.far.invoker if remote else self.invoker)


@pytest.fixture(scope="session")
def home_of_sync():
    """For tests that start their own loop, one per example."""
    return opened_home


@pytest.fixture
def home_of():
    return opened_home


@contextlib.asynccontextmanager
async def opened_home(**options):
    home = Home(**options)
    async with trio.open_nursery() as nursery:
        await nursery.start(home.kv.run)
        await home.put(keys.member(home.node), MemberRow(node=home.node, incarnation=Incarnation("x")))
        await nursery.start(home.watcher.run)
        await nursery.start(home.invoker.run)
        await nursery.start(home.far.watcher.run)
        await nursery.start(home.far.invoker.run)
        nursery.start_soon(home.far.carry)
        await nursery.start(home.hosting.run, home.invoker, home)
        yield home
        nursery.cancel_scope.cancel()
