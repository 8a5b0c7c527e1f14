"""The leader stands still in each phase of an update: another carries it through, and who wakes up does no harm."""

import contextlib
import signal

import pytest
import trio
from benchmarks.updates_cluster import ARTIFACT, EDGE, open_world
from tests.e2e.hard_world import SOON_S, long

from aether.forge.polling import until
from aether.forge.steady_load import SteadyLoad

pytestmark = [pytest.mark.process, pytest.mark.timeout(300), long]

RATE = 15.0  # a third waits until the frozen node is found silent; the retry budget repeats 64 at once
PLAN = {"artifact": f"{ARTIFACT}:1.1.0", "strategy": "canary", "steps": [30, 70], "requireManualApproval": True}
END = "COMPLETED"
WAITS = ("DEPLOYED", "VALIDATING")
PHASES = ["DEPLOYING", "DEPLOYED", "ROUTING", "VALIDATING", "COMPLETING"]


class Update:
    """One update, which a person carries from step to step by way of EDGE."""

    def __init__(self, world):
        self.world = world
        self.phases = []

    async def state(self):
        update = await self.world.console.get(EDGE, f"/rollouts/{ARTIFACT}")
        if update["state"] not in self.phases[-1:]:
            self.phases.append(update["state"])
        return update["state"], update["waitsFor"]

    async def reach(self, phase):
        """Until it is in `phase`, or was for a moment; what waits for a person on the way is done."""

        async def there():
            state, waits = await self.state()
            if state == phase or phase in self.phases:
                return True
            if waits:
                await self.go_on(waits)
                if phase == "ROUTING":
                    return True  # traffic begins to move with the word of a person
            return False

        await until(there, SOON_S, f"the update is {phase}", every_s=0.02)

    async def go_on(self, waits):
        word = "complete" if "complete" in waits and "approve" not in waits else "approve"
        with contextlib.suppress(OSError):
            await self.world.console.post(EDGE, f"/rollouts/{ARTIFACT}/{word}", body={})

    async def leader(self):
        return await until(lambda: self.world.console.leader(EDGE), SOON_S, "a leader")


@contextlib.asynccontextmanager
async def users(world):
    load = SteadyLoad(world.requests("idempotent"), RATE)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, load.run, 200.0)
        try:
            yield load.seen
        finally:
            load.stop()


@pytest.mark.parametrize("phase", PHASES)
async def test_a_leader_that_is_stopped_in_the_middle_of_an_update_changes_nothing_when_it_wakes(tmp_path, phase):
    """Clients of another node notice nothing; the update ends under another leader, and stays as it ended."""
    async with open_world(tmp_path) as world:
        await world.offer("1.1.0")
        await lead_elsewhere(world)
        update = Update(world)
        async with users(world) as seen:
            await world.console.post(EDGE, "/rollouts/start", body={**PLAN, "cleanupPolicy": "MANUAL"})
            await update.reach(phase)
            stopped = await update.leader()
            world.processes.send_signal(stopped, signal.SIGSTOP)

            async def another_leads():
                return await world.console.leader(EDGE) not in (None, stopped)

            await until(another_leads, SOON_S, "another leads")
            await update.reach(END)
            await world.active(3, version="1.1.0")
            term = (await world.console.get(EDGE, "/status"))["term"]
            world.processes.send_signal(stopped, signal.SIGCONT)
            await world.console.wait_ready(stopped, SOON_S)
            await world.active(3, stopped, version="1.1.0")
            status = await world.console.get(EDGE, "/status")

        assert (status["term"], status["leader"] == stopped) == (term, False)
        assert await update.state() == (END, "")
        answers = [(await world.console.get(node, f"/rollouts/{ARTIFACT}"))["state"] for node in world.processes.ports]
        assert answers == [END] * 3
        assert seen.requests > 100
        assert seen.failures == [], "\n".join(
            f"{n}: {line}" for n, lines in world.lines.items() for line in lines[-40:]
        )
        printed = [line for lines in world.lines.values() for line in lines]
        assert not [line for line in printed if "Traceback" in line or " ERROR " in line]


async def lead_elsewhere(world):
    """EDGE, to which the clients are connected, must not be the one that is stopped."""

    async def led():
        leader = await world.console.leader(EDGE)
        if leader == EDGE:
            await world.console.post(EDGE, "/members/transfer-leader", body={"node": "node-2"})
        return leader not in (None, EDGE)

    await until(led, SOON_S, "another node leads", every_s=0.2)
