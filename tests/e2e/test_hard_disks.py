"""Disks that are full, slow, failing, torn, damaged, of yesterday or of somebody else, under a cluster that goes on."""

import contextlib
import shutil
import sys

import pytest
import trio
from tests.e2e.hard_world import LEDGER, SOON_S, ledger, long, until, writing

from aether.failpoints import VARIABLE
from aether.testing.nemesis.namespaces import small_disks, why_not

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]

FILLING_BYTES = 80 * 2**20  # more than the segment that a node has prepared
VALUE_BYTES = 500_000
FULL = "writes nothing"
STALL_MS = 15_000
STALL_AT = 300  # syncs
SECTOR = 512


def fill(path):
    """Until nothing more fits."""
    with path.open("wb", buffering=0) as file:
        for size in (2**20, 4096):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))


async def write_much(hard, through):
    """More than a segment of the log, through nodes with space."""
    for number in range(FILLING_BYTES // VALUE_BYTES + 1):
        body = {"key": "maps/bulk/x", "value": f"{number}" + "x" * VALUE_BYTES}
        await hard.console.post(through[number % len(through)], "/kv/put", body=body)


@long
@pytest.mark.skipif(bool(why_not()), reason=f"a small disk: {why_not()}")
@pytest.mark.parametrize("role", ["leader", "follower"])
async def test_a_full_disk_is_said_costs_no_write_and_is_well_again_when_there_is_space(open_cluster, tmp_path, role):
    """Whose disk is full steps aside by itself, and comes back without a restart."""
    folders = [tmp_path / f"node-{n}" for n in (1, 2, 3)]
    async with small_disks(folders), ledger(open_cluster) as hard:
        full = await hard.leader()
        if role == "follower":
            full = (await hard.others(full))[0]
        others = await hard.others(full)
        ballast = hard.processes.directory(full) / "ballast"
        async with writing(hard, others) as writers:
            fill(ballast)
            await write_much(hard, others)
            await until(lambda: hard.said(FULL) == {full}, SOON_S, f"{full} says that it writes nothing")
            health = await hard.console.get(full, "/health")
            assert [line for line in health["problems"] if "the disk of this node is full" in line]
            assert await hard.leader(*others) in others
            await writers.go_on()
            assert full in hard.processes.running
            ballast.unlink()
            await hard.running.ready(full)
            await writers.go_on()
        assert writers.refused == set()
        await writers.audit()
        hard.assert_no_defect()


@long
async def test_a_leader_whose_disk_stands_still_gives_way_and_comes_back(open_cluster):
    """Heartbeats do not keep it in office; when its disk goes on, it follows, and nothing is lost."""
    async with ledger(open_cluster) as hard:
        await hard.leave("node-1")
        await hard.restart("node-1", {VARIABLE: f"wal.before_sync=sleep({STALL_MS})@{STALL_AT}"})
        await hard.hand_over("node-1")
        others = await hard.others("node-1")
        async with writing(hard, others) as writers:

            async def another_leads():
                return await hard.console.leader("node-2") in others

            await until(another_leads, SOON_S, "another leads")
            await writers.go_on()
            await hard.level()
        await writers.audit()
        hard.assert_no_defect()


@long
async def test_slow_syncs_on_every_node_lose_nothing_and_change_no_leader(open_cluster):
    """A tenth of a second for a third of all syncs is slow, and no reason for an election."""
    slow = {VARIABLE: "wal.before_sync=sleep(100)@%33"}
    async with ledger(open_cluster, environment=slow) as hard:
        term = (await hard.console.get("node-1", "/status"))["term"]
        async with writing(hard) as writers:
            await writers.go_on(100)
        assert (writers.refused, writers.unknown) == (set(), set())
        assert (await hard.console.get("node-1", "/status"))["term"] == term
        await writers.audit()


@long
async def test_a_sync_that_fails_ends_its_node_alone_and_a_restart_is_clean(open_cluster):
    """What the kernel did with those bytes nobody knows: the store is not written again by this process."""
    async with ledger(open_cluster) as hard:
        failing = (await hard.others(await hard.leader()))[0]
        await hard.processes.kill(failing)
        await hard.processes.start(failing, {VARIABLE: "wal.before_sync=error(EIO)@20"})
        others = await hard.others(failing)
        async with writing(hard, others) as writers:
            code, said = await hard.running.ended(failing)
            assert code == 1
            assert "wal.before_sync" in said.splitlines()[-1]
            assert "Traceback" not in said
            await hard.restart(failing)
            await writers.go_on()
        await writers.audit()


# --- what lies on the disk of a node that is down ---------------------------------------------------------------------


def newest_segment(directory):
    """The file of the log that was written last, and where what is written in it ends."""
    segments = sorted(directory.rglob("*.wal"), key=lambda path: len(path.read_bytes().rstrip(b"\0")))
    written = segments[-1].read_bytes().rstrip(b"\0")
    return segments[-1], len(written)


async def doctor(*arguments, code):
    line = [sys.executable, "-m", "aether", *arguments]
    done = await trio.run_process(line, capture_stdout=True, capture_stderr=True, check=False)
    said = done.stdout.decode() + done.stderr.decode()
    assert done.returncode == code, said
    assert "Traceback" not in said
    return said


@contextlib.asynccontextmanager
async def one_down(open_cluster, **options):
    """A ledger with entries, and a follower that was killed; the name of that."""
    async with ledger(open_cluster, **options) as hard:
        down = (await hard.others(await hard.leader()))[0]
        async with writing(hard) as writers:
            await writers.go_on(30)
            await hard.level()
            await hard.processes.kill(down)
        yield hard, writers, down


def cut_off(directory, count):
    """The last bytes of what is written in its log."""
    segment, end = newest_segment(directory)
    with segment.open("r+b") as file:
        file.truncate(end - count)


async def test_a_record_that_was_torn_while_it_was_written_is_cut_off_and_the_node_catches_up(open_cluster):
    """The power went after the bytes were given to the kernel and before they were durable: nobody was told of them."""
    async with ledger(open_cluster) as hard:
        torn = (await hard.others(await hard.leader()))[0]
        await hard.processes.kill(torn)
        await hard.processes.start(torn, {VARIABLE: "wal.before_sync=crash@25"})
        async with writing(hard, await hard.others(torn)) as writers:
            await until(lambda: torn not in hard.processes.running, SOON_S, f"{torn} dies while it writes")
            cut_off(hard.processes.directory(torn), 5)
            await hard.restart(torn)
            await writers.go_on()
        await writers.audit()
        hard.assert_no_defect()


@long
async def test_a_disk_that_lost_what_was_acknowledged_is_named_and_its_node_stops(open_cluster):
    """A disk that lies about what is durable: the leader knows what this node has promised."""
    async with one_down(open_cluster) as (hard, writers, down):
        cut_off(hard.processes.directory(down), 2_000)  # several entries
        await hard.processes.start(down)
        code, said = await hard.running.ended(down)
        assert code == 1
        assert "the disk has lost what this node had stored and acknowledged" in said.splitlines()[-1]
        assert "aether members remove" in said.splitlines()[-1]
        await writers.some(10)
        await writers.audit()
        hard.assert_no_defect()


async def test_damage_in_the_middle_of_a_log_is_refused_and_named_and_the_others_go_on(open_cluster):
    """Committed entries are not cut off in silence: the node does not start, and whoever runs it is told what to do."""
    async with one_down(open_cluster) as (hard, writers, down):
        segment, end = newest_segment(hard.processes.directory(down))
        with segment.open("r+b") as file:
            file.seek(end // 2)
            (byte,) = file.read(1)
            file.seek(end // 2)
            file.write(bytes([byte ^ 0x10]))
        assert segment.name in await doctor("wal", "verify", str(hard.processes.directory(down)), code=1)
        await hard.processes.start(down)
        code, said = await hard.running.ended(down)
        assert code == 1
        assert segment.name in said.splitlines()[-1]
        await writers.some(10)
        await writers.audit()


@long
async def test_a_disk_of_yesterday_is_refused(open_cluster, tmp_path):
    """It would vote again in a term in which it has voted, and miss what it has acknowledged."""
    async with one_down(open_cluster) as (hard, writers, down):
        shutil.copytree(hard.processes.directory(down), tmp_path / "yesterday")
        await hard.restart(down)
        await writers.some(20)
        await hard.level()
        await hard.processes.kill(down)
        shutil.rmtree(hard.processes.directory(down))
        (tmp_path / "yesterday").rename(hard.processes.directory(down))
        await hard.processes.start(down)
        code, said = await hard.running.ended(down)
        assert code == 1
        assert "older copy" in said
        await writers.some(10)
        await writers.audit()


@long
async def test_two_disks_that_were_confused_are_refused_and_hold_all_when_they_are_back(open_cluster):
    """Two machines got each other's volume; nothing is written to either."""
    async with ledger(open_cluster) as hard:
        async with writing(hard) as writers:
            await writers.go_on(30)
        first, second = await hard.others(await hard.leader())
        for node in (first, second):
            await hard.processes.kill(node)
        swap(hard.processes.directory(first), hard.processes.directory(second))
        for node, other in ((first, second), (second, first)):
            await hard.processes.start(node)
            code, said = await hard.running.ended(node)
            assert code == 1
            assert other in said
        swap(hard.processes.directory(first), hard.processes.directory(second))
        for node in (first, second):
            await hard.processes.start(node)
        await hard.running.ready()
        await hard.active(LEDGER, 3)
        await writers.some(10)
        await writers.audit()


def swap(one, other):
    aside = one.with_suffix(".aside")
    one.rename(aside)
    other.rename(one)
    aside.rename(other)
