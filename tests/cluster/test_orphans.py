"""Process 1 of a container buries what it inherits, and leaves its own children to whoever waits for them."""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from aether.cluster.orphans import bury_orphans

A, B = (11, 1.0), (12, 1.0)


async def buried(looks):
    """What is buried while the looks see these children, one after the other."""
    found, left = [], list(looks)

    def dead():
        return frozenset(left.pop(0) if left else ())

    with trio.move_on_after(5 * len(looks) + 1):
        await bury_orphans(5, dead, found.append)
    return found


async def test_only_what_was_dead_twice_is_buried(autojump_clock):
    """Whoever waits for a child of his own has it long before."""
    assert await buried([{A}, {A, B}, {B}, {B}]) == [11, 12]
    assert await buried([{A}, {B}, {A}, {B}]) == []


async def test_an_id_that_came_back_is_another_child(autojump_clock):
    assert await buried([{A}, {(11, 9.0)}]) == []


SUBREAPER = """
import ctypes, os, subprocess, sys
import psutil, trio
from aether.cluster.orphans import bury_orphans, dead_children

PR_SET_CHILD_SUBREAPER = 36
assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0


async def main():
    subprocess.run([sys.executable, "-c", "import os; os.fork() or os._exit(0)"], check=True)  # leaves an orphan behind
    with trio.fail_after(30):
        while not dead_children():
            await trio.sleep(0.01)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bury_orphans, 0.05)
        with trio.fail_after(30):
            while dead_children():
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()


trio.run(main)
assert psutil.Process().children() == []
"""


@pytest.mark.process
@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no subreapers")
def test_an_orphan_of_a_real_process_is_buried():
    assert ctypes.CDLL(None).prctl is not None
    subprocess.run([sys.executable, "-c", SUBREAPER], check=True, timeout=50)


def as_process_1(*line, **options):
    prefix = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    return subprocess.Popen(
        [*prefix, sys.executable, "-m", "aether", *line], text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options,
    )  # fmt: skip


def inside(process):
    """The id, as seen from here, of process 1 of the namespace that `process` has opened."""
    return int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])


may_unshare = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("unshare"), reason="a namespace of processes needs root and unshare"
)


@pytest.mark.process
@may_unshare
def test_a_node_as_process_1_drains_on_sigterm(tmp_path):
    line = ["node", "--port", "0", "--http-port", "0", "--management-port", "0", "--data-dir", str(tmp_path / "data")]
    process = as_process_1(*line, cwd=tmp_path, env={**os.environ, "XDG_STATE_HOME": str(tmp_path)})
    try:
        said = []
        for text in process.stdout:
            said.append(text)
            if "is ready" in text:
                break
        os.kill(inside(process), signal.SIGTERM)
        said += process.stdout.readlines()
        assert process.wait(30) == 0, said
        assert "node-1 drains for at most" in "".join(said)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.process
@may_unshare
def test_a_command_as_process_1_ends_by_sigterm_too(tmp_path):
    """The kernel would keep from it a signal that it does not handle, and `docker stop` would take ten seconds."""
    program = tmp_path / "stuck.py"
    program.write_text(
        "import sys, time\nimport aether.cli.main as m\n"
        "m.run = lambda _: (print('runs', flush=True), sys.stdin.read(), __import__('signal').pause())\nm.main([])\n"
    )
    process = subprocess.Popen(
        ["unshare", "--pid", "--fork", "--kill-child", sys.executable, str(program)],
        text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout.readline() == "runs\n"
        os.kill(inside(process), signal.SIGTERM)
        assert process.wait(30) == 128 + signal.SIGTERM
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
