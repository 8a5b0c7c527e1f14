"""Rows that this version cannot read: of a slip, a fault or a later release. They end nobody and hold up nothing."""

import msgpack
import trio
import trio.testing
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import aether
from aether.kv import keys
from aether.kv.codec import Codec
from aether.kv.commands import Batch, Delete, Put
from aether.model.artifact import Artifact
from aether.testing.clusters import memory_cluster

PATIENCE_S = 120.0
SOME = Artifact.parse("shop:some:1.0.0")
RAW = Codec(lambda raw: raw, bytes)
MALFORMED, LATER, TEXT = b"\xc1", msgpack.packb({"of_a_later_release": 1}), msgpack.packb("text")


@aether.slice(artifact="shop:prices:1.0.0", instances=2)
class Prices:
    async def price(self) -> int:
        return 3


@aether.slice(artifact="shop:stock:1.0.0", instances=1)
class Stock:
    async def count(self) -> int:
        return 7


KINDS = {
    key.head: key
    for key in (
        keys.cluster, keys.leadership, keys.feature_level, keys.handover, keys.alert_sinks, keys.alerts_told,
        keys.member("node-9"), keys.removed("node-9"), keys.role("node-9"), keys.duty("node-9"),
        keys.desired(SOME.base), keys.override(SOME.base), keys.rollout(SOME.base, "u1"),
        keys.instance(SOME.base, "i1"), keys.singleton(SOME.base), keys.routes(SOME.base), keys.traffic(SOME.base),
        keys.contract(SOME), keys.blueprint("app", 9), keys.blueprint_current("other"), keys.atomic_apply("app"),
        keys.unsatisfied(SOME.base), keys.call_key(SOME.base, "m", "d"), keys.setting("slow-calls"),
        keys.decision(SOME.base, 1), keys.threshold("cpu.usage"), keys.alert("cpu.usage", "node-1"),
        keys.token("t1"), keys.audit("a1"), keys.denials(1), keys.revoked("ab"), keys.spent_token("s1"),
    )
}  # fmt: skip
"""One key of each kind. Of `maps` the store itself refuses what it cannot read."""


def test_every_kind_of_row_is_among_them():
    assert {kind.head for kind in keys._TABLE} - {"maps"} == set(KINDS)


async def until(condition):
    with trio.fail_after(PATIENCE_S):
        while not condition():
            await trio.sleep(0.1)


async def spoil(cluster, found):
    """Write raw values, whatever their keys want, as `aether kv put --force` of another release would."""
    puts = tuple(Put(key._replace(codec=RAW), raw) for key, raw in found)
    await cluster.nodes[0].kv.propose(Batch((), puts))


async def answers(cluster, contract, method):
    with trio.fail_after(PATIENCE_S):
        return [await getattr(node.get(contract), method)() for node in cluster.nodes]


def rows_of(cluster, head):
    """Keys of that kind that stand in the store."""
    return [keys.parse(text) for text, _, _ in cluster.nodes[0].kv.scan(f"{head}/")]


def run(test):
    trio.run(test, clock=trio.testing.MockClock(autojump_threshold=0))


RAWS = st.one_of(st.sampled_from([MALFORMED, LATER, TEXT]), st.binary(max_size=40))


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@example(dict.fromkeys(KINDS, LATER))
@example(dict.fromkeys(KINDS, MALFORMED))
@given(st.dictionaries(st.sampled_from(sorted(KINDS)), RAWS, min_size=1, max_size=8))
def test_no_row_ends_a_node_and_once_it_is_mended_nothing_is_left(spoilt):
    """Calls, writes and figures go on meanwhile; a leader goes; then all is as before."""

    async def test():
        async with memory_cluster(Prices, Stock, nodes=3, seed=1) as cluster:
            assert await answers(cluster, Prices, "price") == [3, 3, 3]
            before = {text: raw for text, raw, _ in cluster.nodes[0].kv.scan("")}
            await spoil(cluster, [(KINDS[head], raw) for head, raw in spoilt.items()])
            await trio.sleep(15)
            assert await answers(cluster, Prices, "price") == [3, 3, 3]
            for node in cluster.nodes:
                ages = node._node.operations.figures.view.age_s
                assert max(ages(other.node) for other in cluster.nodes) < 4

            leader = (await cluster.wait_leader()).node
            await cluster.kill(leader)
            await trio.sleep(10)
            assert await answers(cluster, Prices, "price") == [3, 3]
            await cluster.restart(leader)
            keep = {"leadership"}  # the leader wrote it anew
            mended = [
                Put(key._replace(codec=RAW), before[key.text]) if key.text in before else Delete(key)
                for key in (KINDS[head] for head in spoilt if head not in keep)
            ]
            await cluster.nodes[0].kv.propose(Batch((), tuple(mended)))
            await until(lambda: all(not set(node.kv.unreadable) for node in cluster.nodes))
            await cluster.nodes[0].scale(Stock, 2)
            await until(lambda: len(rows_of(cluster, "instances")) == 4)
            assert await answers(cluster, Stock, "count") == [7, 7, 7]

    run(test)


def test_a_desired_row_that_cannot_be_read_stops_nothing_that_runs(caplog):
    """Nobody knows whether that slice is wanted, so it stays; the others are deployed, scaled and healed."""

    async def test():
        async with memory_cluster(Prices, Stock, nodes=3, seed=2) as cluster:
            await until(lambda: len(rows_of(cluster, "instances")) == 3)
            await spoil(cluster, [(keys.desired(Artifact.parse("shop:prices:1.0.0").base), LATER)])
            await cluster.nodes[0].scale(Stock, 3)
            await until(lambda: len(rows_of(cluster, "instances")) == 5)
            await trio.sleep(30)
            assert len(rows_of(cluster, "instances")) == 5
            assert await answers(cluster, Prices, "price") == [3, 3, 3]

    run(test)
    lines = [line for line in caplog.text.splitlines() if "row desired/shop:prices cannot be read" in line]
    assert len(lines) == 3, "each node says it once"


def test_an_instance_row_that_cannot_be_read_costs_that_instance_alone():
    async def test():
        async with memory_cluster(Prices, Stock, nodes=3, seed=3) as cluster:
            await until(lambda: len(rows_of(cluster, "instances")) == 3)
            row = next(key for key in rows_of(cluster, "instances") if "prices" in key.text)
            await spoil(cluster, [(row, MALFORMED)])
            assert await answers(cluster, Prices, "price") == [3, 3, 3]
            await trio.sleep(10)
            assert await answers(cluster, Prices, "price") == [3, 3, 3]
            await cluster.nodes[0].scale(Stock, 2)
            await until(lambda: len(list(cluster.nodes[0].kv.rows(keys.INSTANCES))) == 4)

    run(test)


def test_a_member_row_that_cannot_be_read_keeps_its_node_in_touch():
    """It writes its row anew, or stays as known; calls through it go on."""

    async def test():
        async with memory_cluster(Prices, nodes=3, seed=4) as cluster:
            assert await answers(cluster, Prices, "price") == [3, 3, 3]
            await spoil(cluster, [(keys.member(node.node), LATER) for node in cluster.nodes[:2]])
            for _ in range(10):
                await trio.sleep(2)
                assert await answers(cluster, Prices, "price") == [3, 3, 3]

    run(test)
