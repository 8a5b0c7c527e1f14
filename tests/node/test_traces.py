"""Where the time of one request went, over all nodes."""

import trio

import aether


@aether.slice(artifact="tests.traces:inner:1.0.0", instances=1)
class Inner:
    async def work(self, n: int) -> int:
        await trio.sleep(0.25)
        return n


@aether.slice(artifact="tests.traces:outer:1.0.0", instances=1)
class Outer:
    inner: Inner

    async def ask(self) -> str:
        await trio.sleep(0.5)
        await self.inner.work(1)
        await self.inner.work(2)
        return aether.current_call().request_id


async def test_a_request_is_told_by_every_node_as_one_tree(aether_cluster):
    """Asked of any node, also of one that had no part in it."""
    cluster = await aether_cluster(Outer, Inner, nodes=3)
    request_id = await cluster.get(Outer).ask()

    seen = []
    for member in cluster.nodes:
        found = await member._node.operations.traces.of(request_id)
        seen.append([(line.name, line.depth, round(line.spent_s, 2)) for line in found.lines])
        assert found.unheard == ()
        assert {line.trace_id for line in found.lines} == {found.lines[0].trace_id}

    assert seen[0] == seen[1] == seen[2]
    works = [(name, spent_s) for name, _, spent_s in seen[0] if name == "Inner.work"]
    assert (works.count(("Inner.work", 0.25)), seen[0][0][0], seen[0][0][2]) == (len(works), "Outer.ask", 1.0)
    assert len(works) >= 2


async def test_a_node_that_is_gone_is_named(aether_cluster):
    cluster = await aether_cluster(Outer, Inner, nodes=3)
    request_id = await cluster.get(Outer).ask()
    last = cluster.nodes[2].node
    await cluster.kill(last)

    found = await cluster.nodes[0]._node.operations.traces.of(request_id)

    assert last in found.unheard
