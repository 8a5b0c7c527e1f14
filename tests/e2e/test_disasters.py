"""The majority is lost, one survivor becomes a new cluster, and then the old majority comes back."""

import contextlib
import json
import signal
import subprocess
import sys

import pytest
import trio

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]
READY_S = 30.0


async def aether(*arguments, code=0):
    """Run the command in a process of its own; its standard output."""
    line = [sys.executable, "-m", "aether", *arguments]
    done = await trio.run_process(line, capture_stdout=True, capture_stderr=True, check=False)
    printed = done.stdout.decode() + done.stderr.decode()
    assert done.returncode == code, printed
    assert "Traceback" not in printed
    return done.stdout.decode()


@contextlib.asynccontextmanager
async def node_alone(directory, ports):
    """`aether node` on `directory` with the ports that it had, and no peers."""
    line = [sys.executable, "-m", "aether", "node", "--node-id", "node-3", "--data-dir", str(directory)]
    line += ["--port", str(ports.cluster), "--management-port", str(ports.management), "--http-port", "0"]
    process = await trio.lowlevel.open_process(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        await process.wait()


async def rows(address, prefix):
    printed = await aether("kv", "list", prefix, "-o", "jsonl", "-c", address)
    return {row["key"]: row["value"] for row in map(json.loads, printed.splitlines())}


async def test_a_survivor_becomes_a_cluster_and_the_old_majority_stays_outside(open_cluster, tmp_path):
    """What was acknowledged is there; nothing of what the two clusters do afterwards reaches the other."""
    async with open_cluster() as running:
        await running.ready()
        at = {node: running.connect(node) for node in running.processes.ports}
        ports, directory = running.processes.ports["node-3"], running.processes.directory("node-3")
        for number in range(5):
            await aether("kv", "put", f"maps/m/{number}", str(number), "-c", at[f"node-{number % 3 + 1}"])
        before = await rows(at["node-3"], "maps/")
        assert len(before) == 5
        await aether("recover", str(directory), "--yes-i-lost-the-quorum", code=4)
        for node in running.processes.ports:
            await running.processes.kill(node)
        await aether("recover", str(directory), code=4)
        cluster = json.loads(await aether("recover", str(directory), "--yes-i-lost-the-quorum", "-o", "json"))
        await aether("wal", "verify", str(directory))

        async with node_alone(directory, ports):
            await running.console.wait_ready("node-3", READY_S)
            assert await rows(at["node-3"], "maps/") == before
            await running.processes.start("node-1")
            await running.processes.start("node-2")
            await running.ready("node-1", "node-2")
            await aether("kv", "put", "maps/m/old", "1", "-c", at["node-1"])
            await aether("kv", "put", "maps/m/new", "1", "-c", at["node-3"])
            old, new = await rows(at["node-2"], ""), await rows(at["node-3"], "")
            assert new["cluster"]["uuid"] == cluster["uuid"] != old["cluster"]["uuid"]
            assert "maps/m/new" not in old
            assert "maps/m/old" not in new
            assert [key for key in new if key.startswith("members/")] == ["members/node-3"]
            said = "\n".join([*running.lines["node-1"], *running.lines["node-2"]])
            assert "refuses us" in said
