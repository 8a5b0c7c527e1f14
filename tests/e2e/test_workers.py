"""Nodes from the command line, with a slice in worker processes: found on --app-dir, drained, never left behind."""

import signal

import httpx
import psutil
import pytest
import trio

from aether.forge.polling import until

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

SOON_S = 30.0


def is_gone(pid):
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


async def until_gone(pid):
    await until(lambda: is_gone(pid), SOON_S, f"process {pid} ends")


async def worker(running):
    """The process that answers, which is none of the node's."""
    answer = await running.client.get(f"{running.http('node-1')}/pid")
    assert answer.status_code == 200, answer.text
    assert answer.json() != running.processes.process_id("node-1")
    return answer.json()


async def test_a_worker_serves_http_and_streams_and_a_killed_one_is_replaced(open_cluster):
    async with open_cluster(nodes=1, app="worker_app") as running:
        await running.ready()
        await running.deploy("e2e:sums:1.0.0")
        first = await worker(running)
        ticks = await running.client.get(
            f"{running.http('node-1')}/ticks?count=3", headers={"accept": "application/x-ndjson"}
        )
        assert [int(line) for line in ticks.text.split()] == [0, 1, 2]

        psutil.Process(first).kill()

        async def another_answers():
            answer = await running.client.get(f"{running.http('node-1')}/pid")
            return answer.status_code == 200 and answer.json() != first

        await until(another_answers, SOON_S)


async def test_a_node_that_is_asked_to_end_drains_its_workers_first(open_cluster):
    """SIGTERM to the whole group, as a service manager sends it: the call that runs is answered."""
    async with open_cluster(nodes=1, app="worker_app") as running:
        await running.ready()
        await running.deploy("e2e:sums:1.0.0")
        pid, answers = await worker(running), []

        async def begun():
            return (await running.client.get(f"{running.http('node-1')}/begun")).json() == 1

        async def slow():
            answers.append(await running.client.get(f"{running.http('node-1')}/slow?seconds=1.5"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(slow)
            await until(begun, SOON_S)
            psutil.Process(pid).terminate()
            running.processes.send_signal("node-1", signal.SIGTERM)

        assert (answers[0].status_code, answers[0].json()) == (200, pid)
        code, said = await running.ended("node-1")
        assert code == 0, said
        assert is_gone(pid)


async def test_no_worker_outlives_a_killed_node(open_cluster):
    async with open_cluster(nodes=1, app="worker_app") as running:
        await running.ready()
        await running.deploy("e2e:sums:1.0.0")
        pid = await worker(running)
        async with trio.open_nursery() as nursery:

            async def burn():
                with pytest.raises(httpx.HTTPError):
                    await running.client.post(f"{running.http('node-1')}/burn", json={"seconds": 600.0})

            nursery.start_soon(burn)
            spent_s = psutil.Process(pid).cpu_times().user
            await until(lambda: psutil.Process(pid).cpu_times().user >= spent_s + 0.1, SOON_S, "the worker burns")
            await running.processes.kill("node-1")
            await until_gone(pid)
