"""The story of updates as its how-to tells it: three processes, the command line alone, users who notice nothing."""

import contextlib
import itertools
import json
import sys

import pytest
import trio

from aether.forge.polling import until
from aether.forge.steady_load import SteadyLoad, http_request
from aether.testing.trees import shop_tree

pytestmark = [pytest.mark.alone, pytest.mark.process, pytest.mark.timeout(240)]

RATE = 40.0
SOON_S = 60.0
BLUEPRINT = """id = "shop"

[[slices]]
artifact = "e2e:shop:1.0.0"
instances = 3
min_available = 2

[deployment]
mode = "atomic"
timeout = 60
"""


class Operator:
    """Whoever types commands, at whichever node."""

    def __init__(self, running):
        self.nodes = itertools.cycle([running.connect(node) for node in running.processes.ports])

    async def types(self, *arguments, code=0):
        """All that it printed."""
        command = [sys.executable, "-m", "aether", *arguments, "-c", next(self.nodes)]
        done = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
        said = done.stdout.decode() + done.stderr.decode()
        assert done.returncode == code, said
        return said

    async def sees(self, text, *arguments):
        async def said():
            return text in (printed := await self.types(*arguments)) and printed

        return await until(said, SOON_S, f"{text!r} is printed by {arguments}", every_s=1.0)

    async def update(self):
        """The update that is under way, or was the last."""
        return json.loads(await self.types("rollout", "status", "-o", "json"))


@contextlib.asynccontextmanager
async def users(running):
    """Requests at a steady rate, to each node in turn, until the block ends."""
    addresses = [running.http(node).removeprefix("http://") for node in running.processes.ports]
    requests = [http_request("price", to, "GET /shop/price/apple?pieces=1") for to in addresses]
    load = SteadyLoad(lambda number: requests[number % len(requests)], RATE)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, load.run, 200.0)
        try:
            yield load.seen
        finally:
            load.stop()


async def versions(running):
    """What each node answers now."""
    answers = [await running.client.get(f"{running.http(node)}/shop/version") for node in running.processes.ports]
    return {answer.json() for answer in answers}


async def test_a_slice_is_updated_and_taken_back_by_every_way_and_no_request_fails(open_cluster, tmp_path):
    slices, file = tmp_path / "slices", tmp_path / "blueprint.toml"
    slices.mkdir()
    file.write_text(BLUEPRINT)
    shop_tree(slices, "1.0.0")
    async with open_cluster(apps=(), arguments=("--slices", str(slices))) as running:
        await running.ready()
        operator = Operator(running)
        await operator.sees("e2e:shop:1.0.0  node-1, node-2, node-3", "slices", "store")
        await operator.types("blueprint", "apply", str(file), "--wait", "30")

        async with users(running) as seen:
            refused = await operator.types("rollout", "start", "e2e:shop", "1.1.0", code=1)
            assert "can load: 1.0.0; copy its tree into the --slices of nodes" in refused
            shop_tree(slices, "1.1.0")
            await operator.sees("e2e:shop:1.1.0  node-1, node-2, node-3", "slices", "store")
            assert await versions(running) == {"1.0.0"}  # available is not in force

            await rolling(operator)
            assert await versions(running) == {"1.1.0"}
            await canary(operator)
            assert await versions(running) == {"1.1.0"}
            await blue_green_and_back(operator, running)
            assert await versions(running) == {"1.1.0"}

        assert seen.requests > 100
        assert seen.failures == []


async def rolling(operator):
    said = await operator.types("rollout", "start", "e2e:shop", "1.1.0", "--wait")
    assert "1.0.0 -> 1.1.0" in said
    assert "COMPLETED" in said


async def canary(operator):
    """Back to the older code, which breaks clients of a route; step by step as a person approves, then taken back."""
    start = (
        "rollout",
        "start",
        "e2e:shop",
        "1.0.0",
        "--strategy",
        "canary",
        "--steps",
        "20,60",
        "--gates",
        "manual_only",
    )
    assert "/shop/stock/{sku}" in await operator.types(*start, code=4)
    said = await operator.types(*start, "--force", "--wait")
    assert ("DEPLOYED" in said, "approve" in said) == (True, True)
    assert "0:0 gives nobody any traffic" in await operator.types("rollout", "routing", "-r", "0:0", code=1)
    said = await operator.types("rollout", "approve", "--wait")
    assert ("VALIDATING" in said, "20:80" in said) == (True, True)
    for _ in range(2):  # said twice, done once
        said = await operator.types("rollout", "rollback", "--wait")
        assert "ROLLED_BACK" in said


async def blue_green_and_back(operator, running):
    start = ("rollout", "start", "e2e:shop", "1.0.0", "--strategy", "blue-green", "--cleanup", "manual", "--force")
    assert "complete, or rollback" in await operator.types(*start, "--wait")
    update = await operator.update()
    assert (update["state"], update["oldActive"], update["newActive"]) == ("COMPLETING", 3, 3)
    assert await versions(running) == {"1.0.0"}
    assert "ROLLED_BACK" in await operator.types("rollout", "rollback", "--wait")
