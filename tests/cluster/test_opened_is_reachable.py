"""What `Cluster.open` returns for is reachable at once, whichever task of the node woke first."""

import trio

import aether
from aether.invocation.endpoints_service import EndpointWatcher


@aether.slice(artifact="tests.opened:greeter:1.0.0", instances=3)
class Greeter:
    async def greet(self) -> str:
        return "hello"


def test_a_broadcast_right_after_opening_finds_every_instance(monkeypatch):
    """The rows said ACTIVE while calls still went by older ones: nobody was found, or affinity moved after a call."""

    async def late(self, *, task_status=trio.TASK_STATUS_IGNORED):
        self.refresh()
        task_status.started()
        await trio.sleep_forever()

    monkeypatch.setattr(EndpointWatcher, "run", late)

    async def body():
        async with aether.Cluster.open(Greeter) as cluster:
            return len((await aether.each(cluster.get(Greeter).greet)()).results)

    assert trio.run(body) == 3
