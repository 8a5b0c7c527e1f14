"""Nodes are drained and shut down by an operator while requests come in, through the drained node itself too."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from aether.forge.polling import until

PAGE = (Path(__file__).parents[2] / "docs" / "howto" / "drain.md").read_text()

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]


class Load:
    """Requests one after another through each of some nodes, over connections that are kept."""

    def __init__(self, running):
        self.running = running
        self.stopped = False
        self.bad, self.closing, self.count = [], set(), 0
        self.answered = trio.Condition()

    async def goes_on(self, answers=20):
        """Return after so many further answers."""
        with trio.fail_after(30):
            async with self.answered:
                until = self.count + answers
                while self.count < until:
                    await self.answered.wait()

    async def through(self, node):
        while not self.stopped:
            answer = await self.running.client.get(f"{self.running.http(node)}/echo/hi")
            self.count += 1
            if answer.status_code != 200:
                self.bad.append((node, answer.status_code, answer.text))
            if answer.headers.get("connection") == "close":
                self.closing.add(node)
            async with self.answered:
                self.answered.notify_all()
            await trio.sleep(0.005)  # a client that pauses between requests, so that its connection is idle at times


async def test_a_drain_a_return_and_a_shutdown_from_afar_cost_no_request(open_cluster):
    async with open_cluster() as running:
        await running.ready()
        await running.deploy("e2e:echo:1.0.0", 3)
        load = Load(running)
        async with trio.open_nursery() as nursery:
            for node in ("node-1", "node-2", "node-2"):
                nursery.start_soon(load.through, node)
            await load.goes_on()
            drained = await running.console.post("node-1", "/nodes/node-2/drain?wait=60", body={})
            assert drained["pending"] == []
            ready = await running.client.get(f"http://{running.connect('node-2')}/health/ready")
            assert ready.status_code == 503
            assert "DECOMMISSIONED" in ready.json()["detail"]
            await load.goes_on()
            assert load.closing == {"node-2"}, "its clients are told to go elsewhere"

            await running.console.post("node-2", "/node/activate/node-2?wait=60", body={})
            await load.goes_on()
            gone = await running.console.post("node-1", "/nodes/node-3/shutdown?wait=60", body={})
            assert gone["pending"] == []
            assert (await running.ended("node-3"))[0] == 0
            await load.goes_on()
            load.stopped = True
        assert load.bad == []
        assert load.count >= 4 * 20

        await running.processes.start("node-3")
        await running.ready("node-3")

        async def on_duty():
            return (await running.console.get("node-1", "/node/lifecycle/node-3"))["state"] == "ON_DUTY"

        await until(on_duty, 30)


async def test_the_commands_of_the_page_do_what_it_says(open_cluster):
    async with open_cluster() as running:
        await running.ready()
        await running.deploy("e2e:echo:1.0.0", 3)
        lines = re.findall(r"^\$ aether (.*)$", PAGE, re.M)
        assert len(lines) == 4
        for line in lines:
            words = [*shlex.split(line), "-c", running.connect("node-1")]
            done = await trio.run_process(
                [sys.executable, "-m", "aether", *words], capture_stdout=True, stderr=subprocess.STDOUT, check=False
            )
            assert done.returncode == 0, (line, done.stdout.decode())
            if "drain" in words:
                assert (await running.console.get("node-1", "/node/lifecycle/node-2"))["state"] == "DECOMMISSIONED"
            if "activate" in words:
                assert (await running.console.get("node-1", "/node/lifecycle/node-2"))["state"] == "ON_DUTY"
        assert (await running.ended("node-3"))[0] == 0
        assert (await running.client.get(f"{running.http('node-2')}/echo/hi")).status_code == 200
