"""A slice instance from injection to its last call, in virtual time."""

import contextlib

import pytest
import trio
import trio.testing
from worker_slices import ListPricing, OutOfStock, Quotes

import aether.slice_api.decorators as aether
from aether.errors import (
    BadInput,
    CallFailed,
    Conflict,
    ContractError,
    NoInstance,
    NotFound,
    OutcomeUnknown,
    Overloaded,
)
from aether.hosting.failures import BAD_INPUT
from aether.invocation.reply import Done, Faulted, Form
from aether.model.artifact import Artifact
from aether.model.ids import InstanceId
from aether.slice_api.binding import bind
from aether.slice_api.fields import config, secret, state
from aether.slice_api.http import HttpInput

# --- calls, in every way ------------------------------------------------------------------------------------


@pytest.fixture
def priced(way, home_of):
    """Proxies to a running ListPricing, in each of the ways in which a call can travel."""

    @contextlib.asynccontextmanager
    async def opened():
        async with home_of(wire=way == "wire") as home:
            await home.deploy(ListPricing, host="tree" if "tree" in way else "process" if "worker" in way else None)
            remote = way in ("remote", "far worker")
            yield home, home.get(Quotes, ListPricing, remote=remote), home.get(ListPricing, remote=remote)

    return opened


async def test_a_call_fills_what_the_caller_omits_with_the_callees_default(priced, clock):
    async with priced() as (_, quotes, _pricing):
        assert await quotes.quote("x") == 5
        assert await quotes.quote("x", qty=3) == 15


async def test_a_fault_arrives_as_its_own_class_with_its_fields(priced, clock):
    async with priced() as (_, quotes, pricing):
        for proxy in (quotes, pricing):
            with pytest.raises(OutOfStock) as caught:
                await proxy.quote("none")
            assert caught.value.sku == "none"


async def test_a_fault_raised_inside_a_nursery_keeps_its_class(priced, clock):
    """Structured concurrency wraps it in a group; the caller's `except OutOfStock` must still work."""
    async with priced() as (_, quotes, _pricing):
        with pytest.raises(OutOfStock):
            await quotes.quote("group")


async def test_a_foreign_exception_arrives_as_call_failed_with_every_fact(priced, clock):
    async with priced() as (_, quotes, _pricing):
        with pytest.raises(CallFailed) as caught:
            await quotes.quote("broken")
        error = caught.value

        assert (error.kind, error.message) == ("ValueError", "no such price")
        assert (error.slice, error.method, error.node) == ("ListPricing", "quote", "n1")
        assert error.instance == "list-pricing-1"
        assert 'raise ValueError("no such price")' in error.remote_traceback
        assert "aether/hosting" not in error.remote_traceback, "the runtime's frames say nothing to a slice author"


async def test_a_co_located_failure_chains_the_original(home_of, autojump_clock):
    """In a debugger the real exception is worth more than its text."""
    async with home_of() as home:
        await home.deploy(ListPricing)
        with pytest.raises(CallFailed) as caught:
            await home.get(ListPricing).quote("broken")

        assert isinstance(caught.value.__cause__, ValueError)


async def test_a_time_out_inside_the_method_crosses_as_itself_and_says_where(priced, clock):
    async with priced() as (_, quotes, _pricing):
        said = r"ListPricing.quote 0.50 s" if clock else r"ListPricing.quote \d+\.\d\d s"
        with pytest.raises(trio.TooSlowError, match=said) as caught:
            await quotes.quote("slow")

        assert "where the time went" in caught.value.__notes__[0]


async def test_arguments_and_results_are_never_shared(priced, clock):
    """A callee that changes its argument must not change the caller's, on one node or on two."""
    async with priced() as (_, _quotes, pricing):
        mine = ["caller"]
        theirs = await pricing.mutate(mine)

        assert (mine, theirs) == (["caller"], ["caller", "callee"])


async def test_wrong_arguments_are_a_type_error_before_anything_is_sent(priced, clock):
    async with priced() as (_, quotes, _pricing):
        with pytest.raises(TypeError, match="colour"):
            await quotes.quote("x", colour="red")
        with pytest.raises(TypeError):
            await quotes.quote()
        with pytest.raises(BadInput, match="qty"):
            await quotes.quote("x", qty="3")


async def test_a_blocking_method_is_awaited_by_its_callers(priced, clock):
    async with priced() as (_, _quotes, pricing):
        assert await pricing.read("x") == "X"


async def test_a_blocking_method_runs_outside_the_loop(home_of, autojump_clock):
    """A slow disk read in the loop would stop the heartbeats of the whole node."""

    class Recorder:
        def __init__(self):
            self.runs = 0

        async def run(self, function, *args):
            self.runs += 1
            await trio.sleep(1.0)
            return function(*args)

    work = Recorder()
    async with home_of(work=work) as home:
        await home.deploy(ListPricing)
        await home.get(ListPricing).read("x")

        assert work.runs == 1
        assert trio.current_time() == 1.0


async def test_an_instance_has_at_most_as_many_threads_as_calls(home_of, autojump_clock):
    """One slice that fans out into blocking methods of its own must leave threads for the others."""

    class Counting:
        running, most = 0, 0

        async def run(self, function, *args):
            self.running += 1
            self.most = max(self.most, self.running)
            await trio.sleep(1.0)
            self.running -= 1
            return function(*args)

    @aether.slice(artifact="shop:fan:1.0.0", concurrency=2)
    class Fan:
        @aether.blocking
        def read(self) -> int:
            return 1

        async def spread(self) -> None:
            async with trio.open_nursery() as nursery:
                for _ in range(6):
                    nursery.start_soon(self.read)

    work = Counting()
    async with home_of(work=work) as home:
        await home.deploy(Fan)
        await home.get(Fan).spread()

        assert work.most == 2
        assert trio.current_time() == 3.0


async def call_raw(home, payload, form=Form.WIRE, method="quote"):
    return await home.invoker.call(Artifact.parse("shop:list-pricing:1.0.0").base, method, payload, form=form)


async def test_payloads_that_do_not_fit_are_answered_with_every_problem(priced, clock):
    """The payload comes from the network; a 500 with a traceback would blame the slice for the caller's mistake."""
    async with priced() as (home, _quotes, _pricing):
        for payload in ({"sku": 7}, {}, {"sku": 7, "more": 1}, None, [1]):
            reply = await call_raw(home, payload)
            assert isinstance(reply, Faulted)
            assert (reply.fault.name, reply.fault.status) == (BAD_INPUT, 422)
            assert reply.fault.fields["problems"]


async def test_an_argument_of_a_newer_contract_is_left_out(priced, clock):
    """In a rolling update newer callers meet older instances, and their calls must not fail for that."""
    async with priced() as (home, _quotes, _pricing):
        assert await call_raw(home, {"sku": "x", "more": 1}) == await call_raw(home, {"sku": "x"})


async def test_a_request_in_http_form_is_decoded_where_the_code_is(priced, clock):
    async with priced() as (home, _quotes, _pricing):
        request = HttpInput(verb="GET", template="/price/{sku}", path={"sku": "x"}, query={"qty": ["2"]})

        assert await call_raw(home, request.to_plain(), Form.HTTP, "price") == Done(
            [200, "application/json", b"10", "1.0.0"]
        )
        assert isinstance(await call_raw(home, ["nonsense"], Form.HTTP, "price"), Faulted)


async def test_a_method_that_this_version_does_not_have_fails_with_its_name(priced, clock):
    async with priced() as (home, _quotes, _pricing):
        reply = await call_raw(home, {}, method="vanish")

        assert (reply.kind, reply.method) == ("NotInContract", "vanish")


async def test_a_private_method_cannot_be_called_from_outside(priced, clock):
    """Only what the contract names is reachable by name."""
    async with priced() as (home, _quotes, _pricing):
        for name in ("_fail", "__init__", "__class__"):
            assert (await call_raw(home, {}, method=name)).kind == "NotInContract"


# --- limits and drain -------------------------------------------------------------------------------------------------


@aether.slice(artifact="shop:gate:1.0.0", concurrency=2, queue=1)
class Gate:
    opened: trio.Event = state(factory=trio.Event)

    async def enter(self, wait: bool = True) -> str:
        if wait:
            await self.opened.wait()
        return "in"

    async def open(self) -> None:
        self.opened.set()


def instance_of(home, instance):
    return home.hosting.find(instance)


async def test_beyond_concurrency_and_queue_calls_are_refused_at_once(home_of, autojump_clock):
    async with home_of() as home:
        instance = await home.deploy(Gate)
        gate = home.get(Gate)
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(gate.enter)
            await trio.testing.wait_all_tasks_blocked()
            assert instance_of(home, instance).running == 2
            with pytest.raises(Overloaded):
                await gate.enter()
            nursery.cancel_scope.cancel()

        assert instance_of(home, instance).running == 0


async def test_a_drain_lets_running_calls_finish_and_refuses_new_ones(home_of, autojump_clock):
    async with home_of() as home:
        instance = await home.deploy(Gate)
        gate, answers = home.get(Gate), []
        async with trio.open_nursery() as nursery:

            async def call():
                answers.append(await gate.enter())

            nursery.start_soon(call)
            await trio.testing.wait_all_tasks_blocked()
            opened = instance_of(home, instance)._instance.opened
            nursery.start_soon(home.hosting.deactivate, instance)
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(NoInstance, match="draining"), trio.fail_after(1.0):
                await gate.enter(wait=False)
            opened.set()

        assert answers == ["in"]
        assert instance_of(home, instance) is None


async def test_a_call_that_outlasts_the_drain_is_cut_off_with_an_unknown_outcome(home_of, autojump_clock):
    async with home_of(drain_s=3.0) as home:
        instance = await home.deploy(Gate)
        gate = home.get(Gate)
        async with trio.open_nursery() as nursery:

            async def call():
                with pytest.raises(OutcomeUnknown):
                    await gate.enter()

            nursery.start_soon(call)
            await trio.testing.wait_all_tasks_blocked()
            began = trio.current_time()
            await home.stop(Gate, instance)

        assert trio.current_time() - began == 3.0


async def test_calls_that_wait_in_the_queue_of_a_draining_instance_run_on_another(home_of, autojump_clock):
    """Waiting is not starting: no call of a drained instance is lost."""
    async with home_of() as home:
        first = await home.deploy(Gate)
        gate, answers = home.get(Gate), []
        async with trio.open_nursery() as nursery:

            async def call(wait):
                answers.append(await gate.enter(wait=wait))

            nursery.start_soon(call, True)
            nursery.start_soon(call, True)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(call, False)  # waits in the queue of `first`
            await trio.testing.wait_all_tasks_blocked()
            await home.deploy(Gate)
            nursery.start_soon(home.hosting.deactivate, first)
            await trio.testing.wait_all_tasks_blocked()
            assert answers == ["in"], "it ran while both slots of `first` were still taken"
            instance_of(home, first)._instance.opened.set()

        assert answers == ["in"] * 3


# --- injection --------------------------------------------------------------------------------------------------------


@aether.slice(artifact="shop:place-order:1.0.0")
class PlaceOrder:
    pricing: Quotes
    missing: Gate | None
    currency: str = config("shop.currency", default="EUR")
    limit: int = config("shop.limit", default=3)
    token: str = secret("shop.token", default="")
    seen: list[str] = state(factory=list)
    retries: int = 7

    async def facts(self) -> list[str]:
        return [self.currency, str(self.limit), self.token, str(self.retries), str(self.missing), str(self.seen)]

    async def place(self, sku: str) -> int:
        self.seen.append(sku)
        return await self.pricing.quote(sku, 2)


async def test_every_kind_of_field_gets_its_value(home_of, autojump_clock):
    async with home_of(config={"shop.currency": "USD", "shop.limit": "9"}, secrets={"shop.token": "t"}) as home:
        await home.deploy(ListPricing)
        await home.deploy(PlaceOrder, config={"shop.currency": "CHF"})
        order = home.get(PlaceOrder)

        assert await order.place("x") == 10
        assert await order.facts() == ["CHF", "9", "t", "7", "None", "['x']"]


@aether.slice(artifact="shop:alike:1.0.0")
class Alike:
    async def quote(self, sku: str, qty: int = 1) -> int:
        return qty


async def test_a_protocol_found_by_its_methods_alone_is_said_once(home_of, autojump_clock, caplog):
    """Worth a line, since nobody wrote it down; not one for each instance and look."""
    caplog.set_level("INFO", "aether.hosting")
    async with home_of() as home:
        await home.deploy(Alike)
        for _ in range(3):
            await home.deploy(PlaceOrder)

    said = [record.getMessage() for record in caplog.records if "implemented by" in record.getMessage()]
    assert said == ["Quotes is implemented by Alike, which matches its methods"]


async def test_a_fault_of_a_dependency_passes_through_a_slice(home_of, autojump_clock):
    """PlaceOrder does not declare OutOfStock; it is still the callee's answer, not a failure of PlaceOrder."""
    async with home_of(wire=True) as home:
        await home.deploy(ListPricing)
        await home.deploy(PlaceOrder)
        with pytest.raises(OutOfStock):
            await home.get(PlaceOrder).place("none")


async def test_an_instance_waits_for_a_dependency_and_says_for_which(home_of, autojump_clock):
    async with home_of() as home:
        home.classes.add(PlaceOrder, ListPricing)
        order = await home.desire(PlaceOrder)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(home.start, order)
            await trio.testing.wait_all_tasks_blocked()
            assert home.waits == ["PlaceOrder.pricing waits for shop:list-pricing, which is not deployed"]
            await home.desire(ListPricing)

        assert home.waits[-1] == ""
        assert home.hosting.find(InstanceId("place-order-1")) is not None


async def test_two_implementations_are_refused_never_guessed(home_of, autojump_clock):
    @aether.slice(artifact="shop:flat-pricing:1.0.0")
    class FlatPricing(Quotes):
        async def quote(self, sku: str, qty: int = 1) -> int:
            return 1

    async with home_of() as home:
        await home.deploy(ListPricing)
        await home.deploy(FlatPricing)
        with pytest.raises(ContractError, match="FlatPricing, ListPricing"):
            await home.deploy(PlaceOrder)
        await home.deploy(PlaceOrder, bind={"Quotes": "shop:flat-pricing"})

        assert await home.get(PlaceOrder).place("x") == 1


async def test_a_binding_of_the_process_decides_where_the_blueprint_does_not(home_of, autojump_clock):
    @aether.slice(artifact="shop:free-pricing:1.0.0")
    class FreePricing(Quotes):
        async def quote(self, sku: str, qty: int = 1) -> int:
            return 0

    async with home_of(bindings=[bind(Quotes).to(FreePricing)]) as home:
        await home.deploy(ListPricing)
        await home.deploy(FreePricing)
        await home.deploy(PlaceOrder)

        assert await home.get(PlaceOrder).place("x") == 0


async def test_a_field_with_a_default_is_injected_only_when_it_is_bound(home_of, autojump_clock):
    """A default says "works without": the nearest implementation must not creep in."""

    @aether.slice(artifact="shop:quoting:1.0.0")
    class Quoting:
        pricing: Quotes | None = None

        async def has(self) -> bool:
            return self.pricing is not None

    async with home_of() as home:
        await home.deploy(ListPricing)
        await home.deploy(Quoting)
        assert await home.get(Quoting).has() is False
        bound = await home.desire(Quoting, bind={"pricing": "shop:list-pricing"})
        await home.start(bound)
        assert {await home.get(Quoting).has() for _ in range(50)} == {True, False}


async def test_configuration_of_a_wrong_type_names_its_key_and_value(home_of, autojump_clock):
    async with home_of(config={"shop.limit": "many"}) as home:
        await home.deploy(ListPricing)
        with pytest.raises(BadInput, match=r"shop\.limit.*expected int.*many"):
            await home.deploy(PlaceOrder)


async def test_a_missing_configuration_value_names_its_key(home_of, autojump_clock):
    @aether.slice(artifact="shop:keyed:1.0.0")
    class Keyed:
        key: str = config("shop.key")

        async def get(self) -> str:
            return self.key

    async with home_of() as home:
        with pytest.raises(NotFound, match=r"shop\.key"):
            await home.deploy(Keyed)
        await home.deploy(Keyed, config={"shop.key": "k"})
        assert await home.get(Keyed).get() == "k"


# --- life -------------------------------------------------------------------------------------------------------------


LOG: list[str] = []


@aether.slice(artifact="shop:living:1.0.0")
class Living:
    crash_after_s: float = config("living.crash", default=0.0)
    start: str = config("living.start", default="")

    @aether.lifespan
    async def lifespan(self, nursery: trio.Nursery):
        LOG.append("start")
        if self.start == "raise":
            raise ValueError("no database")
        if self.start == "hang":
            await trio.sleep_forever()
        nursery.start_soon(self._in_nursery)
        try:
            yield
            LOG.append("stop")
        finally:
            LOG.append("closed")

    async def _in_nursery(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            LOG.append("nursery cancelled")

    @aether.background
    async def refresh(self) -> None:
        LOG.append("background")
        try:
            if self.crash_after_s:
                await trio.sleep(self.crash_after_s)
                raise ValueError("refresh broke")
            await trio.sleep_forever()
        finally:
            LOG.append("background ended")

    async def ping(self, wait_s: float = 0.0) -> str:
        LOG.append("call")
        await trio.sleep(wait_s)
        return "pong"


@pytest.fixture(autouse=True)
def _fresh_log():
    LOG.clear()


async def test_the_lifespan_brackets_every_call_and_the_instances_own_tasks(home_of, autojump_clock):
    async with home_of() as home:
        instance = await home.deploy(Living)
        assert await home.get(Living).ping() == "pong"
        await home.stop(Living, instance)

    assert LOG == ["start", "background", "call", "background ended", "stop", "closed", "nursery cancelled"]


async def test_a_start_that_raises_tells_why_and_leaves_nothing_behind(home_of, autojump_clock):
    async with home_of() as home:
        with pytest.raises(ValueError, match="no database"):
            await home.deploy(Living, config={"living.start": "raise"})

        assert home.hosting.find(InstanceId("living-1")) is None
        assert home.crashes == []
        await home.hosting.unload(InstanceId("living-1"))


async def test_a_start_that_hangs_is_ended_by_cancelling_activate(home_of, autojump_clock):
    """Deployment bounds the start; nothing of the instance may live on."""
    async with home_of() as home:
        with trio.move_on_after(60.0):
            await home.deploy(Living, config={"living.start": "hang"})
        await trio.testing.wait_all_tasks_blocked()

        assert trio.current_time() == 60.0
        assert home.hosting.find(InstanceId("living-1")) is None


async def test_a_crashed_background_task_ends_the_instance_and_is_reported(home_of, autojump_clock):
    """The deployment manager restarts it with back-off; calls that ran have an unknown outcome, not a hang."""
    async with home_of() as home:
        instance = await home.deploy(Living, config={"living.crash": "5.0"})
        with pytest.raises(OutcomeUnknown):
            await home.get(Living).ping(wait_s=20.0)

        assert trio.current_time() == 5.0
        await trio.testing.wait_all_tasks_blocked()
        assert home.hosting.find(instance) is None
        ((reported, error),) = home.crashes
        assert reported == instance
        assert repr(error) == "ValueError('refresh broke')"
        assert LOG[-3:-1] == ["background ended", "closed"] or LOG[-2:] == ["closed", "nursery cancelled"]


async def test_a_crash_of_one_instance_leaves_the_others_alone(home_of, autojump_clock):
    async with home_of() as home:
        await home.deploy(ListPricing)
        await home.deploy(Living, config={"living.crash": "1.0"})
        await trio.sleep(2.0)

        assert await home.get(ListPricing).quote("x") == 5


async def test_a_stop_that_hangs_is_ended_by_cancelling_deactivate(home_of, autojump_clock):
    @aether.slice(artifact="shop:sticky:1.0.0")
    class Sticky:
        @aether.lifespan
        async def lifespan(self):
            yield
            await trio.sleep_forever()

        async def ping(self) -> None: ...

    async with home_of() as home:
        instance = await home.deploy(Sticky)
        with trio.move_on_after(30.0):
            await home.hosting.deactivate(instance)
        await trio.testing.wait_all_tasks_blocked()

        assert trio.current_time() == 30.0
        assert home.hosting.find(instance) is None


async def test_a_stop_that_fails_is_told_to_who_stopped_it_and_is_no_crash(home_of, autojump_clock):
    """As a crash it would be started again, though nobody wants it any more."""

    @aether.slice(artifact="shop:untidy:1.0.0")
    class Untidy:
        @aether.lifespan
        async def lifespan(self):
            yield
            raise ValueError("could not close")

        async def ping(self) -> None: ...

    async with home_of() as home:
        instance = await home.deploy(Untidy)
        with pytest.raises(ValueError, match="could not close"):
            await home.hosting.deactivate(instance)

        assert home.crashes == []


async def test_an_instance_id_runs_at_most_once(home_of, autojump_clock):
    async with home_of() as home:
        await home.deploy(ListPricing)
        home._count = 0
        with pytest.raises(Conflict, match="list-pricing-1"):
            await home.deploy(ListPricing)


async def test_stopping_the_node_ends_every_instance(home_of, autojump_clock):
    async with home_of() as home:
        await home.deploy(Living)

    assert "closed" in LOG
    assert "nursery cancelled" in LOG
