"""Whether co-located calls go through the codec of the wire: by rule, and where the rule has another default."""

import pytest

import aether
from aether.invocation import attempts_service


@aether.slice(artifact="tests.calls:echo:1.0.0")
class Echo:
    async def echo(self, text: str) -> str:
        return text


@pytest.fixture
def packed(monkeypatch):
    """What went through msgpack inside one node."""
    seen, original = [], attempts_service.over_msgpack

    def spy(value):
        seen.append(value)
        return original(value)

    monkeypatch.setattr(attempts_service, "over_msgpack", spy)
    return seen


@pytest.mark.parametrize(("options", "by_wire"), [({}, False), ({"calls": "wire"}, True), ({"calls": "direct"}, False)])
async def test_an_opened_node_calls_its_own_slices_directly_unless_told(packed, options, by_wire):
    """Fast in production; the option shows in a test what another node would see."""
    async with aether.Cluster.open(Echo, **options) as cluster:
        assert await cluster.get(Echo).echo("a") == "a"
    assert ({"text": "a"} in packed) is by_wire


async def test_a_local_cluster_calls_by_wire(packed):
    """What cannot travel is found on the author's machine, not in the first real cluster."""
    async with aether.Cluster.local(Echo, nodes=1) as cluster:
        await cluster.get(Echo).echo("local")
    assert {"text": "local"} in packed


async def test_a_cluster_in_memory_calls_by_wire(packed, aether_cluster):
    """The same; apart from the other, whose sockets and threads cannot live in time that jumps."""
    cluster = await aether_cluster(Echo, nodes=1)
    await cluster.get(Echo).echo("memory")
    assert {"text": "memory"} in packed
