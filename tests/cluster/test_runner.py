"""A node as the main program: how signals end it, in real processes."""

import contextlib
import signal
import subprocess
import sys

import pytest
import trio

pytestmark = [pytest.mark.process, pytest.mark.timeout(60)]

SCRIPT = """
from collections.abc import AsyncIterator
from time import sleep

import trio

import aether


@aether.slice
class Stubborn:
    @aether.blocking
    def block(self) -> None:
        sleep(60)

    @aether.lifespan
    async def lifespan(self, nursery: trio.Nursery) -> AsyncIterator[None]:
        nursery.start_soon(self._{work})
        yield

    async def _nothing(self) -> None:
        pass

    async def _blocks(self) -> None:
        print("WORKING", flush=True)
        await self.block()

    async def _computes(self) -> None:
        await trio.sleep(0.5)
        print("WORKING", flush=True)
        sleep(60)


aether.run(Stubborn, http=0, management=None)
"""


@contextlib.asynccontextmanager
async def script(folder, work, until):
    """The script, as soon as it printed `until`."""
    path = folder / "shop.py"
    path.write_text(SCRIPT.replace("{work}", work))
    process = await trio.lowlevel.open_process(
        [sys.executable, str(path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
    )
    try:
        said = b""
        with trio.fail_after(30):
            while until not in said:
                piece = await process.stdout.receive_some()
                assert piece, said.decode()
                said += piece
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


async def ended(process, within_s):
    with trio.fail_after(within_s):
        code = await process.wait()
    said = b""
    async for piece in process.stdout:
        said += piece
    return code, said.decode()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
async def test_a_signal_ends_a_script_without_a_traceback(tmp_path, number, code):
    async with script(tmp_path, "nothing", b"http://") as process:
        process.send_signal(number)

        got, said = await ended(process, 3)
        busy = "the machine has no time for this process"
        others = [line for line in said.splitlines() if line and busy not in line]
        assert (got, others) == (code, [])


async def test_ctrl_c_does_not_wait_for_a_method_that_blocks(tmp_path):
    """A thread cannot be cancelled; a developer must not have to kill their own program."""
    async with script(tmp_path, "blocks", b"WORKING") as process:
        process.send_signal(signal.SIGINT)

        code, said = await ended(process, 3)

    assert code == 130
    assert "Traceback" not in said
    assert "leaving without it" in said


async def test_a_second_ctrl_c_ends_a_process_whose_loop_is_kept_busy(tmp_path):
    """The first one is not even heard by a slice that computes without awaiting."""
    async with script(tmp_path, "computes", b"WORKING") as process:
        process.send_signal(signal.SIGINT)
        await trio.sleep(0.5)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)

        code, said = await ended(process, 3)

    assert code == 130
    assert "Traceback" not in said


async def test_a_second_signal_cuts_a_drain_short(tmp_path):
    async with script(tmp_path, "blocks", b"WORKING") as process:
        process.send_signal(signal.SIGTERM)
        await trio.sleep(0.2)
        process.send_signal(signal.SIGTERM)

        code, said = await ended(process, 3)

    assert code == 143
    assert "Traceback" not in said
