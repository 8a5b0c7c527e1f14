"""Instances in worker processes, on the wall clock: what they can do, and what they must not do to their node."""

import contextlib
import errno
import gc
import logging
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import trio
import trio.testing
from worker_slices import TENANT, Broken, Carried, Carrying, Crashing, Late, ListPricing, Pit, Stubborn, Till

import aether
from aether.errors import BadInput, ContractError, NotFound, OutcomeUnknown, Overloaded
from aether.hosting.worker_errors import WorkerDied, WorkerFailed
from aether.hosting.worker_messages import PROTOCOL, CallOut, Hello, MapAccess, Stop, Withdraw, encode_message
from aether.hosting.worker_process import start_worker
from aether.invocation.messages import CallReply
from aether.invocation.reply import Abandoned, Done, Form, NotStarted
from aether.model.limits import WORKER_CALLS_OUT_MAX
from aether.wire.frames import encode_frame

pytestmark = [pytest.mark.process, pytest.mark.timeout(90)]

SOON_S = 20.0


@pytest.fixture
def pit_of(home_of):
    """A node with one Pit in a worker process: (home, proxy, instance id)."""

    @contextlib.asynccontextmanager
    async def opened(memory_mb=None):
        with trio.fail_after(60.0):
            async with home_of() as home:
                instance = await home.deploy(Pit, memory_mb=memory_mb)
                yield home, home.get(Pit), instance

    return opened


def worker_of(home, instance):
    return home.hosting.find(instance)


async def until(condition):
    """Poll, for what no event of this process tells."""
    with trio.fail_after(SOON_S):
        while not condition():
            await trio.sleep(0.01)


def is_gone(pid):
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


# --- what an instance can do ------------------------------------------------------------------------------------------


@pytest.fixture(params=["node", "process", "tree"])
def till_of(request, home_of):
    """A Till in its node, in a worker process, or from a tree that the node has not imported: the same rules."""

    @contextlib.asynccontextmanager
    async def opened():
        with trio.fail_after(60.0):
            async with home_of(config={"shop.currency": "CHF"}, secrets={"shop.token": "s3cret"}) as home:
                await home.deploy(ListPricing)
                instance = await home.deploy(Till, host=request.param)
                yield home, home.get(Till), instance

    return opened


async def test_configuration_secrets_and_state_reach_the_instance(till_of):
    async with till_of() as (_, till, _instance):
        assert await till.told() == ["CHF", "s3cret", "started"]


async def test_an_instance_calls_its_dependencies_with_the_time_it_has_left(till_of):
    async with till_of() as (_, till, _instance):
        assert await till.total("x", 3) == 15
        assert await till.patient("hang") == "moved on"
        told = ""
        with trio.fail_after(SOON_S):  # on a busy machine the account of the time may come too late, and is left out
            while "\n  ListPricing.quote" not in told:
                with pytest.raises(trio.TooSlowError) as caught:
                    await till.hurried("hang")
                told = caught.value.__notes__[0]


async def test_a_fault_of_a_dependency_keeps_its_class(till_of):
    async with till_of() as (_, till, _instance):
        with pytest.raises(aether.Fault) as caught:
            await till.total("none", 1)
        assert caught.value.sku == "none"


async def test_options_of_a_call_travel_with_it(till_of):
    """A broadcast, a call that is only accepted, a key: from a worker as from a node."""
    async with till_of() as (home, till, _instance):
        await home.start(await home.desire(ListPricing))
        assert await till.everywhere("x") == ["5", "5"]
        assert await till.everywhere("none") == ["OutOfStock", "OutOfStock"]
        await till.sent("broken")
        assert await till.keyed("x") == 5
        assert await till.keyed("x") == 5


async def test_maps_are_those_of_the_cluster_with_their_quotas(till_of):
    async with till_of() as (_, till, _instance):
        assert await till.keep("b", 2)
        assert await till.keep("a", 1)
        assert not await till.keep("a", 3)
        assert await till.kept() == [("a", 1), ("b", 2)]
        assert await till.keep("c", 3)
        with pytest.raises(aether.QuotaExceeded, match="entries"):
            await till.keep("d", 4)


async def test_a_cancelled_caller_cancels_the_method(till_of):
    async with till_of() as (_, till, _instance):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(till.wait, "one")
            with trio.fail_after(SOON_S):
                while "one began" not in await till.told():
                    await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
        with trio.fail_after(SOON_S):
            while "one cancelled" not in await till.told():
                await trio.sleep(0.01)


async def test_calls_beyond_concurrency_and_queue_are_refused(till_of):
    async with till_of() as (home, till, instance):
        async with trio.open_nursery() as nursery:
            for name in ("1", "2", "3", "4"):
                nursery.start_soon(till.wait, name)
            await until(lambda: home.hosting.find(instance).running == 2)
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(Overloaded):
                await till.told()
            nursery.cancel_scope.cancel()
        with trio.fail_after(SOON_S):
            assert sum("began" in line for line in await till.told()) == 2


async def test_a_drained_instance_finishes_its_calls_and_leaves_its_lifespan(till_of):
    async with till_of() as (home, till, instance):
        answers = []

        async def call():
            answers.append(await till.finish(1.0))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(call)
            running = home.hosting.find(instance)
            await until(lambda: running.running == 1)
            nursery.start_soon(home.stop, Till, instance)
            await until(lambda: running.stopping)
            reply = await running.serve("told", {}, Form.WIRE, trio.CancelScope())
            assert isinstance(reply, NotStarted)

        assert answers == ["finished"]
        assert home.hosting.find(instance) is None
        book = home.kv.scan("maps/book/")
        assert any("stopped" in key for key, _, _ in book), "the lifespan used a map on its way out"


async def test_a_call_knows_its_request_wherever_it_runs(till_of):
    async with till_of() as (_, till, _instance):
        request_id, slice_name, method, node = await till.who()

        assert (slice_name, method, node) == ("Till", "who", "n1")
        assert request_id


async def test_blocking_methods_of_a_worker_run_beside_its_loop(pit_of):
    async with pit_of() as (_, pit, _instance):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pit.sleep, 0.5)
            with trio.fail_after(SOON_S):
                assert await pit.add(1, 2) == 3
        assert await pit.pid() != os.getpid()


async def test_large_values_pass_in_both_directions(pit_of):
    async with pit_of() as (_, pit, _instance):
        assert len(await pit.large(3 * 2**20)) == 3 * 2**20
        with pytest.raises(aether.CallFailed, match="cannot be sent"):
            await pit.large(17 * 2**20)
        assert await pit.add(1, 2) == 3


def test_a_worker_starts_without_the_rooms_of_a_node():
    """Each costs time at every start and memory in every process."""
    code = "import aether.hosting.worker_main, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=50)
    rooms = set(re.findall(r"\baether\.(\w+)", done.stdout))

    assert "hosting" in rooms
    assert not rooms & {"kv", "consensus", "storage", "transport", "deployment", "web", "node"}


# --- what it is given of the machine ----------------------------------------------------------------------------------


async def test_a_worker_inherits_neither_environment_nor_secrets_in_its_arguments(home_of, monkeypatch):
    monkeypatch.setenv("AETHER_TOKEN", "t0ken")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "k3y")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    with trio.fail_after(60.0):
        async with home_of(secrets={"shop.token": "s3cret"}) as home:
            await home.deploy(ListPricing)
            instance = await home.deploy(Till, host="process")
            await home.deploy(Pit)
            environment = await home.get(Pit).environment()
            pid = worker_of(home, instance).pid
            seen = "".join([*psutil.Process(pid).environ().values(), *psutil.Process(pid).cmdline()])

    assert "AETHER_TOKEN" not in environment
    assert "AWS_SECRET_ACCESS_KEY" not in environment
    assert environment["LC_ALL"] == "C.UTF-8"
    assert "s3cret" not in seen
    assert "k3y" not in seen


async def test_a_worker_has_the_search_path_of_its_node(pit_of):
    async with pit_of() as (_, pit, _instance):
        assert await pit.path() == [str(Path.cwd() / entry) for entry in sys.path]


async def test_what_user_code_prints_disturbs_nothing(pit_of, capfd):
    """Standard output belongs to user code; messages travel elsewhere."""
    async with pit_of() as (_, pit, _instance):
        await pit.write("hello from the pit")
        assert await pit.add(1, 2) == 3

    assert "hello from the pit" in capfd.readouterr().out


async def test_log_records_arrive_at_the_loggers_of_the_node(pit_of, caplog):
    async with pit_of() as (_, pit, _instance):
        pid = await pit.pid()
        await pit.log("low stock")
        await until(lambda: any(r.message == "low stock" for r in caplog.records))
        record = next(r for r in caplog.records if r.message == "low stock")

        assert (record.name, record.levelno, record.process) == ("shop.worker", logging.WARNING, pid)


# --- how it dies, alone -----------------------------------------------------------------------------------------------


async def test_what_a_worker_logs_is_no_error_of_its_own_however_odd(pit_of, caplog):
    """A name of a file that is no UTF-8 is a text that no message can hold."""
    async with pit_of() as (_, pit, _):
        await pit.log_oddly()
        await until(lambda: len(caplog.records) >= 3)
    said = [(record.name, record.getMessage()) for record in caplog.records]
    assert said == [
        ("shop.worker", "no caf\\udce9.txt"),
        ("shop.\\udce9", "odd name"),
        ("shop.worker", "odd level"),
    ]


async def test_a_killed_worker_is_reported_and_each_of_its_calls_has_an_outcome(pit_of):
    """Two calls may have run; the others never left the node, and may be sent elsewhere."""
    async with pit_of() as (home, _pit, instance):
        worker, replies = worker_of(home, instance), []

        async def call():
            replies.append(await worker.serve("hang", {}, Form.WIRE, trio.CancelScope()))

        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(call)
            await until(lambda: worker.running == 2)
            await until(lambda: worker._process.mark.number == 2)
            os.kill(worker.pid, signal.SIGKILL)

        kinds = [type(reply) for reply in replies]
        assert (kinds.count(Abandoned), kinds.count(NotStarted)) == (2, 8)
        await until(lambda: home.crashes)
        (crashed, error), *others = home.crashes
        assert (crashed, others) == (instance, [])
        assert isinstance(error, WorkerDied)
        assert "SIGKILL" in str(error)
        assert home.hosting.find(instance) is None


async def test_a_call_that_the_worker_never_read_was_not_started(pit_of):
    """Its loop stands still, and then it is killed: a method that is not idempotent may safely go elsewhere."""
    async with pit_of() as (home, _pit, instance):
        worker, replies = worker_of(home, instance), {}

        async def call(method, payload):
            replies[method] = await worker.serve(method, payload, Form.WIRE, trio.CancelScope())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(call, "block", {"seconds": 60.0})
            await until(lambda: worker._process.mark.number == 1)
            nursery.start_soon(call, "pid", {})
            await until(lambda: worker.running == 2)
            os.kill(worker.pid, signal.SIGKILL)

        assert isinstance(replies["block"], Abandoned)
        assert isinstance(replies["pid"], NotStarted)


async def test_callers_of_a_killed_worker_learn_that_the_outcome_is_unknown(pit_of):
    async with pit_of() as (home, pit, instance):
        async with trio.open_nursery() as nursery:

            async def call():
                with pytest.raises(OutcomeUnknown, match="worker process"):
                    await pit.hang()

            nursery.start_soon(call)
            await until(lambda: worker_of(home, instance).running == 1)
            os.kill(worker_of(home, instance).pid, signal.SIGKILL)


async def test_a_new_instance_serves_after_a_crash(pit_of):
    async with pit_of() as (home, pit, _instance):
        with pytest.raises(OutcomeUnknown):
            await pit.exit(3)
        await until(lambda: home.crashes)
        assert "exited with status 3" in str(home.crashes[0][1])
        await home.start(await home.desire(Pit))
        assert await pit.add(1, 2) == 3


async def test_a_worker_whose_loop_stands_still_delays_only_its_own_callers(pit_of):
    async with pit_of() as (home, pit, instance):
        await home.deploy(ListPricing)
        pricing = home.get(ListPricing)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pit.block, 600.0)
            await until(lambda: worker_of(home, instance)._process.mark.number == 1)
            for _ in range(10):
                assert await pricing.quote("x") == 5
            with trio.move_on_after(0.1) as scope:
                await pit.hang()
            assert scope.cancelled_caught, "a deadline needs no answer of the worker"
            nursery.cancel_scope.cancel()


async def test_a_call_that_was_given_up_while_the_loop_stood_still_does_not_run(pit_of):
    """A slice that computes would otherwise spend its time on answers that nobody waits for."""
    async with pit_of() as (home, pit, instance):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pit.block, 3.0)
            await until(lambda: worker_of(home, instance)._process.mark.number == 1)
            with trio.move_on_after(0.1):
                await pit.block(30.0)
        with trio.fail_after(SOON_S):
            assert await pit.add(1, 2) == 3


async def test_memory_beyond_the_limit_ends_that_worker_alone(pit_of):
    async with pit_of(memory_mb=128) as (home, pit, instance):
        await home.deploy(ListPricing)
        with pytest.raises(OutcomeUnknown):
            await pit.grow(300)
        await until(lambda: home.crashes)

        assert [crashed for crashed, _ in home.crashes] == [instance]
        assert "memory_mb=128" in str(home.crashes[0][1])
        assert await home.get(ListPricing).quote("x") == 5


async def test_one_absurd_allocation_fails_inside_the_worker(pit_of):
    """The machine must not feel it, not even for the tenth of a second between two looks at the memory."""
    async with pit_of(memory_mb=256) as (_, pit, _instance):
        with pytest.raises(aether.CallFailed, match="MemoryError"):
            await pit.reserve(100_000)
        assert await pit.add(1, 2) == 3


async def test_a_crash_of_a_background_task_is_told_with_its_words(home_of):
    with trio.fail_after(60.0):
        async with home_of() as home:
            await home.deploy(Crashing)
            await home.get(Crashing).crash()
            await until(lambda: home.crashes)

            error = home.crashes[0][1]
            assert isinstance(error, WorkerFailed)
            assert str(error) == "RuntimeError: queue lost"
            assert "worker_slices.py" in error.__notes__[0]


async def test_a_start_that_raises_is_the_error_of_the_activation(home_of):
    with trio.fail_after(60.0):
        async with home_of() as home:
            with pytest.raises(WorkerFailed, match="no database"):
                await home.deploy(Broken)
            assert home.crashes == []


async def test_a_start_that_takes_too_long_leaves_no_process(home_of, monkeypatch):
    with trio.fail_after(60.0):
        async with home_of() as home:
            before = set(children())
            with trio.move_on_after(1.0) as scope:
                await home.deploy(Late)

            assert scope.cancelled_caught
            await until(lambda: set(children()) <= before)


async def test_an_instance_that_does_not_stop_is_killed_when_its_stop_is_given_up(home_of):
    with trio.fail_after(60.0):
        async with home_of() as home:
            instance = await home.deploy(Stubborn)
            pid = await home.get(Stubborn).pid()
            with trio.move_on_after(0.5) as scope:
                await home.hosting.deactivate(instance)

            assert scope.cancelled_caught
            await until(lambda: is_gone(pid))
            await until(lambda: home.hosting.find(instance) is None)


async def test_a_worker_that_leaves_a_process_behind_is_still_seen_to_end(pit_of):
    """That process may hold the socket open, so its end alone would tell nothing."""
    async with pit_of() as (home, pit, instance):
        orphan = await pit.leave_a_child()
        try:
            os.kill(worker_of(home, instance).pid, signal.SIGKILL)
            await until(lambda: home.crashes)
        finally:
            os.kill(orphan, signal.SIGKILL)


async def test_a_killed_worker_is_reaped_though_what_it_forked_holds_its_socket(pit_of):
    """Else a dead process stays in the table of the system until the garbage collector comes by."""
    async with pit_of() as (home, pit, instance):
        pid, forked = await pit.pid(), await pit.fork()
        gc.disable()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ignore_unknown_outcome, pit.block, 60.0)
                await until(lambda: worker_of(home, instance).running)
                with trio.move_on_after(0.1):
                    await home.hosting.deactivate(instance)
                await until(lambda: home.hosting.find(instance) is None)
            assert not psutil.pid_exists(pid)
        finally:
            gc.enable()
            os.kill(forked, signal.SIGKILL)


async def ignore_unknown_outcome(method, *arguments):
    with contextlib.suppress(OutcomeUnknown):
        await method(*arguments)


async def test_a_worker_that_shuts_its_socket_and_stays_is_ended_with_that_reason(pit_of):
    """`ended by SIGKILL` sends people to look for the kernel's killer of processes."""
    async with pit_of() as (home, pit, _):
        with pytest.raises(OutcomeUnknown):
            await pit.turn_away()
        await until(lambda: home.crashes)
        assert "closed its connection" in str(home.crashes[0][1])


async def test_leaving_the_node_leaves_no_process(home_of):
    with trio.fail_after(60.0):
        async with home_of() as home:
            await home.deploy(Pit)
            pid = await home.get(Pit).pid()
        assert is_gone(pid)


def children():
    return [child.pid for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]


NODE = """
import sys, trio, aether
sys.path.insert(0, {folder!r})
from worker_slices import Pit

async def main():
    async with aether.Cluster.open(Pit) as cluster:
        pit = cluster.get(Pit)
        print(await pit.pid(), flush=True)
        await pit.block(600.0)

trio.run(main)
"""


async def test_no_worker_outlives_a_killed_node_even_when_it_computes(tmp_path):
    """It never looks at its socket again, so the kernel has to end it."""
    program = tmp_path / "node.py"
    program.write_text(NODE.format(folder=str(Path(__file__).parent)))
    with trio.fail_after(60.0):
        node = await trio.lowlevel.open_process([sys.executable, str(program)], stdout=subprocess.PIPE)
        async with node.stdout:
            pid = int((await node.stdout.receive_some(64)).split()[0])
            spent_s = psutil.Process(pid).cpu_times().user
            await until(lambda: psutil.Process(pid).cpu_times().user > spent_s + 0.1)
            node.kill()
            await node.wait()
            await until(lambda: is_gone(pid))


# --- hostile ----------------------------------------------------------------------------------------------------------


def frame(message):
    return encode_frame(encode_message(message))


@pytest.mark.parametrize(
    "raw",
    [
        b"\x00\x00\x00\x05hello",
        (2**30).to_bytes(4, "big"),
        frame(CallOut(1, "shop:list-pricing", "quote", 1.0, {"sku": "x"}, {}, {})),
        frame(MapAccess(1, "book", "count", [])),
        frame(Stop(at_once=True)),
        frame(Hello(PROTOCOL + 1, 1)),
    ],
    ids=["no msgpack", "too long", "a call it was not given", "a map it was not given", "an order", "another protocol"],
)
async def test_a_worker_that_says_what_none_may_say_is_ended_alone(pit_of, raw):
    """User code can take its process over, and then harms itself only."""
    async with pit_of() as (home, pit, instance):
        await home.deploy(ListPricing)
        with contextlib.suppress(OutcomeUnknown):
            await pit.say(raw)
        await until(lambda: home.crashes)

        assert [crashed for crashed, _ in home.crashes] == [instance]
        assert "said what no worker says" in str(home.crashes[0][1])
        assert await home.get(ListPricing).quote("x") == 5


async def test_replies_that_nobody_waits_for_are_ignored(pit_of):
    async with pit_of() as (home, pit, _instance):
        for call_id in (0, 1, 10**9):
            await pit.say(frame(CallReply(call_id, Done("forged"))))
        assert await pit.add(1, 2) == 3
        assert home.crashes == []


async def test_a_flood_of_calls_is_refused_beyond_its_bound(home_of):
    """Each waits in the node; what one worker may have there is bounded."""
    with trio.fail_after(60.0):
        async with home_of() as home:
            await home.deploy(ListPricing)
            instance = await home.deploy(Till, host="process")
            outward = home.hosting.find(instance)._outward
            answers = []
            outward._mail = SimpleNamespace(send=lambda answer: answers.append(answer) or True, post=answers.append)
            for call_id in range(WORKER_CALLS_OUT_MAX + 5):
                outward.call(CallOut(call_id, "shop:list-pricing", "quote", 30.0, {"sku": "hang"}, {}, {}), "")

            assert [answer.error[0] for answer in answers] == ["Overloaded"] * 5
            with pytest.raises(BadInput, match="open already"):
                outward.call(CallOut(1, "shop:list-pricing", "quote", 30.0, {"sku": "x"}, {}, {}), "")
            outward.withdraw(Withdraw(0), "")
            outward.access(MapAccess(9_999, "book", "count", []), "")
            await until(lambda: any(a.call_id == 9_999 for a in answers))
            assert next(a for a in answers if a.call_id == 9_999).value == 0
            with pytest.raises(BadInput, match="no operation"):
                outward.access(MapAccess(1, "book", "clear", []), "")


# --- scripts ----------------------------------------------------------------------------------------------------------

SCRIPT = """
import os
import trio
import aether

@aether.slice(host="process")
class Apart:
    async def pid(self) -> int:
        return os.getpid()

async def main():
    async with aether.Cluster.open(Apart) as cluster:
        print(os.getpid() != await cluster.get(Apart).pid(), flush=True)

{start}
"""


def run_script(tmp_path, start):
    (tmp_path / "script.py").write_text(SCRIPT.format(start=start))
    return subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=50
    )


def test_a_script_can_hold_the_slices_that_it_opens(tmp_path):
    """A tutorial's one file must do; its main block does not run again in the worker."""
    done = run_script(tmp_path, 'if __name__ == "__main__":\n    trio.run(main)')

    assert (done.stdout, done.returncode) == ("True\n", 0), done.stderr


def test_a_script_that_opens_its_cluster_when_imported_is_told_so(tmp_path):
    done = run_script(tmp_path, "trio.run(main)")

    assert 'put that below `if __name__ == "__main__":`' in done.stderr
    assert done.returncode == 1


def test_a_worker_starts_no_workers(monkeypatch):
    """A program that opens its cluster in some other way when it is imported would start them without end."""
    monkeypatch.setenv("AETHER_WORKER", "1")
    with pytest.raises(ContractError, match="__main__"):
        start_worker([])


async def test_the_end_of_a_worker_is_seen_where_the_kernel_offers_no_descriptor_for_it(monkeypatch):
    def refused(_pid):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(os, "pidfd_open", refused, raising=False)
    process = start_worker(sys.path)
    with contextlib.closing(process.end), contextlib.closing(process.mark), trio.fail_after(SOON_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(process.wait)
            await trio.testing.wait_all_tasks_blocked()
            process.kill()
    assert process.status == -signal.SIGKILL


def low_priority(own):
    """Of what gives way beside a process of priority `own`."""
    return min(own + 10, 19)


def niceness(pid):
    """Of each thread of a process, the first one first."""
    found: list[int] = []
    for task in sorted(Path(f"/proc/{pid}/task").iterdir(), key=lambda task: int(task.name)):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it is over
            found.append(int((task / "stat").read_text().rpartition(") ")[2].split()[16]))
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="only there a thread has a priority of its own")
async def test_a_worker_loads_at_low_priority_and_serves_at_that_of_its_node():
    """An update starts many beside the requests of their nodes."""
    own = os.getpriority(os.PRIO_PROCESS, 0)
    process = start_worker(sys.path)
    with contextlib.closing(process.end), contextlib.closing(process.mark), trio.fail_after(SOON_S):
        while niceness(process.pid) != [own, low_priority(own)]:
            await trio.lowlevel.checkpoint()
        await trio.lowlevel.wait_readable(process.end)  # it says hello
        while set(niceness(process.pid)) != {own}:  # a thread that is over may be seen for a moment
            await trio.lowlevel.checkpoint()
        process.kill()
        await process.wait()
    assert process.status == -signal.SIGKILL


@pytest.mark.skipif(sys.platform != "linux", reason="only there a thread has a priority of its own")
async def test_a_worker_that_only_describes_keeps_a_low_priority():
    own = os.getpriority(os.PRIO_PROCESS, 0)
    process = start_worker(sys.path, leads=True)
    with contextlib.closing(process.end), contextlib.closing(process.mark), trio.fail_after(SOON_S):
        await trio.lowlevel.wait_readable(process.end)
        while set(niceness(process.pid)) != {low_priority(own)}:  # a thread that is over may be seen for a moment
            await trio.lowlevel.checkpoint()
        process.kill_family()
        await process.wait()
    assert process.status == -signal.SIGKILL


# --- what cannot live there -------------------------------------------------------------------------------------------


async def test_a_class_that_no_other_process_can_import_is_refused_with_the_reason(home_of):
    @aether.slice(artifact="shop:inner:1.0.0", host="process")
    class Inner:
        async def pid(self) -> int:
            return os.getpid()

    async with home_of() as home:
        with pytest.raises(ContractError, match="top of a module"):
            await home.deploy(Inner)


async def test_an_unknown_host_is_refused_with_the_known_ones(home_of):
    async with home_of() as home:
        with pytest.raises(NotFound, match="node, process"):
            await home.deploy(ListPricing, host="moon")


async def test_memory_without_a_process_of_its_own_is_refused(home_of):
    async with home_of() as home:
        with pytest.raises(BadInput, match="memory_mb"):
            await home.deploy(ListPricing, memory_mb=512)


# --- what a call carries ----------------------------------------------------------------------------------------------


async def test_request_id_trace_and_context_variables_lead_through_a_worker(home_of):
    """Into the process, and out of it to the next call."""
    with trio.fail_after(60.0):
        async with home_of() as home:
            await home.deploy(Carried)
            await home.deploy(Carrying, host="process")
            with TENANT.set("acme"):
                inside, behind = await home.get(Carrying).seen()
    assert inside[:1] == behind[:1] == ["acme"]
    assert inside[1] == behind[1]
    assert len(inside[1]) == 32
    assert inside[2] == behind[2] != ""
    assert inside[3] == behind[3]
    assert (inside[4], behind[4]) == ("Carrying", "Carried")
