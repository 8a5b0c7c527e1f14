"""Streams between whole nodes: over real sockets, and when a node dies or drains."""

from collections.abc import AsyncIterator

import pytest
import trio

import aether
from aether.model.limits import FRAME_CHUNK_BYTES


@aether.slice(artifact="tests.streams:source:1.0.0")
class Source:
    async def numbers(self, count: int) -> AsyncIterator[int]:
        for number in range(count):
            yield number

    async def blocks(self, count: int) -> AsyncIterator[bytes]:
        """Long and short ones in turn: the short ones overtake the chunks of the long ones on the wire."""
        for number in range(count):
            yield number.to_bytes(4, "big") * (1 if number % 3 else FRAME_CHUNK_BYTES)

    async def clock(self) -> AsyncIterator[int]:
        number = 0
        while True:
            yield number
            number += 1
            await trio.sleep(0.01)

    async def total(self, blocks: AsyncIterator[bytes]) -> int:
        return sum([len(block) async for block in blocks])


async def up_to(count):
    for number in range(count):
        yield number.to_bytes(4, "big") * 1_000


async def test_items_cross_real_sockets_in_order_whatever_their_length():
    async with aether.Cluster.local(Source, nodes=2) as cluster:
        for node in cluster.nodes:  # one of them hosts the instance, the other reads over TCP
            source = node.get(Source)
            with trio.fail_after(30.0):
                async with aether.stream(source.numbers(20_000)) as numbers:
                    assert [number async for number in numbers] == list(range(20_000))
                async with aether.stream(source.blocks(60)) as blocks:
                    received = [block async for block in blocks]
                assert [int.from_bytes(block[:4], "big") for block in received] == list(range(60))
                assert [len(block) for block in received[:3]] == [4 * FRAME_CHUNK_BYTES, 4, 4]
                assert await source.total(up_to(2_000)) == 2_000 * 4_000


async def test_leaving_a_stream_over_real_sockets_frees_both_ends():
    async with aether.Cluster.local(Source, nodes=2) as cluster:
        for _ in range(20):
            for node in cluster.nodes:
                async with aether.stream(node.get(Source).clock()) as ticks:
                    await anext(ticks)
        with trio.fail_after(5.0):
            while any(len(node._node.invoker._streams._server) for node in cluster.nodes):
                await trio.sleep(0.01)


async def test_a_node_that_is_killed_breaks_its_streams(aether_cluster):
    cluster = await aether_cluster(Source, nodes=3)
    hosting = next(node for node in cluster.nodes if node._node.hosting._instances)
    reading = next(node for node in cluster.nodes if node is not hosting)
    async with aether.stream(reading.get(Source).clock()) as ticks, trio.open_nursery() as nursery:
        assert await anext(ticks) == 0
        nursery.start_soon(cluster.kill, hosting.node)
        with trio.fail_after(10.0), pytest.raises(aether.StreamBroken, match=r"Source\.clock broke after"):
            async for _ in ticks:
                pass
    async with aether.stream(reading.get(Source).numbers(3)) as numbers:  # another node has an instance by then
        assert [number async for number in numbers] == [0, 1, 2]
