"""Calls of methods that await nothing: no task and no scope of their own, and the same to see from outside."""

import contextlib
import math
import time
from contextvars import ContextVar

import pytest
import trio
import trio.testing
from worker_slices import OutOfStock

import aether
from aether.errors import BadInput, CallFailed, NoInstance
from aether.hosting.failures import BAD_INPUT
from aether.invocation.messages import CallCancel, CallRequest
from aether.invocation.reply import Done, Form

SEEN = ContextVar("seen", default="nothing")
LEFT_S = 7.0


def _compute(seconds: float) -> None:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


@aether.slice(artifact="shop:prompt:1.0.0", concurrency=1, deadline_s=LEFT_S)
class Prompt:
    @aether.lifespan
    async def life(self):
        self.gate = trio.Event()
        self.ran = 0
        yield

    async def quote(self, sku: str, qty: int = 1) -> int:
        self.ran += 1
        if sku == "none":
            raise OutOfStock(sku=sku)
        if sku == "broken":
            raise ValueError("no such price")
        if sku == "late":
            raise trio.TooSlowError("the books are closed")
        if sku == "long":
            _compute(0.003)
        return 5 * qty

    async def asked(self) -> list[str]:
        call = aether.current_call()
        return [call.request_id, call.slice, call.method, call.instance, call.node, f"{call.remaining_s:g}"]

    async def seen(self) -> str:
        before = SEEN.get()
        SEEN.set("something")
        return before

    async def waits(self) -> None:
        await self.gate.wait()

    async def open_gate(self) -> None:
        self.gate.set()


@pytest.fixture(params=["co-located", "remote", "wire"])
def prompt(request, home_of):
    @contextlib.asynccontextmanager
    async def opened():
        async with home_of(wire=request.param == "wire") as home:
            name = await home.deploy(Prompt)
            yield home, home.get(Prompt, remote=request.param == "remote"), home.hosting.find(name)

    return opened


async def test_results_faults_and_failures_are_those_of_any_call(prompt, autojump_clock):
    async with prompt() as (_, proxy, _instance):
        assert await proxy.quote("x", qty=3) == 15
        with pytest.raises(OutOfStock) as fault:
            await proxy.quote("none")
        assert fault.value.sku == "none"
        with pytest.raises(CallFailed) as failed:
            await proxy.quote("broken")
        error = failed.value
        assert (error.kind, error.message, error.slice, error.method) == (
            "ValueError",
            "no such price",
            "Prompt",
            "quote",
        )
        assert 'raise ValueError("no such price")' in error.remote_traceback
        with pytest.raises(trio.TooSlowError):
            await proxy.quote("late")


async def test_arguments_that_do_not_fit_are_refused_before_it_runs(prompt, autojump_clock):
    async with prompt() as (_, proxy, instance):
        refused = instance.serve_at_once("quote", {"sku": 1}, Form.WIRE, trio.current_time())
        assert refused.fault.name == BAD_INPUT
        with pytest.raises(BadInput, match="qty"):
            await proxy.quote("x", qty="many")
        assert instance._instance.ran == 0


async def test_it_reads_whose_call_it_serves_and_the_time_that_is_left(prompt, autojump_clock):
    async with prompt() as (_, proxy, _instance):
        request, slice_name, method, name, node, left_s = await proxy.asked()
        assert len(request) == 16
        assert (slice_name, method, name, node) == ("Prompt", "asked", "prompt-1", "n1")
        assert LEFT_S - 0.02 < float(left_s) <= LEFT_S
        with trio.fail_after(2.0):
            left_s = (await proxy.asked())[-1]
        assert 1.9 < float(left_s) <= 2.0


async def test_context_variables_of_a_remote_call_are_its_own(home_of, autojump_clock):
    async with home_of() as home:
        await home.deploy(Prompt)
        proxy = home.get(Prompt, remote=True)
        assert [await proxy.seen() for _ in range(3)] == ["nothing"] * 3


async def test_it_waits_for_its_slot_like_any_other(prompt, autojump_clock):
    async with prompt() as (_, proxy, instance):
        done = []

        async def quote():
            done.append(await proxy.quote("x"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(proxy.waits)
            await trio.sleep(0.1)
            nursery.start_soon(quote)
            await trio.sleep(0.1)
            assert (instance.running, instance.waiting, done) == (1, 1, [])
            assert instance.serve_at_once("quote", {"sku": "x"}, Form.WIRE, trio.current_time()) is None
            instance._instance.gate.set()
        assert done == [5]
        assert (instance.running, instance.waiting) == (0, 0)


async def test_a_stopping_instance_serves_nothing_at_once(home_of, autojump_clock):
    async with home_of() as home:
        name = await home.deploy(Prompt)
        instance = home.hosting.find(name)
        await home.stop(Prompt, name)
        assert instance.serve_at_once("quote", {"sku": "x"}, Form.WIRE, trio.current_time()) is None
        with pytest.raises(NoInstance), trio.fail_after(1.0):
            await home.get(Prompt).quote("x")


async def test_only_methods_that_await_nothing_and_compute_briefly_are_served_at_once(home_of, autojump_clock):
    async with home_of() as home:
        name = await home.deploy(Prompt)
        instance = home.hosting.find(name)
        assert {m for m in ("quote", "asked", "seen", "waits", "nonsense") if instance.awaits_nothing(m)} == {
            "quote", "asked", "seen",
        }  # fmt: skip
        assert instance.serve_at_once("waits", {}, Form.WIRE, trio.current_time()) is None
        assert instance.serve_at_once("quote", {"sku": "x"}, Form.WIRE, trio.current_time()) == Done(5)


async def test_what_computes_for_long_lets_others_run_before_it(home_of):
    """By the clock that it computes on."""
    async with home_of() as home:
        name = await home.deploy(Prompt)
        instance = home.hosting.find(name)
        while instance.serve_at_once("quote", {"sku": "long"}, Form.WIRE, trio.current_time()) is not None:
            assert instance._instance.ran < 10
        assert await home.get(Prompt).quote("long") == 5


async def test_a_method_that_was_replaced_on_the_instance_is_what_runs(home_of, autojump_clock):
    async with home_of() as home:
        name = await home.deploy(Prompt)
        instance = home.hosting.find(name)

        async def quote(sku, qty=1):
            await trio.sleep(1)
            return 42

        instance._instance.quote = quote
        assert await home.get(Prompt).quote("x") == 42
        assert await home.get(Prompt, remote=True).quote("x") == 42


async def test_a_method_that_cannot_be_had_is_a_failure_of_its_call(prompt, autojump_clock):
    class Sealed(Prompt):
        @property
        def quote(self):
            raise ValueError("sealed")

    async with prompt() as (_, proxy, instance):
        instance._instance.__class__ = Sealed
        for _ in range(2):  # of co-located calls the first lets others run before it
            with pytest.raises(CallFailed, match="sealed") as failed:
                await proxy.quote("x")
            assert failed.value.slice == "Prompt"


async def test_it_counts_as_any_call(prompt, autojump_clock):
    async with prompt() as (home, proxy, _):
        await proxy.quote("x")
        with pytest.raises(CallFailed):
            await proxy.quote("broken")
        counted = [invoker.statistics().versions for invoker in (home.invoker, home.far.invoker)]
        (counts,) = [versions["shop:prompt:1.0.0"] for versions in counted if versions]
        assert (counts.requests, counts.errors) == (2, 1)


async def test_a_full_mailbox_is_tried_again_for_its_answer(home_of, autojump_clock):
    async with home_of() as home:
        await home.deploy(Prompt)
        refused = [True, True]
        send = home.invoker._server._send

        def refusing(to, message, request_id):
            return not refused.pop() if refused else send(to, message, request_id)

        home.invoker._server._send = refusing
        assert await home.get(Prompt, remote=True).quote("x") == 5
        assert not refused


class Stray(aether.Fault):
    status = 409
    left: int


@aether.slice(artifact="shop:careless:1.0.0")
class Careless:
    """What goes wrong beside a method, and what it leaves behind."""

    @aether.lifespan
    async def life(self, nursery: trio.Nursery):
        self.nursery = nursery
        self.left_s = []
        yield

    async def misspelt(self) -> None:
        raise Stray(left="no number")

    async def leave(self) -> None:
        self.nursery.start_soon(self._later)

    async def _later(self):
        await trio.sleep(100.0)
        self.left_s.append(aether.current_call().remaining_s)


@pytest.mark.parametrize("remote", [False, True])
async def test_a_fault_that_does_not_fit_its_own_fields_ends_one_call_and_not_the_node(home_of, autojump_clock, remote):
    async with home_of() as home:
        await home.deploy(Careless)
        proxy = home.get(Careless, remote=remote)
        for _ in range(2):  # of co-located calls the first lets others run before it
            with pytest.raises(CallFailed, match="does not fit its own fields") as failed:
                await proxy.misspelt()
            assert (failed.value.kind, failed.value.slice, failed.value.method) == ("TypeError", "Careless", "misspelt")


async def test_what_goes_wrong_beside_a_method_ends_one_call_and_not_the_node(home_of, autojump_clock):
    async with home_of() as home:
        name = await home.deploy(Careless)
        proxy, instance = home.get(Careless, remote=True), home.hosting.find(name)
        instance.serve_at_once = lambda *_: math.sqrt(-1.0)
        with pytest.raises(CallFailed, match="math domain error"):
            await proxy.leave()
        del instance.serve_at_once
        assert await proxy.leave() is None


async def test_a_request_that_comes_twice_is_served_once_and_one_behind_its_cancellation_never(home_of, autojump_clock):
    async with home_of() as home:
        name = await home.deploy(Prompt)
        sent = []
        home.invoker._server._send = lambda to, message, request_id: sent.append(message.call_id) or True

        def ask(call_id):
            request = CallRequest(call_id, "shop:prompt", name, "quote", Form.WIRE, 1.0, {"sku": "x"}, 1, {})
            home.invoker.deliver(home.far.node, request, "r")

        ask(1)
        ask(1)
        home.invoker.deliver(home.far.node, CallCancel(2, "its caller left"), "r")
        ask(2)
        await trio.sleep(1.0)
        assert sent == [1]
        assert home.hosting.find(name)._instance.ran == 1


@pytest.mark.parametrize("remote", [False, True])
async def test_tasks_that_it_leaves_behind_have_as_much_time_as_they_like(home_of, autojump_clock, remote):
    async with home_of() as home:
        name = await home.deploy(Careless)
        proxy = home.get(Careless, remote=remote)
        for _ in range(2):  # of co-located calls the first lets others run before it
            await proxy.leave()
        await trio.sleep(101.0)
        assert home.hosting.find(name)._instance.left_s == [math.inf] * 2


@aether.slice(artifact="shop:twins:1.0.0", concurrency=1)
class Twins:
    @aether.method(idempotent=True)
    async def quote(self) -> int:
        return 5


async def test_the_second_leg_of_a_hedged_call_lasts_from_its_own_beginning(home_of, autojump_clock):
    async with home_of() as home:
        busy, _ = [await home.deploy(Twins) for _ in range(2)]
        assert home.hosting.find(busy)._slots.try_take()  # it has no time for anybody
        quote = aether.call(home.get(Twins).quote, hedge_after=2.0)
        assert await quote() == 5
        while home.invoker.statistics().targets["shop:twins"].hedges_won == 0:  # until that one is asked first
            assert await quote() == 5
        assert home.invoker.statistics().versions["shop:twins:1.0.0"].seconds < 1.0


@pytest.mark.parametrize(
    "extra", [{"ctx": 5}, {"ctx": {"a": 1}}, {"trace": "none", "state": 7}, {"prio": []}, {"oneway": "x"}]
)
async def test_what_a_peer_says_beside_its_arguments_may_be_nonsense(home_of, autojump_clock, extra):
    """It is heard by the task that reads the connection, which must live on."""
    async with home_of() as home:
        name = await home.deploy(Prompt)
        heard = []
        home.invoker._server._send = lambda to, message, request_id: heard.append(message) is None
        request = CallRequest(1, "shop:prompt", name, "quote", Form.WIRE, 1.0, {"sku": "x"}, 1, extra)
        home.invoker.deliver(home.far.node, request, "r-1")
        await trio.testing.wait_all_tasks_blocked()
        assert [message.call_id for message in heard] == [1]


async def test_what_fails_outside_the_method_ends_that_call_alone(home_of, autojump_clock, monkeypatch, caplog):
    async with home_of() as home:
        await home.deploy(Prompt)
        proxy = home.get(Prompt, remote=True)
        with monkeypatch.context() as broken:
            broken.setattr(home.invoker.tracer, "served", lambda *_: 1 / 0)
            with pytest.raises(CallFailed, match="division by zero"):
                await proxy.quote("x")
        assert "failed outside the method" in caplog.text
        assert await proxy.quote("x") == 5
