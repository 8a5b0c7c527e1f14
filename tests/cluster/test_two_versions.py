"""Two versions of a slice side by side on three nodes, over real HTTP: shares, rules, routes, health."""

import contextlib
from collections import Counter
from collections.abc import AsyncIterator

import attrs
import httpx
import trio
import trio.testing
import wsproto
import wsproto.events as ws

import aether
from aether.kv import keys
from aether.kv.commands import Batch, Put
from aether.model.artifact import Artifact
from aether.model.health import share_of
from aether.model.lifecycle import SliceState
from aether.model.rows import TrafficRow

OLD, NEW = Artifact.parse("test.two:shop:1.0.0"), Artifact.parse("test.two:shop:2.0.0")
BASE = OLD.base


@aether.slice(artifact=str(OLD), instances=1)
class Shop:
    @aether.get("/version/{who}")
    async def version(self, who: str) -> str:
        return "1"

    @aether.get("/old")
    async def old(self) -> str:
        return "1"

    @aether.get("/ticks")
    async def ticks(self) -> AsyncIterator[int]:
        yield 1

    @aether.websocket("/echo")
    async def echo(self, messages: AsyncIterator[str]) -> AsyncIterator[str]:
        async for _ in messages:
            yield "1"

    async def plain(self) -> str:
        return "1"


@aether.slice(artifact=str(NEW), instances=1)
class NextShop:
    @aether.get("/version/{who}")
    async def version(self, who: str) -> str:
        if who == "fail":
            raise ValueError(who)
        return "2"

    @aether.get("/new")
    async def new(self) -> str:
        return "2"

    @aether.get("/ticks")
    async def ticks(self) -> AsyncIterator[int]:
        yield 2

    @aether.websocket("/echo")
    async def echo(self, messages: AsyncIterator[str]) -> AsyncIterator[str]:
        async for _ in messages:
            yield "2"

    async def plain(self) -> str:
        return "2"


@aether.slice(artifact="test.two:front:1.0.0", instances=1)
class Front:
    shop: Shop

    @aether.get("/front")
    async def front(self) -> str:
        return await self.shop.plain()


class TwoVersions:
    """A cluster of three in which both versions have an instance."""

    def __init__(self, cluster):
        self.nodes = cluster.nodes
        self.kv = cluster.nodes[0].kv

    async def share(self, old, new, **more):
        row = TrafficRow(artifact=BASE, weights={"1.0.0": old, "2.0.0": new}, **more)
        result = await self.kv.propose(Batch(changes=(Put(keys.traffic(BASE), row),)))
        for node in self.nodes:
            await node.kv.wait_applied(result.revision)
        await trio.testing.wait_all_tasks_blocked(0.02)  # watchers have looked

    async def beside(self, instances=1):
        row = self.kv.get(keys.desired(BASE))
        row = attrs.evolve(row, beside=NEW.version, beside_instances=instances)
        await self.kv.propose(Batch(changes=(Put(keys.desired(BASE), row),)))

    def active(self, artifact):
        rows = self.kv.rows(keys.instances_of(BASE))
        return [r for r in rows if r.artifact == artifact and r.state is SliceState.ACTIVE]


@contextlib.asynccontextmanager
async def opened(*more):
    async with aether.Cluster.local(Shop, *more, nodes=3, http=True) as cluster:
        for node in cluster.nodes:
            inner = node._node
            inner.store.register(NextShop)
            member = inner.kv.get(keys.member(inner.config.node))
            member = attrs.evolve(member, available=inner.store.available())
            await inner.kv.propose(Batch(changes=(Put(keys.member(inner.config.node), member),)))
        two = TwoVersions(cluster)
        await two.share(1, 0)
        await two.beside()
        with trio.fail_after(20):
            while not two.active(NEW):
                await trio.sleep(0.05)
        await two.share(1, 0)
        yield two


async def get(node, path, **headers):
    async with httpx.AsyncClient(trust_env=False, base_url=node.http_url, timeout=20) as client:
        return await client.get(path, headers=headers)


async def versions(node, paths, **headers):
    async with httpx.AsyncClient(trust_env=False, base_url=node.http_url, timeout=20) as client:
        answers = [await client.get(path, headers=headers) for path in paths]
    assert {answer.status_code for answer in answers} == {200}, [answer.text for answer in answers][:3]
    return Counter(answer.text.strip().strip('"') for answer in answers)


@contextlib.asynccontextmanager
async def socket(node, path):
    host, _, port = node.addresses.http_address.rpartition(":")
    async with await trio.open_tcp_stream(host, int(port)) as stream:
        wire = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)

        async def next_event():
            while True:
                for event in wire.events():
                    if not isinstance(event, ws.Ping):
                        return event
                    await stream.send_all(wire.send(event.response()))
                wire.receive_data(await stream.receive_some(65_536) or None)

        await stream.send_all(wire.send(ws.Request(host=host, target=path)))
        assert isinstance(await next_event(), ws.AcceptConnection)

        async def say(text):
            await stream.send_all(wire.send(ws.TextMessage(data=f'"{text}"')))
            return (await next_event()).data.strip('"')

        yield say


async def test_shares_are_exact_on_every_node_and_hold_for_calls_begun_afterwards():
    async with opened() as two:
        paths = [f"/version/{n}" for n in range(100)]
        for node in two.nodes:
            assert await versions(node, paths) == {"1": 100}
        await two.share(99, 1)
        for node in two.nodes:
            assert await versions(node, paths) == {"1": 99, "2": 1}
        await two.share(1, 3)
        for node in two.nodes:
            assert await versions(node, paths) == {"1": 25, "2": 75}
        await two.share(0, 1)
        for node in two.nodes:
            assert await versions(node, paths) == {"2": 100}


async def test_a_key_keeps_its_version_at_every_node_and_a_rule_decides_before_it():
    async with opened() as two:
        await two.share(1, 1, sticky="who", rules={"key=ann": "2.0.0", "header:X-Beta=yes": "2.0.0"})
        people = [f"/version/person-{n}" for n in range(40)]
        seen = []
        for node in two.nodes:
            async with httpx.AsyncClient(trust_env=False, base_url=node.http_url, timeout=20) as client:
                seen.append([(await client.get(path)).text for path in people])
            assert await versions(node, ["/version/ann"] * 5) == {"2": 5}
            assert await versions(node, people, **{"x-beta": "yes"}) == {"2": 40}
        assert seen[0] == seen[1] == seen[2]
        assert 5 < sum("2" in answer for answer in seen[0]) < 35


async def test_a_call_inside_a_request_that_fits_goes_where_the_request_would():
    async with opened(Front) as two:
        await two.share(1, 0, rules={"header:x-beta=yes": "2.0.0", "cookie:group=b": "2.0.0"})
        for node in two.nodes:
            assert (await get(node, "/front", **{"X-Beta": "yes"})).json() == "2"
            assert (await get(node, "/front", Cookie="group=b")).json() == "2"
            assert (await get(node, "/front", **{"X-Beta": "no"})).json() == "1"
            assert (await get(node, "/front")).json() == "1"


async def test_streams_and_sockets_are_shared_like_calls():
    async with opened() as two:
        await two.share(1, 1)
        node = two.nodes[2]
        streamed = Counter([(await get(node, "/ticks")).text.strip() for _ in range(20)])
        assert sorted(streamed.values()) == [10, 10]
        said = Counter()
        for _ in range(10):
            async with socket(node, "/echo") as say:
                said[await say("?")] += 1
        assert said == {"1": 5, "2": 5}
        async with socket(node, "/echo") as say:
            first = await say("?")
            await two.share(*((1, 0) if first == "2" else (0, 1)))
            assert await say("?") == first, "what is open stays where it is"


async def test_a_route_of_one_version_is_there_while_that_version_gets_calls():
    async with opened() as two:

        async def statuses(path):
            return {(await get(node, path)).status_code for node in two.nodes for _ in range(4)}

        async def documented(node):
            return (await get(node, "/openapi.json")).json()["paths"].keys()

        assert await statuses("/new") == {404}
        assert await statuses("/old") == {200}
        await two.share(1, 1)
        assert await statuses("/new") == {200}
        assert await statuses("/old") == {200}
        for node in two.nodes:
            assert {"/old", "/new", "/ticks"} <= await documented(node)
        await two.share(0, 1)
        assert await statuses("/new") == {200}
        assert await statuses("/old") == {404}
        for node in two.nodes:
            assert "/old" not in await documented(node)


async def test_a_version_that_loses_its_instances_passes_its_share_on_and_gets_it_back():
    async with opened() as two:
        await two.share(1, 1)
        paths = [f"/version/{n}" for n in range(10)]
        node = two.nodes[1]
        assert await versions(node, paths) == {"1": 5, "2": 5}
        await two.beside(0)
        seen = Counter()
        with trio.fail_after(20):
            while two.active(NEW):
                seen += await versions(node, paths)
        assert await versions(node, paths) == {"1": 10}
        await two.beside(1)
        with trio.fail_after(20):
            while len(seen := await versions(node, paths)) < 2:
                await trio.sleep(0.05)
        assert seen.total() == 10


async def test_every_node_hears_how_all_calls_went():
    async with opened() as two:
        await two.share(1, 1)
        for node in two.nodes:
            await versions(node, [f"/version/{n}" for n in range(10)])
        health = two.nodes[0]._node.managers.health
        before = await health.health(BASE)
        share = share_of("u", {"1.0.0": 1, "2.0.0": 1})
        for node in two.nodes:  # as when the row of an update says so: the leader clears one of which it knows none
            node._node.invoker.healths.shares_changed({BASE: share})
        for node in two.nodes:
            for _ in range(4):
                assert (await get(node, "/version/fail")).status_code in (200, 500)
        after = await health.health(BASE, share)
        both = after.of(OLD.version, NEW.version)

        assert before.unheard == ()
        assert sum(v.requests for v in before.versions.values()) == 30
        assert all(v.errors == 0 and v.p99_ms > 0 for v in before.versions.values())
        assert (both.old.requests, both.old.errors) == (6, 0)
        assert (both.new.requests, both.new.errors) == (6, 6)
