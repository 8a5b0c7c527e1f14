"""Deployed and undeployed again and again on real processes: memory, descriptors, threads and rows stay as they are."""

import psutil
import pytest
from tests.e2e.hard_world import LEDGER, SOON_S, ledger, long, until

pytestmark = [pytest.mark.process, pytest.mark.timeout(600), long]

WARM = 15
CYCLES = 60
MEMORY_MAX = 24 * 2**20
OF_OTHERS = ("audit", "alerts")  # each change leaves a row, up to a limit; alerts tell how busy the machine is


async def test_deployments_leave_a_process_as_it_was(open_cluster):
    async with ledger(open_cluster) as hard:
        await cycle(hard, WARM)
        before = {node: looked_at(hard, node) for node in hard.processes.ports}
        rows = await kinds_of_rows(hard)
        await cycle(hard, CYCLES)
        for node, (memory, descriptors, threads) in before.items():
            memory_then, descriptors_then, threads_then = looked_at(hard, node)
            assert memory_then <= memory + MEMORY_MAX
            assert descriptors_then <= descriptors + 8
            assert threads_then <= threads + 4
        assert await kinds_of_rows(hard) == rows
        hard.assert_no_defect()


async def cycle(hard, times):
    for number in range(times):
        node = f"node-{number % 3 + 1}"
        await hard.console.post(node, "/undeploy?wait=30", body={"artifact": LEDGER})

        async def gone():
            return not any([await hard.console.instances(each) for each in hard.processes.ports])

        await until(gone, SOON_S, "no instance is left")
        await hard.console.post(node, "/deploy?wait=30", body={"artifact": LEDGER, "instances": 3})
        await hard.active(LEDGER, 3)


def looked_at(hard, node):
    process = psutil.Process(hard.processes.process_id(node))
    return process.memory_info().rss, process.num_fds(), process.num_threads()


async def kinds_of_rows(hard):
    """How many rows of each kind there are."""
    counts, after = {}, ""
    while True:
        page = await hard.console.get("node-1", f"/kv?limit=1000{f'&after={after}' if after else ''}")
        for row in page["rows"]:
            kind = row["key"].partition("/")[0]
            counts[kind] = counts.get(kind, 0) + 1
        after = page["next"]
        if not after:
            return {kind: count for kind, count in counts.items() if kind not in OF_OTHERS}
