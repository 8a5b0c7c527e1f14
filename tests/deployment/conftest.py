"""A cluster in one process: the real deterministic store, played hosting, virtual time."""

import itertools

import attrs
import pytest
import trio

from aether.consensus.entry import Entry, EntryKind
from aether.deployment.cluster_manager import ClusterDeploymentManager
from aether.deployment.managers import NOT_RUNNING
from aether.deployment.node_manager import NodeDeploymentManager
from aether.deployment.operator import Operator
from aether.errors import NoQuorum, NotFound, NotLeader
from aether.kv import keys
from aether.kv.commands import Apply, Batch, BatchResult, Compare, Put, encode_command, plain_batch, stamped
from aether.kv.history import ChangeHistory
from aether.kv.store import Store
from aether.kv.watch import WatcherSet
from aether.kv.watch_service import Watch
from aether.model.artifact import Artifact
from aether.model.ids import Incarnation, InstanceId, NodeId
from aether.model.rows import LeadershipRow, MemberRow, RouteRow

WALL_S = 1_000_000_000.0


class Log:
    """The one history that all stand-ins of KvService share."""

    def __init__(self):
        self.store = Store()
        self.watchers = WatcherSet()
        self.changes = ChangeHistory()
        self.store.listen(self._changed)
        self.history = []  # (revision, batch) of what took effect

    def _changed(self, applied):
        self.changes.applied(self.store.revision, applied.changed)
        self.watchers.mark(applied.changed)

    def apply(self, batch):
        conflict = next((c.key.text for c in batch.compares if self.store.version(c.key.text) != c.version), None)
        compares, changes = plain_batch(batch)
        command = encode_command(Apply(0, 0, 0, compares, changes))
        index = self.store.revision + 1
        self.store.apply([Entry(index, 1, EntryKind.COMMAND, stamped(command, 0))])
        if conflict is None:
            self.history.append((index, batch))
        return BatchResult(conflict is None, self.store.revision, conflict)


class FakeKv:
    """KvService's promises without Raft. fail_next: errors to raise, each with whether the batch happens anyway."""

    def __init__(self, log, node="n1", latency_s=0.001):
        self.log = log
        self.node = NodeId(node)
        self.latency_s = latency_s
        self.fail_next = []
        self.quorum = True
        self.barriers = 0
        self.before_apply = []  # called once each, in front of the next batches: what others do meanwhile

    unreadable = ()

    def get(self, key):
        row = self.log.store.get(key.text)
        return None if row is None else key.decode(row.value)

    def version(self, key):
        return self.log.store.version(key.text)

    def scan(self, prefix):
        return ((text, row.value, row.version) for text, row in self.log.store.scan(prefix))

    def page(self, prefix, after, limit):
        return [(text, row.value, row.version) for text, row in self.log.store.page(prefix, after, limit)]

    def follow(self, prefix):
        """Nothing is remembered here."""

    def versioned(self, text, prefix):
        found = self.page(text, "", 1)
        return (found[0][2], prefix.codec.decode(found[0][1])) if found and found[0][0] == text else None

    def changed_after(self, revision, prefix):
        return self.log.changes.after(revision, prefix)

    def rows(self, prefix):
        return (prefix.codec.decode(row.value) for _, row in self.log.store.scan(prefix))

    def watch(self, *prefixes):
        return Watch(self.log.watchers, prefixes)

    def behind(self, nodes, revision):
        """Every node reads the one store."""
        return frozenset()

    async def heard(self):
        await trio.sleep_forever()

    @property
    def revision(self):
        return self.log.store.revision

    @property
    def leadership(self):
        row = self.get(keys.leadership)
        return row if row is not None and row.node == self.node else None

    async def barrier(self):
        self.barriers += 1
        await trio.sleep(self.latency_s)
        return self.revision

    async def propose(self, batch, *, fence=None):
        if fence is not None:  # as KvService guards it: the store itself refuses what a deposed leader sends
            held = Compare(keys.leadership, self.version(keys.leadership))
            if self.leadership != fence:
                raise NotLeader(self.node)
            batch = Batch((held, *batch.compares), batch.changes)
        await trio.sleep(self.latency_s)
        if not self.quorum:
            raise NoQuorum(1, 2)
        if self.before_apply:
            self.before_apply.pop(0)()
        error, happens = self.fail_next.pop(0) if self.fail_next else (None, True)
        result = self.log.apply(batch) if happens else None
        if error is not None:
            raise error
        if result.conflict == keys.leadership.text:
            raise NotLeader(self.node)
        return result


class FakeHost:
    """Hosting that fails, hangs or waits as told; refuses calls in an order that real hosting would not survive."""

    def __init__(self):
        self.loaded = set()
        self.running = {}  # instance -> row
        self.calls = []
        self.fail = {}  # (method, artifact name) -> list of errors to raise, or "hang"
        self.manager = None
        self.load_s = self.start_s = 0.005
        self.stop_s = self.unload_s = 0.01
        self.waits_for = {}  # artifact name -> (reason, seconds)

    async def _trouble(self, method, artifact):
        queue = self.fail.get((method, artifact.base.name), [])
        if queue:
            trouble = queue.pop(0)
            if trouble == "hang":
                await trio.sleep_forever()
            raise trouble

    async def load(self, artifact):
        self.calls.append(("load", str(artifact)))
        await trio.sleep(self.load_s)
        await self._trouble("load", artifact)
        self.loaded.add(artifact)

    async def activate(self, row, desired):
        self.calls.append(("activate", row.instance))
        assert row.artifact in self.loaded
        assert row.instance not in self.running
        assert desired.artifact.base == row.artifact.base
        if row.artifact.base.name in self.waits_for:
            reason, seconds = self.waits_for[row.artifact.base.name]
            self.manager.instance_waits(row.instance, reason)
            await trio.sleep(seconds)
            self.manager.instance_waits(row.instance, "")
        await trio.sleep(self.start_s)
        await self._trouble("activate", row.artifact)
        self.running[row.instance] = row

    def crash(self, instance, error):
        del self.running[instance]
        self.manager.instance_crashed(instance, error)

    async def deactivate(self, instance):
        self.calls.append(("deactivate", instance))
        if instance not in self.running:
            raise NotFound(NOT_RUNNING, instance)
        row = self.running.pop(instance)
        await trio.sleep(self.stop_s)
        await self._trouble("deactivate", row.artifact)

    async def unload(self, instance):
        self.calls.append(("unload", instance))
        assert instance not in self.running
        await trio.sleep(self.unload_s)
        queue = self.fail.get(("unload", "*"), [])
        if queue:
            raise queue.pop(0)


async def route_row(artifact):
    return RouteRow(artifact=artifact.base, version=str(artifact.version), idempotent=(f"v{artifact.version.major}",))


@attrs.define(eq=False)
class Node:
    kv: FakeKv
    host: FakeHost
    incarnation: Incarnation
    cluster: ClusterDeploymentManager
    manager: NodeDeploymentManager
    scope: trio.CancelScope


class World:
    """Nodes that live and die; what one node sees of the others is `reachable`."""

    def __init__(self, nursery):
        self.log = Log()
        self.nodes = {}
        self.reachable = {}
        self.term = 0
        self.make_cluster_manager = ClusterDeploymentManager
        self._nursery = nursery
        self._incarnations = itertools.count(1)
        self._instances = itertools.count(1)
        self.operator = Operator(FakeKv(self.log), self.wall)

    def wall(self):
        return WALL_S + trio.current_time()

    async def start(self, name, *available, draining=False, **limits):
        node, incarnation = NodeId(name), Incarnation(f"i{next(self._incarnations)}")
        kv, host = FakeKv(self.log, node), FakeHost()
        cluster = self.make_cluster_manager(kv, lambda: dict(self.reachable), wall=self.wall, new_id=self._new_id)
        manager = NodeDeploymentManager(node, incarnation, kv, host, route_row, wall=self.wall, **limits)
        host.manager = manager
        started = Node(kv, host, incarnation, cluster, manager, trio.CancelScope())
        self.nodes[name] = started
        self.reachable[node] = incarnation
        row = MemberRow(
            node=node, incarnation=incarnation, available=tuple(map(Artifact.parse, available)), draining=draining
        )
        self.log.apply(Batch((), (Put(keys.member(node), row),)))
        await self._nursery.start(self._run, started)
        self.members_changed()
        return started

    async def _run(self, node, *, task_status):
        with node.scope:
            async with trio.open_nursery() as nursery:
                await nursery.start(node.cluster.run)
                await nursery.start(node.manager.run)
                task_status.started()

    def kill(self, name):
        self.nodes.pop(name).scope.cancel()
        self.cut(name)

    def cut(self, name):
        """Unreachable, though it may live."""
        self.reachable.pop(NodeId(name))
        self.members_changed()

    def members_changed(self):
        for node in self.nodes.values():
            node.cluster.members_changed()

    def elect(self, name):
        self.term += 1
        self.log.apply(Batch((), (Put(keys.leadership, LeadershipRow(term=self.term, node=NodeId(name))),)))

    def drain(self, name, draining=True):
        kv = self.nodes[name].kv
        key = keys.member(NodeId(name))
        self.log.apply(Batch((), (Put(key, attrs.evolve(kv.get(key), draining=draining)),)))

    def _new_id(self):
        return InstanceId(f"x{next(self._instances)}")

    # --- looking ---

    def instances(self, base=None):
        kv = FakeKv(self.log)
        return [r for r in kv.rows(keys.INSTANCES) if base is None or str(r.artifact.base) == base]

    def states(self, base=None):
        return sorted(f"{r.node}:{r.state}" for r in self.instances(base))

    def where(self, base):
        return sorted(r.node for r in self.instances(base) if r.state == "ACTIVE")

    def rows(self, prefix):
        return list(FakeKv(self.log).rows(prefix))

    async def until(self, condition, within_s=30.0):
        """Virtual seconds until `condition()` holds."""
        began = trio.current_time()
        async with Watch(self.log.watchers, ("",)) as watch:
            with trio.move_on_after(within_s):
                while not condition():
                    with trio.move_on_after(0.05):
                        await watch.changed()
        assert condition(), self.instances()
        return trio.current_time() - began


@pytest.fixture
def log():
    return Log()


@pytest.fixture
def kv(log):
    return FakeKv(log)


@pytest.fixture
async def world():
    async with trio.open_nursery() as nursery:
        yield World(nursery)
        nursery.cancel_scope.cancel()
