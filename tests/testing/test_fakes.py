"""A fake that could not be the real thing is refused; one that could behaves as the real thing would."""

from collections.abc import AsyncIterator
from typing import Protocol
from unittest import mock

import attrs
import pytest
import trio

import aether
from aether.testing import fake, in_turn, recorded


@attrs.define
class Quote:
    sku: str
    total: int
    notes: list[str] = attrs.field(factory=list)


class Unknown(aether.Fault):
    """There is no such thing."""

    status = 404
    sku: str


class Pricing(Protocol):
    async def quote(self, sku: str, qty: int = 1) -> Quote: ...
    async def forget(self, sku: str) -> None: ...
    def ticks(self, sku: str) -> AsyncIterator[int]: ...


@aether.slice(artifact="tests.fakes:till:1.0.0")
class Till:
    pricing: Pricing

    async def sell(self, sku: str) -> int:
        return (await self.pricing.quote(sku, 2)).total

    @aether.blocking
    def count(self) -> int:
        return 3


async def test_a_value_is_the_answer_to_every_call():
    pricing = fake(Pricing, quote=Quote("tea", 500))
    till = Till(pricing=pricing)

    assert [await till.sell("tea"), await till.sell("cup")] == [500, 500]
    assert [str(call) for call in recorded(pricing)] == [
        "Pricing.quote(sku='tea', qty=2)",
        "Pricing.quote(sku='cup', qty=2)",
    ]


@pytest.mark.parametrize("kind", ["async", "plain", "lambda", "mock"])
async def test_a_function_answers_from_the_arguments(kind):
    async def asynchronous(sku: str, qty: int = 1) -> Quote:
        return Quote(sku, qty * 10)

    def plain(sku, qty=1):
        return Quote(sku, qty * 10)

    functions = {
        "async": asynchronous,
        "plain": plain,
        "lambda": lambda sku, qty=1: Quote(sku, qty * 10),
        "mock": mock.AsyncMock(side_effect=plain),
    }
    pricing = fake(Pricing, quote=functions[kind])

    assert await pricing.quote("tea", qty=3) == Quote("tea", 30)
    assert await pricing.quote("tea") == Quote("tea", 10)


async def test_answers_in_turn_are_given_once_each():
    pricing = fake(Pricing, quote=in_turn(Quote("a", 1), Unknown(sku="b"), lambda sku, qty=1: Quote(sku, qty)))

    assert await pricing.quote("a") == Quote("a", 1)
    with pytest.raises(Unknown):
        await pricing.quote("b")
    assert await pricing.quote("c") == Quote("c", 1)
    with pytest.raises(AssertionError, match="once more than the 3 times"):
        await pricing.quote("d")


async def test_nothing_is_shared_between_fake_and_caller():
    """With the real slice on another node it could not be; a test must not pass because of it."""
    answer = Quote("tea", 1)
    pricing = fake(Pricing, quote=answer)

    (await pricing.quote("tea")).notes.append("mine")

    assert answer.notes == []
    assert await pricing.quote("tea") == Quote("tea", 1)


async def test_wrong_arguments_are_what_they_are_with_the_real_slice():
    pricing = fake(Pricing, quote=Quote("tea", 1))

    with pytest.raises(TypeError):
        await pricing.quote()
    with pytest.raises(aether.BadInput, match="sku"):
        await pricing.quote(7)
    with pytest.raises(aether.NotInContract, match="did you mean 'quote'"):
        pricing.qoute("tea")
    assert recorded(pricing) == ()


@pytest.mark.parametrize(
    ("raised", "seen"),
    [
        (Unknown(sku="tea"), Unknown),
        (aether.OutcomeUnknown("gone"), aether.OutcomeUnknown),
        (trio.TooSlowError, trio.TooSlowError),
        (KeyError("tea"), aether.CallFailed),
        (AssertionError("of the test"), AssertionError),
    ],
)
async def test_an_error_arrives_as_a_caller_sees_it(raised, seen):
    pricing = fake(Pricing, forget=raised)

    for _ in range(2):
        with pytest.raises(seen) as caught:
            await pricing.forget("tea")
        assert type(caught.value) is seen
    assert recorded(pricing)[0].error is not None


async def test_a_fault_is_a_copy_with_its_fields():
    original = Unknown(sku="tea")
    pricing = fake(Pricing, forget=original)

    with pytest.raises(Unknown) as caught:
        await pricing.forget("tea")
    assert caught.value is not original
    assert caught.value.sku == "tea"


async def test_a_foreign_exception_says_what_it_was():
    def broken(sku):
        raise ZeroDivisionError(sku)

    with pytest.raises(aether.CallFailed) as caught:
        await fake(Pricing, forget=broken).forget("tea")
    assert (caught.value.kind, caught.value.slice, caught.value.method) == ("ZeroDivisionError", "Pricing", "forget")
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


async def test_streams_are_lists_of_items_or_generators():
    async def counting(sku: str) -> AsyncIterator[int]:
        yield len(sku)
        yield 9

    assert [n async for n in fake(Pricing, ticks=[1, 2]).ticks("tea")] == [1, 2]
    assert [n async for n in fake(Pricing, ticks=counting).ticks("tea")] == [3, 9]


async def test_a_method_without_an_answer_says_so():
    with pytest.raises(AssertionError, match=r"Pricing.forget was called.*forget="):
        await fake(Pricing).forget("tea")


async def test_another_object_answers_what_is_left_out():
    class Half:
        async def quote(self, sku: str, qty: int = 1) -> Quote:
            return Quote(sku, qty)

    pricing = fake(Pricing, Half(), forget=None)

    assert await pricing.quote("tea") == Quote("tea", 1)
    assert await pricing.forget("tea") is None


async def test_a_slice_is_a_contract_too_and_a_real_one_may_answer():
    real = Till(pricing=fake(Pricing, quote=Quote("tea", 500)))
    till = fake(Till, real)

    assert await till.sell("tea") == 500
    assert await till.count() == 3
    assert [call.result for call in recorded(till)] == [500, 3]


def wrong_name(sku, quantity=1): ...
def no_default(sku, qty): ...
def one_more(sku, color, qty=1): ...
def positional(sku, /, qty=1): ...
def other_type(sku: int, qty: int = 1): ...
def other_result(sku: str, qty: int = 1) -> int: ...
async def generator(sku, qty=1):
    yield 1


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (wrong_name, "no parameter 'qty'"),
        (no_default, "'qty' has no default"),
        (one_more, "further parameter 'color'"),
        (positional, "'sku' is positional only"),
        (other_type, "'sku' is int, not str"),
        (other_result, "returns int, not Quote"),
        (generator, "the method is no stream"),
        (500, "must return Quote"),
        (in_turn(Quote("a", 1), "free"), "must return Quote"),
    ],
)
def test_what_could_not_be_the_real_thing_is_refused(answer, reason):
    """A fake with yesterday's signature lets a test pass that production will not."""
    with pytest.raises(aether.ContractError, match=reason):
        fake(Pricing, quote=answer)


@pytest.mark.parametrize(("answer", "reason"), [(5, "list of its items"), (["a"], "must return int")])
def test_a_stream_of_wrong_items_is_refused(answer, reason):
    with pytest.raises(aether.ContractError, match=reason):
        fake(Pricing, ticks=answer)


def test_an_ordinary_function_for_a_stream_is_refused():
    async def nearly(sku: str) -> int: ...

    with pytest.raises(aether.ContractError, match="another signature"):
        fake(Pricing, ticks=nearly)


def test_an_unknown_method_is_refused_with_a_hint():
    with pytest.raises(aether.ContractError, match="did you mean 'quote'"):
        fake(Pricing, qoute=1)


def test_what_records_nothing_is_refused():
    for source in (object(), "text", Till(pricing=fake(Pricing))):
        with pytest.raises(TypeError, match="records no calls"):
            recorded(source)


async def test_a_cluster_in_memory_records_who_called_whom(aether_cluster):
    @aether.slice(artifact="tests.fakes:list-pricing:1.0.0")
    class ListPricing(Pricing):
        async def quote(self, sku: str, qty: int = 1) -> Quote:
            return Quote(sku, qty * 250)

        async def forget(self, sku: str) -> None:
            raise Unknown(sku=sku)

        async def ticks(self, sku: str) -> AsyncIterator[int]:
            yield 1

    cluster = await aether_cluster(Till, ListPricing, nodes=3)
    await cluster.get(Till).sell("tea")
    with pytest.raises(Unknown):
        await cluster.get(ListPricing).forget("tea")

    calls = recorded(cluster)

    assert [(call.by, str(call)) for call in calls] == [
        ("", "Till.sell(sku='tea')"),
        ("Till.sell", "ListPricing.quote(sku='tea', qty=2)"),
        ("", "ListPricing.forget(sku='tea')"),
    ]
    assert [call.result for call in calls] == [500, Quote("tea", 500), None]
    assert isinstance(calls[2].error, Unknown)
