"""Options of a call: they reach whoever carries it out, and plain objects ignore them."""

from collections.abc import AsyncIterator
from typing import Protocol

import pytest

import aether
from aether.errors import BadInput
from aether.slice_api.call import PLAIN, CallOptions, merged
from aether.slice_api.contract import contract_of
from aether.slice_api.proxy import make_proxy


class Payment(Protocol):
    async def charge(self, customer: str, amount: int = 1) -> str: ...
    def rates(self) -> AsyncIterator[int]: ...


class Plain:
    async def charge(self, customer: str, amount: int = 1) -> str:
        return f"{customer} {amount}"


@pytest.fixture
def calls():
    return []


@pytest.fixture
def payment(calls):
    async def carry_out(method, arguments, options=PLAIN):
        calls.append((method.name, arguments, options))
        return "done"

    return make_proxy(contract_of(Payment), carry_out, lambda spec, arguments: None)


async def test_options_travel_beside_the_arguments(payment, calls):
    assert await aether.call(payment.charge, key="order-1")("ann", amount=3) == "done"

    assert calls == [("charge", {"customer": "ann", "amount": 3}, CallOptions(key="order-1"))]


async def test_a_proxy_keeps_nothing_of_the_options_of_one_call(payment, calls):
    """A key that stuck to the proxy would give all later calls the answer of the first."""
    keyed = aether.call(payment.charge, key="order-1")
    await payment.charge("ann")
    await keyed("ann")
    await payment.charge("ann")

    assert [options.key for _, _, options in calls] == ["", "order-1", ""]


async def test_options_add_up(payment, calls):
    """Whoever wraps a method that is wrapped already means both."""
    await aether.call(aether.call(payment.charge, key="k", priority="low"), hedge_after=0.5, priority="high")("ann")

    assert calls[0][2] == CallOptions(key="k", hedge_after=0.5, priority="high")


async def test_a_plain_object_ignores_options():
    """A unit test constructs the slice with fakes, and must not need a cluster."""
    assert await aether.call(Plain().charge, key="k", hedge_after="p95")("ann") == "ann 1"


def test_a_call_that_was_made_already_is_no_method(payment):
    """`aether.call(f(x), key=...)` would otherwise lose the key in silence."""
    made = payment.charge("ann")
    with pytest.raises(TypeError, match="pass the method itself"):
        aether.call(made, key="k")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"key": "k" * 256}, "key: 256 characters"),
        ({"key": 7}, "key: expected text"),
        ({"affinity_key": "k" * 256}, "affinity_key"),
        ({"priority": "urgent"}, "none of low, normal, high"),
        ({"balancer": "least_busy"}, "balancer: 'least_busy' has no `pick`"),
        ({"hedge_after": 0}, "hedge_after"),
        ({"hedge_after": float("inf")}, "hedge_after"),
        ({"hedge_after": float("nan")}, "hedge_after"),
        ({"hedge_after": True}, "hedge_after"),
        ({"hedge_after": "p96"}, "neither seconds nor one of p50, p90, p95, p99"),
    ],
)
async def test_options_that_do_not_fit_are_refused_before_anything_is_sent(options, problem):
    with pytest.raises(BadInput, match=problem):
        aether.call(Plain().charge, **options)


async def test_a_one_way_call_and_a_broadcast_are_options_too(payment, calls):
    await aether.send(payment.charge, key="k")("ann")
    await aether.each(payment.charge)("ann")

    assert [options for *_, options in calls] == [CallOptions(key="k", one_way=True), CallOptions(every=True)]


async def test_a_plain_object_is_sent_to_in_place_and_is_every_instance():
    class Broken:
        async def charge(self, customer: str) -> str:
            raise ValueError(customer)

    assert await aether.send(Plain().charge)("ann") is None
    assert (await aether.each(Plain().charge)("ann")).results == {"local": "ann 1"}
    assert str((await aether.each(Broken().charge)("ann")).failures["local"]) == "ann"
    with pytest.raises(ValueError, match="ann"):
        await aether.send(Broken().charge)("ann")


def test_what_is_not_said_stays_as_it_was():
    assert merged(CallOptions(key="a", one_way=True), PLAIN) == CallOptions(key="a", one_way=True)
