"""Three real processes: a slice sleeps and wakes under requests from outside, and an operator places by hand."""

import sys

import pytest
import trio

from aether.forge.polling import until

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

LIGHT = 'id = "echo"\n[[slices]]\nartifact = "e2e:echo:1.0.0"\ninstances = { min = 0, max = 3, idle = 1 }\n'
ROUNDS = 4
CALLS = 40


async def aether(*arguments, code=0):
    """Run the command in a process of its own; what it printed."""
    done = await trio.run_process(
        [sys.executable, "-m", "aether", *arguments], capture_stdout=True, capture_stderr=True, check=False
    )
    printed = done.stdout.decode() + done.stderr.decode()
    assert done.returncode == code, printed
    return printed


async def state(running, node):
    answer = await running.console.get(node, "/slices")
    return [each["state"] for each in answer["slices"]]


async def test_requests_to_every_node_wake_a_sleeping_slice_and_none_fails(open_cluster):
    async with open_cluster() as running:
        await running.ready()
        nodes = list(running.processes.ports)
        await running.console.post(nodes[0], "/blueprint?wait=30", text=LIGHT)
        statuses = []

        async def ask(node):
            answer = await running.client.get(f"{running.http(node)}/echo/x")
            statuses.append(answer.status_code)

        async def asleep():
            return await state(running, nodes[1]) == ["IDLE"]

        for _ in range(ROUNDS):
            await until(asleep, 30)
            health = await running.console.get(nodes[0], "/health")
            assert (health["status"], health["problems"]) == ("healthy", [])
            async with trio.open_nursery() as nursery:
                for number in range(CALLS):
                    nursery.start_soon(ask, nodes[number % 3])
        assert statuses == [200] * (ROUNDS * CALLS)


async def test_with_the_manual_manager_instances_live_only_where_the_command_line_ordered_them(open_cluster):
    async with open_cluster(arguments=("--cluster-manager", "manual")) as running:
        await running.ready()
        where = ("-c", running.connect("node-1"))

        await aether("place", "e2e:echo:1.0.0", "--on", "node-2", "--wait", "20", *where)
        [placed] = (await running.console.get("node-3", "/placements"))["placements"]
        assert placed["node"] == "node-2"
        assert (await running.client.get(f"{running.http('node-3')}/echo/x")).json() == "x"

        await aether("place", placed["order"], "--on", "node-3", "--move", "--wait", "20", *where)
        [moved] = (await running.console.get("node-1", "/placements"))["placements"]
        assert moved["node"] == "node-3"
        await aether("unplace", moved["order"], "--wait", "20", *where)
        assert (await running.console.get("node-1", "/placements"))["placements"] == []


async def test_a_cluster_that_places_by_itself_takes_no_orders(open_cluster):
    async with open_cluster(nodes=1) as running:
        await running.ready()
        where = ("-c", running.connect("node-1"))

        said = await aether("place", "e2e:echo:1.0.0", "--on", "node-1", *where, code=4)

        assert "'reconcile' places instances by itself; start every node with --cluster-manager manual" in said
