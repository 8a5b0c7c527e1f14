import trio
from hello import Greeter


async def test_a_greeting_crosses_the_cluster(aether_cluster):
    cluster = await aether_cluster(Greeter, nodes=3)

    assert await cluster.get(Greeter).hello("ann") == "Hello, ann!"


def test_a_slice_is_an_ordinary_class():
    assert trio.run(Greeter().hello, "bo") == "Hello, bo!"
