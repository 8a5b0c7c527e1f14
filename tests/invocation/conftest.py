"""A network of Invokers without sockets: messages go through msgpack, in order, after a virtual delay."""

import contextlib
from collections import defaultdict
from random import Random

import msgpack
import pytest
import trio

from aether.invocation.endpoints import EndpointRegistry, View
from aether.invocation.local import LocalInstance
from aether.invocation.messages import MESSAGES
from aether.invocation.reply import Done, Form
from aether.invocation.service import Invoker
from aether.model.artifact import Artifact
from aether.model.ids import Incarnation, InstanceId, NodeId
from aether.model.lifecycle import SliceState
from aether.model.rows import InstanceRow, MemberRow, RouteRow
from aether.slice_api.handover_service import pump

PRICING = Artifact.parse("shop:pricing:1.0.0")
ORDERS = Artifact.parse("shop:place-order:1.0.0")
_BY_CLASS = {spec.cls: spec for spec in MESSAGES}


class FakeInstance(LocalInstance):
    """Serves with `handler(method, payload)`; what it returns is the outcome, or the payload of Done."""

    name = ""

    def __init__(self, name, handler):
        self.name = name
        self.handler = handler
        self.served = []
        self.scopes = []
        self.cancelled = 0

    async def serve(self, method, payload, form, scope, around=None):
        self.served.append((method, payload))
        self.scopes.append(scope)
        with scope:
            try:
                result = await self.handler(method, payload)
            except trio.Cancelled:
                self.cancelled += 1
                raise
            return result if type(result).__module__.startswith("aether.") else Done(result)
        return None

    async def serve_stream(self, method, payload, form, scope, sink, inputs):
        """`handler(method, payload, inputs)` is an async generator of plain items, or returns a result."""
        self.served.append((method, payload))
        self.scopes.append(scope)
        with scope:
            try:
                sink.opened()
                made = self.handler(method, payload, inputs)
                if not hasattr(made, "__aiter__"):
                    return Done(await made)
                await pump(made, None, sink)
            except trio.Cancelled:
                self.cancelled += 1
                raise
            return Done(None)
        return None


class FakeNode:
    def __init__(self, network, name, **options):
        self.network = network
        self.name = NodeId(name)
        self.instances = {}
        self.registry = EndpointRegistry(self.name)
        self.invoker = Invoker(self.name, self.registry, self._send, self, rng=Random(name), **options)
        self.sent = []

    def find(self, instance):
        return self.instances.get(instance)

    def _send(self, to, message, request_id):
        if frozenset((self.name, to)) in self.network.cut or to in self.network.full:
            return False
        spec = _BY_CLASS[type(message)]
        packed = msgpack.packb([spec.encode(message), request_id])
        if self.network.post(self.name, to, spec, packed) is False:
            return False
        self.sent.append((to, message, request_id))
        return True

    async def call(self, target=PRICING, method="quote", payload=None, request_id=""):
        return await self.invoker.call(target.base, method, payload, form=Form.WIRE, request_id=request_id)


class FakeNetwork:
    """`cut` holds pairs without a connection; `full` nodes whose mailbox refuses."""

    def __init__(self, nursery):
        self.nursery = nursery
        self.nodes = {}
        self.rows = {}
        self.terms = {}
        self.traffic = {}
        self.cut = set()
        self.full = set()
        self.delay_s = 0.001
        self._lanes = {}
        self.delivered = defaultdict(int)

    async def add(self, name, **options):
        node = self.nodes[NodeId(name)] = FakeNode(self, name, **options)
        await self.nursery.start(node.invoker.run)
        self.publish()
        return node

    def host(self, node, handler, *, instance=None, artifact=PRICING, state=SliceState.ACTIVE):
        made = FakeInstance("".join(p.capitalize() for p in artifact.base.name.split("-")), handler)
        name = InstanceId(instance or f"{artifact.base.name}-{node.name}")
        node.instances[name] = made
        self.rows[name] = InstanceRow(
            instance=name, artifact=artifact, node=node.name, incarnation=Incarnation("x"), state=state
        )
        self.publish()
        return made

    def idempotent(self, *methods, artifact=PRICING, deadline_s=30.0):
        self.terms[artifact.base] = RouteRow(artifact=artifact.base, idempotent=methods, deadline_s=deadline_s)
        self.publish()

    def members(self, *names):
        return [MemberRow(node=NodeId(n), incarnation=Incarnation("x")) for n in names]

    def publish(self):
        """Every node's registry sees the rows as they are now."""
        members = self.members(*self.nodes)
        for node in self.nodes.values():
            peers = {n for n in self.nodes if n != node.name and frozenset((node.name, n)) not in self.cut}
            view = View(
                instances=self.rows.values(),
                members=members,
                routes=self.terms.values(),
                traffic=self.traffic.values(),
                connected=peers,
            )
            if node.registry.rebuild(view):
                node.invoker.endpoints_changed()

    def disconnect(self, a, b):
        """The connection breaks: what was under way is lost, both sides are told."""
        self.cut.add(frozenset((a.name, b.name)))
        self._lanes.pop((a.name, b.name), None)
        self._lanes.pop((b.name, a.name), None)
        a.invoker.peer_lost(b.name)
        b.invoker.peer_lost(a.name)
        self.publish()

    def post(self, source, to, spec, packed):
        lane = self._lanes.get((source, to))
        if lane is None:
            lane, receive = trio.open_memory_channel(1_000)
            self._lanes[source, to] = lane
            self.nursery.start_soon(self._carry, source, to, lane, receive)
        try:
            lane.send_nowait((trio.current_time() + self.delay_s, spec, packed))
        except trio.WouldBlock:  # a full mailbox
            return False
        return True

    async def _carry(self, source, to, lane, receive):
        async for due, spec, packed in receive:
            await trio.sleep_until(due)
            if self._lanes.get((source, to)) is lane:
                fields, request_id = msgpack.unpackb(packed)
                self.delivered[spec.cls] += 1
                self.nodes[to].invoker.deliver(source, spec.decode(fields), request_id)


@pytest.fixture
def lone_node():
    """A node that the network does not know: the test runs its Invoker itself."""
    return FakeNode


@contextlib.asynccontextmanager
async def open_network(*names, **options):
    async with trio.open_nursery() as nursery:
        network = FakeNetwork(nursery)
        nodes = [await network.add(name, **options) for name in names]
        yield network, *nodes
        if any(len(node.invoker._streams._server) for node in nodes):
            await trio.sleep(0.1)  # the last stop is under way
        for node in nodes:
            assert not node.invoker._pending, "a call was left in the pending table"
            assert not len(node.invoker._streams), "a stream was left in the table of its reader"
            assert not len(node.invoker._streams._server), "a stream was left in the table of its server"
        nursery.cancel_scope.cancel()


@pytest.fixture
def network_of():
    """`async with network_of("a", "b") as (network, a, b)`: running Invokers, connected to each other."""

    return open_network


@pytest.fixture(scope="session")
def opened_network():
    """The same, for tests that start a loop of their own for each example."""
    return open_network
