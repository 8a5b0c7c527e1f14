"""The nodes themselves get another release, one after another, and back: under load, without a failed request."""

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from tests.e2e.hard_world import LEDGER, SOON_S, ledger, load, long, until, writing

from aether.failpoints import LOG_VARIABLE

ROOT = Path(__file__).parents[2]
SNAPSHOT_ENTRIES = "50"
MISSED = 80
VALUE_BYTES = 50_000
BEFORE = "AETHER_E2E_BEFORE"  # which release is the one before: a tag or a commit

pytestmark = [pytest.mark.process, pytest.mark.timeout(400), long]


def git(*arguments):
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=False, timeout=60)
    return done.stdout.decode().strip() if done.returncode == 0 else ""


def before():
    """The last release, or the commit before this one; "" where there is no history."""
    return os.environ.get(BEFORE) or git("describe", "--tags", "--abbrev=0", "HEAD~1") or git("rev-parse", "HEAD~1")


@pytest.fixture(scope="module")
def releases(tmp_path_factory):
    """Environments in which `python -m aether` is the release before, and this one; each has its own wheel."""
    commit = before()
    if not commit:
        pytest.skip("no history here: a clone of depth 2 or more, or AETHER_E2E_BEFORE, names the release before")
    folder = tmp_path_factory.mktemp("releases")
    with (folder / "before.tar").open("wb") as archive:
        subprocess.run(["git", "archive", commit], cwd=ROOT, stdout=archive, check=True, timeout=60)
    with tarfile.open(folder / "before.tar") as archive:
        archive.extractall(folder / "sources", filter="data")
    return [installed(folder / "sources", folder / "before"), installed(ROOT, folder / "this")]


def installed(sources, target):
    wheels = target.with_suffix(".wheels")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheels)]
    subprocess.run(build, cwd=sources, check=True, capture_output=True, timeout=120)
    (wheel,) = wheels.glob("*.whl")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    subprocess.run(
        [*install, "--no-deps", "--target", str(target), str(wheel)], check=True, capture_output=True, timeout=120
    )
    return {"PYTHONPATH": str(target)}


class Roll:
    """A cluster whose nodes change their release, with the nodes that take requests of clients meanwhile."""

    def __init__(self, hard, releases, writers, open_nodes):
        self.hard = hard
        self.before, self.this = releases
        self.writers = writers
        self.open = open_nodes

    async def to(self, node, release):
        """As a load balancer and a service manager do it together."""
        self.open.remove(node)
        await self.hard.leave(node)
        await self._comes_back(node, release)

    async def after_a_long_absence(self, node, release, reached):
        """It misses more than the log of the leader keeps: it gets a snapshot of the other release."""
        self.open.remove(node)
        await self.hard.leave(node)
        for number in range(MISSED):  # more bytes of log than the state has: it is saved again and again
            body = {"key": "maps/bulk/x", "value": f"{number}" + "x" * VALUE_BYTES}
            await self.hard.console.post(self.open[0], "/kv/put", body=body)
        await self._comes_back(node, {**release, LOG_VARIABLE: str(reached)})
        assert "snapshot.before_arrived" in reached.read_text().split()

    async def _comes_back(self, node, release):
        await self.hard.restart(node, release)
        await self.hard.active(LEDGER, 3)
        self.open.append(node)

        async def serves():
            return release["PYTHONPATH"] in await self.libraries(node)

        await until(serves, SOON_S, f"an instance under {release['PYTHONPATH']} serves")

    async def libraries(self, asked):
        """Where the releases lie whose instances answer calls that come in at `asked`."""
        http, running = self.hard.running.http(asked), self.hard.running
        answers = [await running.client.get(f"{http}/library/{number}") for number in range(30)]
        return {str(Path(answer.json()).parents[1]) for answer in answers}

    async def both_serve(self):
        """Each node calls instances under both releases."""
        both = {self.before["PYTHONPATH"], self.this["PYTHONPATH"]}
        for node in self.hard.processes.running:

            async def called(node=node):
                return await self.libraries(node) == both

            await until(called, SOON_S, f"{node} calls both releases")


async def test_nodes_are_upgraded_one_by_one_and_no_request_fails(open_cluster, releases, tmp_path):
    """Either release leads the other, sends it snapshots, calls it, and reads its disk; one step is taken back."""
    environment = {**releases[0], "AETHER_SNAPSHOT_ENTRIES": SNAPSHOT_ENTRIES}
    async with ledger(open_cluster, environment=environment) as hard:
        nodes = list(hard.processes.ports)
        async with load(hard, nodes) as seen, writing(hard, nodes) as writers:
            roll = Roll(hard, releases, writers, nodes)
            assert await roll.libraries("node-1") == {roll.before["PYTHONPATH"]}
            await hard.hand_over("node-1")
            await roll.to("node-3", roll.this)
            await roll.to("node-3", roll.before)
            await roll.after_a_long_absence("node-3", roll.this, tmp_path / "reached-3")
            assert await hard.leader() == "node-1"
            await roll.both_serve()
            await hard.hand_over("node-3")
            await roll.after_a_long_absence("node-2", roll.before, tmp_path / "reached-2")
            assert await hard.leader() == "node-3"
            await roll.both_serve()
            await roll.to("node-1", roll.this)
            await roll.to("node-2", roll.this)
            await writers.go_on()
            assert await roll.libraries("node-1") == {roll.this["PYTHONPATH"]}
        assert seen.requests > 200
        assert seen.failures == []
        assert (writers.unknown, writers.refused) == (set(), set())
        await writers.audit()
        hard.assert_no_defect()
