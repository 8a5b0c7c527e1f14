"""What happens at the worst moment to an instance and to a worker: a drain beside a freed slot, a full socket."""

import contextlib
import socket
from random import Random
from types import SimpleNamespace

import pytest
import trio
import trio.testing

import aether.slice_api.decorators as aether
from aether.hosting.chained import ChainedInstance
from aether.hosting.failures import Place
from aether.hosting.hosts import Birth
from aether.hosting.instance import RunningInstance
from aether.hosting.worker_calls import WorkerCalls
from aether.hosting.worker_main import Worker
from aether.hosting.worker_messages import Log
from aether.hosting.worker_streams import NodeStreams
from aether.invocation.messages import CallCancel, CallReply
from aether.invocation.reply import DRAINING, Abandoned, Done, Failed, Form, NotStarted
from aether.invocation.stream_messages import StreamOpened, StreamRequest
from aether.invocation.tracer import Tracer
from aether.model.ids import InstanceId
from aether.slice_api.contract import contract_of
from aether.work import InlineWork


@aether.slice(artifact="shop:till:1.0.0", concurrency=1, queue=5)
class Till:
    @aether.lifespan
    async def life(self):
        self.is_open, self.seen = True, []
        yield
        self.is_open = False

    async def take(self) -> int:
        await trio.sleep(1.0)
        self.seen.append(self.is_open)
        return 1


@pytest.mark.parametrize("seed", range(8))
async def test_no_call_begins_when_its_turn_and_the_stop_come_at_once(seed, autojump_clock, monkeypatch):
    """Whoever runs first, the call or the drain: nothing runs after the lifespan was left."""
    monkeypatch.setattr(trio._core._run, "_r", Random(seed))
    till = Till()
    place = Place(slice="Till", instance="till-1", node="n1")
    instance = RunningInstance(till, contract_of(Till), place, InlineWork(), 10.0)
    outcomes = []

    async def first():
        outcomes.append(await instance.serve("take", {}, Form.WIRE, trio.CancelScope()))
        instance.stop()  # in the turn of the loop in which the slot goes to the next

    async def second():
        outcomes.append(await instance.serve("take", {}, Form.WIRE, trio.CancelScope()))

    async with trio.open_nursery() as nursery:
        await nursery.start(instance.live)
        nursery.start_soon(first)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(second)
    assert outcomes[0] == Done(1)
    assert outcomes[1] in (Done(1), NotStarted(DRAINING))
    assert all(till.seen)


async def test_a_worker_says_that_a_call_was_cancelled_however_much_is_queued():
    """Its node keeps the slot of that call until it hears so; unheard, the slot would be lost for good."""
    mine, theirs = socket.socketpair()
    with theirs:
        worker = Worker(mine, SimpleNamespace(number=0))
        for size in (10_000, 0):
            while worker._link.send(Log(20, "user", "x" * size, 0.0, 0)):
                pass
        queued = worker._link.queued_bytes
        worker._cancelled(CallCancel(1, "the caller left"), "")
        assert worker._link.queued_bytes > queued
        worker._link.close()


async def test_names_that_no_method_has_leave_nothing_behind_in_front_of_a_worker(autojump_clock):
    class Answering:
        """A worker that knows no method."""

        is_open = True

        def send(self, request, request_id):
            failed = Failed(kind="NotInContract", message="no such method")
            nursery.start_soon(answer, CallReply(request.call_id, failed))
            return True

    async def answer(reply):
        calls.replied(reply, "")

    contract = contract_of(Till)
    place = Place(slice="Till", instance="till-1", node="n1")
    birth = Birth(instance=InstanceId("till-1"), contract=contract, given={}, place=place, drain_s=10.0)
    calls = WorkerCalls(birth, Answering, "")
    async with trio.open_nursery() as nursery:
        for number in range(100):
            scope = trio.CancelScope(deadline=trio.current_time() + 5.0)
            assert isinstance(await calls.serve(f"m{number}", {}, Form.WIRE, scope), Failed)
    assert len(calls._slots._line._medians) <= len(contract.methods) + 1


async def test_a_worker_that_hands_a_stream_on_breaks_that_stream_alone(autojump_clock):
    """No worker does: where its streams come from is the node's to decide."""
    contract = contract_of(Till)
    place = Place(slice="Till", instance="till-1", node="n1")
    birth = Birth(instance=InstanceId("till-1"), contract=contract, given={}, place=place, drain_s=10.0)

    def send(message, request_id):
        if isinstance(message, StreamRequest):
            streams.deliver(StreamOpened(message.call_id, 0, 0, ["shop:vault", "all", {}]), "")
        return True

    tracer = Tracer("n1", Random(1), lambda: 1.0)
    streams = NodeStreams(SimpleNamespace(tracer=tracer), birth, send)
    sink = SimpleNamespace(opened=lambda: None)
    async with trio.open_nursery() as nursery:
        await nursery.start(streams.run)
        with trio.fail_after(5.0):
            assert isinstance(await streams.serve("ticks", {}, Form.WIRE, sink, {}), Abandoned)
        nursery.cancel_scope.cancel()


async def test_middleware_around_a_worker_ends_with_the_time_of_its_call(autojump_clock):
    """It is inside the deadline and the cancellation of the call, as it is around an instance of the node."""

    class Inner:
        name, stopping = "Till", False

        async def serve(self, method, payload, form, scope, around=None):
            with scope:
                return Done(1)

        async def serve_stream(self, method, payload, form, scope, sink, inputs):
            return await self.serve(method, payload, form, scope)

    @contextlib.asynccontextmanager
    async def dawdling(call):
        await trio.sleep(60.0)
        yield

    place = Place(slice="Till", instance="till-1", node="n1")
    instance = ChainedInstance(Inner(), [dawdling], contract_of(Till), place)
    for serve in (
        lambda scope: instance.serve("take", {}, Form.WIRE, scope),
        lambda scope: instance.serve_stream("take", {}, Form.WIRE, scope, None, {}),
    ):
        with trio.fail_after(2.0):
            assert await serve(trio.CancelScope(deadline=trio.current_time() + 1.0)) is None
        assert await serve(trio.CancelScope(deadline=trio.current_time() + 61.0)) == Done(1)
