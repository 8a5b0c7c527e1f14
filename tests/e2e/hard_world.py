"""What tests of hard times share: a cluster under load, a ledger of what was acknowledged, and what must hold after.

Knows: the slices of hard_app, the nodes' ports; which tests are long.
Never: what is done to the nodes.
Holds: what was acknowledged is looked for on every node; a request that failed is shown with its answer.
"""

import contextlib
import os

import httpx
import psutil
import pytest
import trio

from aether.forge.polling import until
from aether.forge.steady_load import SteadyLoad, http_request

LEDGER = "e2e:ledger:1.0.0"
BRAKE = "e2e:brake:1.0.0"
SOON_S = 60.0
RATE = 40.0
LOAD_S = 400.0
WRITE_PAUSE_S = 0.02

long = pytest.mark.skipif(
    os.environ.get("AETHER_E2E") != "all", reason="takes more than ten seconds: `nox -s e2e`, or AETHER_E2E=all"
)


class Hard:
    """A running cluster, and what hard times need of it."""

    def __init__(self, running):
        self.running = running
        self.processes = running.processes
        self.console = running.console

    async def leader(self, *by):
        """Whom a running node names that runs itself; `by` are the nodes to ask."""

        async def known():
            for node in by or self.processes.running:
                leader = await self.console.leader(node)
                if leader in (by or self.processes.running):
                    return leader
            return None

        return await until(known, SOON_S, "a leader that runs")

    async def others(self, *nodes):
        return [name for name in self.processes.running if name not in nodes]

    async def active(self, artifact, count, *by):
        for node in by or self.processes.running:
            await self.console.wait_active(node, {artifact: count}, SOON_S)

    async def restart(self, node, environment=None):
        """It was ended, and is ready again."""
        await self.processes.start(node, environment)
        await self.running.ready(node)

    async def leave(self, node):
        """SIGTERM: it gives away what it has, and ends by itself with 0."""
        self.processes.send_signal(node, 15)
        code, said = await self.running.ended(node)
        assert code == 0, said

    async def hand_over(self, to):
        """Until `to` leads, as all see it."""

        async def leads():
            if await self.console.leader(to) != to:
                with contextlib.suppress(httpx.HTTPError):
                    await self.console.post(to, "/members/transfer-leader", body={"node": to})
            return all([await self.console.leader(node) == to for node in self.processes.running])

        await until(leads, SOON_S, f"{to} leads", every_s=0.2)

    async def level(self):
        """All running nodes have applied what any of them has."""
        nodes = self.processes.running
        revision = max([(await self.console.get(node, "/status"))["revision"] for node in nodes])
        for node in nodes:

            async def caught_up(node=node):
                return (await self.console.get(node, "/status"))["revision"] >= revision

            await until(caught_up, SOON_S, f"{node} has applied {revision}")

    async def voters(self, by):
        members = (await self.console.get(by, "/members"))["members"]
        return {each["id"] for each in members if each["kind"] == "VOTER"}

    async def memory(self, node):
        """Bytes of RAM that its process has now."""
        return psutil.Process(self.processes.process_id(node)).memory_info().rss

    def said(self, text):
        """The nodes that printed it."""
        return {node for node, lines in self.running.lines.items() if any(text in line for line in lines)}

    def assert_no_defect(self):
        printed = [f"{node}: {line}" for node, lines in self.running.lines.items() for line in lines]
        assert not [line for line in printed if "Traceback" in line or " ERROR " in line]


class Writers:
    """Entries of the ledger, each asked for once. acknowledged  answered with 200; refused  it did not happen

    unknown  may be there, or not: those that were answered so, and `silent` ones, which got no answer
    """

    def __init__(self, hard, targets=(), first=0):
        self.hard = hard
        self.targets = targets
        self.number = first
        self.stopped = False
        self.acknowledged = set()
        self.unknown = set()
        self.told_unknown = set()
        self.silent = set()
        self.refused = set()

    async def write(self):
        """One, through one of `targets` (all that run by default). Whether it was acknowledged."""
        nodes = tuple(self.targets) or self.hard.processes.running
        number, self.number = self.number, self.number + 1
        url = self.hard.running.http(nodes[number % len(nodes)])
        self.unknown.add(number)
        status = await self._put(f"{url}/entries/{number}")
        kind = {200: self.acknowledged, 503: self.refused, 429: self.refused, 504: self.told_unknown}.get(status)
        if kind is None:
            self.silent.add(number)
        else:
            kind.add(number)
        if kind is self.acknowledged or kind is self.refused:
            self.unknown.discard(number)
        return status == 200

    async def _put(self, url):
        try:
            return (await self.hard.running.client.put(url, timeout=20)).status_code
        except httpx.ConnectError:
            return 503
        except httpx.HTTPError:
            return 0

    async def run(self):
        """Until `stopped`; what was begun is waited for."""
        while not self.stopped:
            await self.write()
            await trio.sleep(WRITE_PAUSE_S)

    async def some(self, count):
        """So many more are acknowledged."""
        wanted = len(self.acknowledged) + count

        async def enough():
            await self.write()
            return len(self.acknowledged) >= wanted

        await until(enough, SOON_S, f"{count} more entries", every_s=0.001)

    async def go_on(self, count=20):
        """So many more are acknowledged while `run` runs."""
        wanted = len(self.acknowledged) + count
        await until(lambda: len(self.acknowledged) >= wanted, SOON_S, f"{count} more entries")

    async def audit(self):
        """On every running node: all that was acknowledged, nothing that was refused, nothing that nobody asked for."""
        await self.hard.level()
        for node in self.hard.processes.running:
            there = {int(key) for key in await self.hard.console.map_rows(node, "entries")}
            assert self.acknowledged - there == set(), f"{node} has lost what was acknowledged"
            assert there & self.refused == set(), f"{node} has what was said not to have happened"
            assert there <= self.acknowledged | self.unknown, f"{node} has what nobody wrote"
        assert self.acknowledged


@contextlib.asynccontextmanager
async def ledger(open_cluster, **options):
    """A cluster that is ready, with the ledger ACTIVE three times."""
    async with open_cluster(app="hard_app", **options) as running:
        await running.ready()
        hard = Hard(running)
        await running.deploy(LEDGER, 3)
        await hard.active(LEDGER, 3)
        yield hard


@contextlib.asynccontextmanager
async def joined(open_cluster, count):
    """As `ledger`, where `count` voters have joined one after another; one more node may be started."""
    async with open_cluster(app="hard_app", nodes=count + 1, joins=True) as running:
        hard = Hard(running)
        await running.ready("node-1")
        for number in range(2, count + 1):
            await hard.restart(f"node-{number}")

        async def all_vote():
            return len(await hard.voters("node-1")) == count

        await until(all_vote, SOON_S, f"{count} voters")
        await running.deploy(LEDGER, 3)
        await hard.active(LEDGER, 3)
        yield hard


@contextlib.asynccontextmanager
async def load(hard, targets, rate=RATE):
    """Requests at a steady rate to the nodes that `targets`, a list that may change meanwhile, names; what was seen."""
    made = {
        node: [
            http_request("echo", hard.running.http(node).removeprefix("http://"), f"GET /echo/{n}") for n in range(97)
        ]
        for node in hard.processes.ports
    }

    def request(number):
        now = tuple(targets)
        return made[now[number % len(now)]][number % 97]

    steady = SteadyLoad(request, rate)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, steady.run, LOAD_S)
        try:
            yield steady.seen
        finally:
            steady.stop()


@contextlib.asynccontextmanager
async def writing(hard, targets=()):
    """Entries all the time, through `targets`, a list that may change meanwhile, until the block ends."""
    writers = Writers(hard, targets)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writers.run)
        await writers.go_on(5)
        yield writers
        writers.stopped = True
