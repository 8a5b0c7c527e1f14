"""What type checkers see; nothing here runs.

A line with `type: ignore[...]` must be an error: an unused one is reported. The same comments serve both checkers: mypy
strict warns about unused ones, pyright by the setting below.
"""

# pyright: strict, reportUnnecessaryTypeIgnoreComment=true, reportUnusedExpression=false

from collections.abc import AsyncIterator, Callable, Mapping
from types import CoroutineType
from typing import Annotated, Any, Protocol, assert_type

import attrs
from fastapi import FastAPI

import aether
from aether.testing import Failures, MemoryCluster, RecordedCall, each_failure, fake, in_turn, recorded


@attrs.frozen
class Quote:
    sku: str
    total: int


@attrs.frozen
class Order:
    customer: str


class OutOfStock(aether.Fault):
    status = 409
    sku: str
    left: int = 0


class Pricing(Protocol):
    async def quote(self, sku: str, qty: int = 1) -> Quote: ...
    def ticks(self, sku: str) -> AsyncIterator[int]: ...


class Squares(Protocol):
    async def square(self, number: int) -> int: ...


@aether.slice
class ListPricing(Pricing):
    @aether.method(idempotent=True, deadline_s=1.5)
    async def quote(self, sku: str, qty: int = 1) -> Quote:
        return Quote(sku, qty)

    async def ticks(self, sku: str) -> AsyncIterator[int]:
        yield len(sku)

    def handed_on(self, pricing: str) -> AsyncIterator[int]:
        return self.ticks(pricing)

    async def total(self, numbers: AsyncIterator[int]) -> int:
        return sum([number async for number in numbers])

    async def both(self, numbers: AsyncIterator[int]) -> AsyncIterator[str]:
        async with aether.stream(numbers) as items:
            async for item in items:
                assert_type(item, int)
                yield str(item)

    @aether.blocking
    def square(self, number: int) -> int:
        return number * number


async def numbers() -> AsyncIterator[int]:
    yield 1


@aether.slice(artifact="shop:place-order:1.0.0", instances=3, json_case="camel")
class PlaceOrder:
    pricing: Pricing
    spare: Pricing | None
    orders: aether.Map[str, Order] = aether.map("orders", entries_max=10)
    _seen: list[str] = aether.state(factory=list[str])
    currency: str = aether.config("shop.currency", default="EUR")
    limit: int = aether.config("shop.limit")
    key: str = aether.secret("shop.key", default="")
    size: int = 3

    @aether.post("/orders/{customer}", idempotent=True)
    async def place(self, customer: str, lines: list[str], page: Annotated[int, aether.Query()] = 0) -> Order:
        assert_type(self.pricing, Pricing)
        assert_type(await self.pricing.quote("a"), Quote)
        assert_type(self.spare, Pricing | None)
        assert_type(self.currency, str)
        assert_type(self.limit, int)
        assert_type(self._seen, list[str])
        assert_type(await self.orders.get("a"), Order | None)
        assert_type((await self.orders.entry("a")).value, Order | None)
        assert_type(await self.orders.items(prefix="a"), list[tuple[str, Order]])
        return Order(customer)

    @aether.lifespan
    async def lifespan(self) -> AsyncIterator[None]:
        yield

    @aether.background
    async def refresh(self) -> None: ...


async def calls(cluster: aether.Cluster) -> None:
    shop = cluster.get(PlaceOrder)
    assert_type(shop, PlaceOrder)
    assert_type(await shop.place("ann", ["a"]), Order)
    assert_type(await cluster.get(PlaceOrder).place(customer="ann", lines=[]), Order)
    assert_type(cluster.get(Pricing), Pricing)
    assert_type(await cluster.get(Pricing).quote("a", 2), Quote)
    assert_type(cluster.get(Pricing).ticks("a"), AsyncIterator[int])
    async with aether.stream(cluster.get(Pricing).ticks("a"), ahead=3) as ticks:
        assert_type(ticks, AsyncIterator[int])
        async for tick in ticks:
            assert_type(tick, int)
    async with aether.stream(ListPricing().ticks("a")) as ticks:
        assert_type(await anext(ticks), int)
    assert_type(await cluster.get(ListPricing).total(numbers()), int)
    assert_type(cluster.get(ListPricing).both(numbers()), AsyncIterator[str])
    assert_type(await cluster.get(ListPricing).square(3), int)
    coroutine = assert_type(cluster.get(ListPricing).square(3), CoroutineType[Any, Any, int])
    print(coroutine)


async def options(cluster: aether.Cluster) -> None:
    shop = cluster.get(PlaceOrder)
    assert_type(await aether.call(shop.place, key="k")("ann", lines=["a"]), Order)
    assert_type(await aether.call(cluster.get(Pricing).quote, hedge_after="p95")("a"), Quote)
    assert_type(await aether.call(cluster.get(ListPricing).square, priority="low")(3), int)
    assert_type(aether.call(cluster.get(Pricing).ticks, affinity_key="a")("a"), AsyncIterator[int])
    assert_type(await aether.send(shop.place)("ann", ["a"]), None)
    assert_type(await aether.each(cluster.get(Pricing).quote)("a"), aether.Answers[Quote])
    assert_type((await aether.each(cluster.get(ListPricing).square)(3)).results["i"], int)
    await aether.send(shop.place)("ann")  # type: ignore[call-arg]
    await aether.each(shop.place)(1, [])  # type: ignore[arg-type]
    await aether.call(shop.place, key="k")("ann")  # type: ignore[call-arg]
    await aether.call(shop.place, key="k")("ann", [1])  # type: ignore[list-item]
    await aether.call(shop.place, keys="k")("ann", [])  # type: ignore[call-arg]
    await aether.call(shop.place, hedge_after="p96")("ann", [])  # type: ignore[arg-type]
    await aether.call(shop.place("ann", []), key="k")("ann", [])  # type: ignore[arg-type]


async def misuses(cluster: aether.Cluster) -> None:
    shop = cluster.get(PlaceOrder)
    await shop.plcae("ann", [])  # type: ignore[attr-defined]
    await shop.place("ann")  # type: ignore[call-arg]
    await shop.place("ann", ["a"], qty=1)  # type: ignore[call-arg]
    await shop.place(1, ["a"])  # type: ignore[arg-type]
    await shop.place("ann", [1])  # type: ignore[list-item]
    await cluster.get(Pricing).quote(sku=1)  # type: ignore[arg-type]
    await cluster.get(Pricing).price("a")  # type: ignore[attr-defined]
    await cluster.get(ListPricing).total([1])  # type: ignore[arg-type]
    await cluster.get(ListPricing).total(cluster.get(ListPricing).both(numbers()))  # type: ignore[arg-type]
    aether.stream(3)  # type: ignore[arg-type]
    aether.stream(numbers(), ahead="1")  # type: ignore[arg-type]
    wrong: Quote = await shop.place("ann", [])  # type: ignore[assignment]
    number: str = cluster.get(ListPricing).square(3)  # type: ignore[assignment]
    print(wrong, number)


def constructions() -> None:
    pricing = ListPricing()
    shop = PlaceOrder(pricing=pricing, spare=None, limit=3)
    PlaceOrder(pricing=pricing, spare=pricing, limit=3, orders=aether.MemoryMap(str, Order), _seen=[], size=4, key="k")
    PlaceOrder(spare=None, limit=3)  # type: ignore[call-arg]
    PlaceOrder(pricing=pricing, spare=None)  # type: ignore[call-arg]
    PlaceOrder(pricing=shop, spare=None, limit=3)  # type: ignore[arg-type]
    PlaceOrder(pricing=pricing, spare=None, limit="3")  # type: ignore[arg-type]
    PlaceOrder(pricing=pricing, spare=None, limit=3, colour=1)  # type: ignore[call-arg]


class Fake:
    async def quote(self, sku: str, qty: int = 1) -> Quote:
        return Quote(sku, qty)

    async def ticks(self, sku: str) -> AsyncIterator[int]:
        yield 1

    async def square(self, number: int) -> int:
        return number


def protocols() -> None:
    PlaceOrder(pricing=Fake(), spare=None, limit=1)
    squares: Squares = ListPricing()
    faked: Squares = Fake()
    print(squares, faked)


def faults() -> None:
    fault = OutOfStock(sku="a")
    assert_type(fault.sku, str)
    assert_type(fault.status, int)
    OutOfStock(sku=1)  # type: ignore[arg-type]
    OutOfStock()  # type: ignore[call-arg]


async def maps(orders: aether.Map[str, Order]) -> None:
    assert_type(await orders.update("a", lambda order: order), Order | None)
    assert_type(await orders.compare_and_set("a", Order("x"), 0), bool)
    assert_type(await orders.apply({"a": None, "b": Order("x")}, {"a": 1}), bool)
    assert_type(aether.MemoryMap(str, Order), aether.MemoryMap[str, Order])
    await orders.put(1, Order("x"))  # type: ignore[arg-type]
    await orders.put("a", "x")  # type: ignore[arg-type]
    await orders.compare_and_set("a", Order("x"), "1")  # type: ignore[arg-type]


def decorators() -> None:
    mark: Callable[[Callable[[int], str]], Callable[[int], str]] = aether.method(idempotent=True)
    aether.slice(instances="3")  # type: ignore[call-overload]
    aether.slice(json_case="kebab")  # type: ignore[call-overload]
    aether.map("a", 3)  # type: ignore[arg-type]
    aether.bind(Pricing).to(ListPricing)
    print(mark)


def errors(error: aether.BadInput, failed: aether.CallFailed) -> None:
    assert_type(failed.slice, str)
    rejected: aether.Rejected = error
    print(rejected)


def everything_else(options: Mapping[str, object]) -> None:
    print(aether.no_such_name)  # type: ignore[attr-defined]
    print(options)


async def tests() -> None:
    pricing = assert_type(fake(Pricing, quote=in_turn(Quote("a", 1), OutOfStock(sku="a"))), Pricing)
    PlaceOrder(pricing=pricing, spare=None, limit=1)
    assert_type(fake(ListPricing), ListPricing)
    assert_type(recorded(pricing), tuple[RecordedCall, ...])
    await pricing.quote(1)  # type: ignore[arg-type]
    fake(Pricing).qoute("a")  # type: ignore[attr-defined]


async def body(cluster: MemoryCluster) -> None:
    assert_type(await cluster.get(PlaceOrder).place("ann", ["a"]), Order)


def failures() -> None:
    assert_type(each_failure([PlaceOrder, ListPricing], body, invariant=body), Failures)
    each_failure([PlaceOrder], calls)  # type: ignore[arg-type]


async def in_asyncio() -> None:
    async with aether.asyncio_host.open_cluster(PlaceOrder, ListPricing, http=0, calls="wire") as hosted:
        assert_type(hosted.get(Pricing), Pricing)
        assert_type(await hosted.get(PlaceOrder).place("ann", ["a"]), Order)
        assert_type(await hosted.run(hosted.cluster.map("m", str, int).get, "a"), int | None)
        await hosted.run(hosted.cluster.undeploy, 3)  # type: ignore[arg-type]
    aether.asyncio_host.open_cluster(PlaceOrder, htpp=0)  # type: ignore[call-arg]


def mounts(app: FastAPI) -> None:
    assert_type(aether.asgi(app, at="/admin", needs={"pricing": Pricing}, instances=2), type)
    aether.asgi(app)  # type: ignore[call-arg]
    aether.asgi(print, at="/x")  # type: ignore[arg-type]
