"""Three real processes under TLS, set up and looked at by the command line alone, as the runbook says."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys

import pytest
import trio

from aether.forge.ports import free_ports

pytestmark = [pytest.mark.process, pytest.mark.timeout(240)]

AETHER = (sys.executable, "-m", "aether")
PATIENCE_S = 60.0


class Desk:
    """An operator in an empty directory."""

    def __init__(self, home):
        self.home = home
        self.ports: dict[str, dict[str, int]] = {}
        self.processes: dict[str, trio.Process] = {}
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("AETHER_")} | {
            "XDG_STATE_HOME": str(home / "state")
        }

    async def run(self, *words, check=True):
        """What a command prints. Without the state directory: as from another machine."""
        environment = self.environment | {"XDG_STATE_HOME": str(self.home / "elsewhere")}
        done = await trio.run_process(
            [*AETHER, *words], capture_stdout=True, capture_stderr=True, check=False, cwd=self.home, env=environment
        )
        text = done.stdout.decode() + done.stderr.decode()
        assert not check or done.returncode == 0, f"{words}: {text}"
        return done.stdout.decode() if check else (done.returncode, text)

    async def start(self, node, *options):
        cluster, http, management = free_ports(3)
        self.ports[node] = {"cluster": cluster, "http": http, "management": management}
        log = (self.home / f"{node}.log").open("ab")
        words = ["node", "--node-id", node, "--cluster", "shop", "--tls", f"tls/{node}", "--port", str(cluster)]
        words += ["--http-port", str(http), "--management-port", str(management), *options]
        self.processes[node] = await trio.lowlevel.open_process(
            [*AETHER, *words], stdout=log, stderr=subprocess.STDOUT, cwd=self.home, env=self.environment
        )
        log.close()

    def at(self, node):
        return ("-c", f"127.0.0.1:{self.ports[node]['management']}", "--tls", "ann")

    async def members(self, node):
        answer = json.loads(await self.run("members", "list", *self.at(node), "-o", "json"))
        return {each["id"]: each for each in answer["members"]}

    async def until(self, condition, what):
        with trio.move_on_after(PATIENCE_S):
            while True:
                with contextlib.suppress(AssertionError, KeyError):
                    if await condition():
                        return
                await trio.sleep(0.2)
        logs = "\n".join(path.read_text()[-3000:] for path in self.home.glob("*.log"))
        raise AssertionError(f"not in time: {what}\n{logs}")


@pytest.fixture
async def desk(tmp_path):
    desk = Desk(tmp_path)
    yield desk
    with trio.CancelScope(shield=True):
        for process in desk.processes.values():
            if process.poll() is None:
                process.terminate()
            with trio.move_on_after(15):
                await process.wait()
            if process.poll() is None:
                process.kill()
                await process.wait()


async def test_three_nodes_join_by_tokens_serve_and_lose_one_that_is_revoked(desk):
    await desk.run("ca", "init", "--cluster", "shop")
    await desk.run("ca", "issue", "n1", "--out", "tls/n1")
    await desk.run("ca", "issue", "ann", "--role", "admin", "--out", "ann")
    await desk.start("n1", "--ca-key", "aether-ca/ca.key")
    join = f"127.0.0.1:{desk.ports['n1']['cluster']}"
    for node in ("n2", "n3"):
        await desk.run("ca", "token", node, "--out", f"{node}.token")
        await desk.start(node, "--join", join, "--join-token", f"{node}.token")

    async def all_voters():
        members = await desk.members("n3")
        return [each["kind"] for each in members.values()] == ["VOTER"] * 3

    await desk.until(all_voters, "three voters, as n3 tells")
    status = json.loads(await desk.run("status", *desk.at("n2"), "-o", "json"))
    assert status["quorum"] is True
    code, text = await desk.run("status", "-c", desk.at("n1")[1], check=False)
    assert code == 3, text
    assert "TLS" in text

    await desk.run("ca", "revoke", "tls/n3/node.pem", "--reason", "lost", *desk.at("n1"))

    async def third_is_cut_off():
        members = await desk.members("n1")
        return not members["n3"]["reachable"] and members["n2"]["reachable"]

    await desk.until(third_is_cut_off, "n3 is cut off")
    status = json.loads(await desk.run("status", *desk.at("n1"), "-o", "json"))
    assert status["quorum"] is True
    assert "is revoked" in (desk.home / "n1.log").read_text()
    logs = "".join(path.read_text() for path in desk.home.glob("*.log"))
    assert "PRIVATE KEY" not in logs
    assert "aether-join-1." not in logs
