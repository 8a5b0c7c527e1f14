"""What a proxy raises for each outcome of a call."""

from typing import Protocol

import pytest
import trio

from aether.errors import BadInput, CallFailed, NotInContract, OutcomeUnknown
from aether.invocation.hops import Hop
from aether.invocation.proxy import bind_proxy
from aether.invocation.reply import Done, Failed, Faulted, TimedOut
from aether.model.artifact import ArtifactBase
from aether.slice_api.call import PLAIN
from aether.slice_api.contract import contract_of
from aether.slice_api.faults import Fault, FaultPlain


class SoldOut(Fault):
    """Nothing left."""

    sku: str


class Stock(Protocol):
    async def take(self, sku: str, qty: int = 1) -> int: ...


class Answering:
    """A caller that answers every call with `reply`."""

    def __init__(self, reply):
        self.reply = reply
        self.calls = []

    async def call(self, target, method, payload, *, form, request_id="", options=PLAIN):
        self.calls.append((str(target), method, payload))
        self.options = options
        return self.reply

    def too_slow(self, hops):
        return trio.TooSlowError(hops.name)


def stock(reply):
    caller = Answering(reply)
    return bind_proxy(contract_of(Stock), ArtifactBase.parse("shop:stock"), caller), caller


async def test_a_result_is_structured_and_only_given_arguments_travel():
    """The callee's default must decide, so what the caller omitted must not be sent."""
    proxy, caller = stock(Done(3))

    assert await proxy.take("a") == 3
    assert caller.calls == [("shop:stock", "take", {"sku": "a"})]


async def test_a_result_of_a_wrong_type_is_an_error_and_not_a_surprise_later():
    proxy, _ = stock(Done("three"))
    with pytest.raises(BadInput, match=r"Stock\.take"):
        await proxy.take("a")


async def test_a_known_fault_is_raised_as_its_class():
    proxy, _ = stock(Faulted(FaultPlain("SoldOut", 409, "Sold out", "Nothing left.", {"sku": "a"})))
    with pytest.raises(SoldOut) as caught:
        await proxy.take("a")

    assert caught.value.sku == "a"


async def test_a_fault_unknown_here_keeps_its_name_and_fields():
    """A caller on another version must still be able to log what happened."""
    proxy, _ = stock(Faulted(FaultPlain("FromTheFuture", 409, "New", "Something new.", {"sku": "a"})))
    with pytest.raises(CallFailed, match=r"FromTheFuture: Something new\. \(sku='a'\)"):
        await proxy.take("a")


async def test_refused_arguments_come_back_with_every_problem():
    fields = {"what": "the arguments do not fit", "problems": ["qty: expected int", "sku: missing"]}
    proxy, _ = stock(Faulted(FaultPlain("BadInput", 422, "Unprocessable Content", "", fields)))
    with pytest.raises(BadInput) as caught:
        await proxy.take("a")

    assert list(caught.value.problems) == fields["problems"]


async def test_a_failure_carries_the_remote_traceback_as_a_note():
    proxy, _ = stock(Failed(kind="KeyError", message="'a'", traceback="Traceback: line 7", node="n2", attempt=2))
    with pytest.raises(CallFailed) as caught:
        await proxy.take("a")

    assert (caught.value.kind, caught.value.node, caught.value.attempt) == ("KeyError", "n2", 2)
    assert "line 7" in caught.value.__notes__[0]


@pytest.mark.parametrize("kind", ["NoQuorum", "NoInstance", "Overloaded", "OutcomeUnknown"])
async def test_a_method_stopped_half_way_by_what_it_called_is_no_defect_of_it(kind):
    """The caller of the caller may repeat what is idempotent, however many slices lie between."""
    proxy, _ = stock(Failed(kind=kind, message="down", slice="Stock", method="take", node="n2", traceback="line 7"))
    with pytest.raises(OutcomeUnknown, match=rf"Stock\.take stopped half-way, by {kind}: down") as caught:
        await proxy.take("a")

    cause = caught.value.__cause__
    assert isinstance(cause, CallFailed)
    assert (cause.kind, cause.node) == (kind, "n2")


async def test_a_time_out_is_trios_own():
    proxy, _ = stock(TimedOut(Hop("Stock.take", 1.0, True)))
    with pytest.raises(trio.TooSlowError, match=r"Stock\.take"):
        await proxy.take("a")


async def test_nothing_is_sent_for_arguments_that_do_not_fit():
    proxy, caller = stock(Done(1))
    with pytest.raises(TypeError):
        await proxy.take()
    with pytest.raises(BadInput):
        await proxy.take("a", qty="many")
    with pytest.raises(NotInContract):
        await proxy.give("a")

    assert caller.calls == []
