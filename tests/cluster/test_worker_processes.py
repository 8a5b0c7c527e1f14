"""Whole nodes with slices in worker processes: restarted, chosen by a blueprint, each on a core of its own."""

import importlib
import os
import signal
import sys

import pytest
import trio

import aether

pytestmark = [pytest.mark.alone, pytest.mark.process, pytest.mark.timeout(120)]

SLICES = '''
import os, time
import trio
import aether

@aether.slice(host="process", concurrency=2)
class Sums:
    @aether.method(idempotent=True)
    async def pid(self) -> int:
        return os.getpid()

    async def burn(self, seconds: float) -> tuple[int, float, float]:
        """(process, when it began, when it ended), having computed for so long."""
        began, end = time.monotonic(), time.process_time() + seconds
        while time.process_time() < end:
            pass
        return os.getpid(), began, time.monotonic()

@aether.slice
class Here:
    async def pid(self) -> int:
        return os.getpid()
'''


@pytest.fixture
def app(tmp_path, monkeypatch):
    (tmp_path / "worker_app.py").write_text(SLICES)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("worker_app")
    del sys.modules["worker_app"]


async def test_a_crashed_worker_is_restarted_with_back_off(app):
    with trio.fail_after(60.0):
        async with aether.Cluster.open(app.Sums) as cluster:
            sums = cluster.get(app.Sums)
            first = await sums.pid()
            os.kill(first, signal.SIGKILL)
            with trio.fail_after(20.0):
                second = await sums.pid()

            assert second not in (first, os.getpid())


async def test_a_blueprint_moves_a_slice_into_processes_of_its_own(app):
    with trio.fail_after(60.0):
        async with aether.Cluster.open(app.Here) as cluster:
            here = cluster.get(app.Here)
            assert await here.pid() == os.getpid()
            await cluster.scale(app.Here, 0)
            await cluster.apply(
                '[[slices]]\nartifact = "app:here:*"\ninstances = 1\nhost = "process"\nmemory_mb = 512\n'
            )
            with trio.fail_after(20.0):
                while await here.pid() == os.getpid():
                    await trio.sleep(0.05)


async def test_two_instances_compute_at_the_same_time(app):
    """In one process the second would begin when the first has ended."""
    with trio.fail_after(60.0):
        async with aether.Cluster.open(app.Sums) as cluster:
            await cluster.scale(app.Sums, 2)
            sums, pids = cluster.get(app.Sums), set()
            while len(pids) < 2:
                pids.add(await sums.pid())
            answers = []

            async def burn():
                answers.append(await sums.burn(1.0))

            async with trio.open_nursery() as nursery:
                for _ in range(4):
                    nursery.start_soon(burn)

            (_, one_began, one_ended), *_ = (a for a in answers if a[0] == min(pids))
            overlapping = [a for a in answers if a[0] == max(pids) and a[1] < one_ended and one_began < a[2]]
            assert overlapping


async def test_a_class_that_cannot_live_in_a_process_is_told_at_opening():
    @aether.slice(host="process")
    class Inner:
        async def pid(self) -> int:
            return os.getpid()

    with trio.fail_after(60.0), pytest.raises(aether.NoInstance, match="top of a module"):
        async with aether.Cluster.open(Inner):
            pass
