"""A small shop: three slices, a Protocol, a Fault, a replicated map, configuration and a lifespan, on one node.

Run it with `python examples/section5.py`: it opens a node in this process, places two orders, and leaves.
"""

from collections import Counter
from collections.abc import AsyncIterator
from typing import Protocol

import attrs
import trio

import aether


@attrs.frozen
class Quote:
    sku: str
    total: int  # cents


@attrs.frozen
class Line:
    sku: str
    qty: int


@attrs.frozen
class Placed:
    id: str
    total: int
    currency: str


@attrs.frozen
class Order:
    customer: str
    lines: list[Line]
    total: int


class OutOfStock(aether.Fault):
    """There is not enough in stock."""

    status = 409
    sku: str


class Pricing(Protocol):
    async def quote(self, sku: str, qty: int) -> Quote: ...
    def ticks(self, sku: str) -> AsyncIterator[int]: ...


@aether.slice
class ListPricing(Pricing):
    """Prices from a list."""

    cents: dict[str, int] = aether.state(factory=lambda: {"a": 120, "b": 75})

    @aether.method(idempotent=True)
    async def quote(self, sku: str, qty: int) -> Quote:
        """The price of `qty` pieces, in cents."""
        return Quote(sku, self.cents.get(sku, 100) * qty)

    async def ticks(self, sku: str) -> AsyncIterator[int]:
        """The price of one piece, whenever it changes."""
        yield self.cents.get(sku, 100)


@aether.slice
class Inventory:
    """What is in stock, shared by all instances."""

    stock: aether.Map[str, int] = aether.map("stock", entries_max=10_000)
    initial: int = aether.config("shop.initial-stock", default=3)

    async def take(self, lines: list[Line]) -> None:
        """Take all lines or none. Raises OutOfStock."""
        wanted = Counter[str]()
        for line in lines:
            wanted[line.sku] += line.qty
        for _ in range(10):
            before = {sku: await self.stock.entry(sku) for sku in wanted}
            left = {sku: (self.initial if e.value is None else e.value) - wanted[sku] for sku, e in before.items()}
            for sku, pieces in left.items():
                if pieces < 0:
                    raise OutOfStock(sku=sku)
            if await self.stock.apply(left, {sku: e.version for sku, e in before.items()}):
                return
        raise aether.Conflict("stock", "others took from it ten times in a row; repeat later")


@aether.slice(artifact="shop.orders:place-order:1.2.0", instances=3, concurrency=64, queue=256)
class PlaceOrder:
    """Takes orders."""

    pricing: Pricing  # a slice class or Protocol without default: injected
    inventory: Inventory
    orders: aether.Map[str, Order] = aether.map("orders", entries_max=10_000)  # replicated; in memory in a unit test
    currency: str = aether.config("shop.currency", default="EUR")
    placed: list[str] = aether.state(factory=list[str])  # of this instance alone

    @aether.post("/api/orders")
    async def place(self, customer: str, lines: list[Line]) -> Placed:
        """Take the goods from stock and keep the order. Raises OutOfStock."""
        quotes = [await self.pricing.quote(line.sku, line.qty) for line in lines]
        total = sum(quote.total for quote in quotes)
        await self.inventory.take(lines)
        number = await self.orders.count() + 1
        while not await self.orders.put_if_absent(f"order-{number:06d}", Order(customer, lines, total)):
            number += 1
        self.placed.append(customer)
        return Placed(f"order-{number:06d}", total, self.currency)

    @aether.get("/api/orders/{order_id}")
    async def order(self, order_id: str) -> Order | None:
        """The order, or null."""
        return await self.orders.get(order_id)

    @aether.lifespan
    async def lifespan(self, nursery: trio.Nursery) -> AsyncIterator[None]:
        """Start, background work and stop in one place."""
        nursery.start_soon(trio.sleep_forever)  # cancelled when the instance stops
        yield
        self.placed.clear()


async def main() -> None:
    async with aether.Cluster.open(PlaceOrder, ListPricing, Inventory, http=0) as cluster:  # one node, in this process
        shop = cluster.get(PlaceOrder)
        placed = await shop.place("ann", [Line("a", 2), Line("b", 1)])
        print(f"{placed.id}: {placed.total / 100:.2f} {placed.currency}")
        print(f"also at {cluster.http_url}/api/orders/{placed.id}")
        try:
            await shop.place("bob", [Line("a", 2)])
        except OutOfStock as fault:
            print(f"refused: {fault}")


if __name__ == "__main__":
    trio.run(main)
