"""Choice as calls see it: several nodes, virtual time."""

from collections import Counter

import pytest
import trio

from aether.invocation.ejection import EJECTION_S
from aether.invocation.reply import Abandoned, Done, Failed


@pytest.fixture
def cluster_of_three(network_of):
    return network_of("caller", "a", "b", "c")


async def asked(caller, calls):
    """How many of `calls` each instance answered, and what came of them."""
    counts = Counter()
    for _ in range(calls):
        reply = await caller.call()
        counts[reply.payload if isinstance(reply, Done) else "failed"] += 1
    return counts


async def test_a_broken_instance_costs_a_few_calls_and_none_until_its_trial(autojump_clock, cluster_of_three):
    async with cluster_of_three as (network, caller, a, b, c):
        broken = True

        def handler(name):
            async def handle(method, payload):
                if name == "a" and broken:
                    return Failed(kind="ValueError", message="no", instance=name)
                return name

            return handle

        for node in (a, b, c):
            network.host(node, handler(node.name))
        first = await asked(caller, 60)
        assert 5 <= first["failed"] <= 6
        assert (await asked(caller, 60))["failed"] == 0

        await trio.sleep(EJECTION_S)
        assert (await asked(caller, 60))["failed"] == 1  # its trial
        broken = False
        await trio.sleep(2 * EJECTION_S)
        later = await asked(caller, 60)
        assert later["failed"] == 0
        assert later["a"] > 5


async def test_an_instance_that_loses_its_calls_is_left_out_too(autojump_clock, cluster_of_three):
    async with cluster_of_three as (network, caller, a, b, c):
        network.idempotent("quote")

        def handler(name):
            async def handle(method, payload):
                return Abandoned("it crashed") if name == "a" else name

            return handle

        hosted = [network.host(node, handler(node.name)) for node in (a, b, c)]
        await asked(caller, 60)
        tried = len(hosted[0].served)
        await asked(caller, 60)

        assert tried <= 6
        assert len(hosted[0].served) == tried


async def test_an_instance_that_hangs_is_left_out_by_the_time_outs_of_its_callers(autojump_clock, cluster_of_three):
    """fail_after ends the call here; the instance never says anything."""
    async with cluster_of_three as (network, caller, a, b, c):

        def handler(name):
            async def handle(method, payload):
                await trio.sleep(1_000 if name == "a" else 0.001)
                return name

            return handle

        hosted = [network.host(node, handler(node.name)) for node in (a, b, c)]
        late = 0
        for _ in range(60):
            with trio.move_on_after(0.5) as scope:
                await caller.call()
            late += scope.cancelled_caught

        assert late <= 6
        assert len(hosted[0].served) == late
