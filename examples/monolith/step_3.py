"""Step 3: orders are a slice too; nothing lives in one process alone. `python -m examples.monolith.step_3`."""

import uuid
from typing import Annotated

import attrs
from fastapi import FastAPI

import aether

from .before import PRICES, price
from .stock import Stock

ORDERS = uuid.UUID("5b8f4a4e-6a0c-4d07-9a53-6f5e4f0c7a11")


@attrs.frozen
class Order:
    customer: str
    sku: str
    quantity: int
    number: str
    total: int


class NoSuchArticle(aether.Fault):
    """There is no such article."""

    status = 404
    sku: str


class NoSuchOrder(aether.Fault):
    """There is no such order."""

    status = 404
    number: str


@aether.slice(artifact="shop:orders:1.0.0", instances=2)
class Orders:
    stock: Stock
    placed: aether.Map[str, Order] = aether.map("orders")

    @aether.post("/orders")
    async def place(
        self, customer: str, sku: str, quantity: int, key: Annotated[str, aether.Header("Idempotency-Key")] = ""
    ) -> Order:
        """Take the pieces, then write the order down. A repeat with the same key makes the same order again."""
        if sku not in PRICES:
            raise NoSuchArticle(sku=sku)
        number = uuid.uuid5(ORDERS, f"{customer} {key}") if key else uuid.uuid4()
        order = Order(customer, sku, quantity, number.hex, PRICES[sku] * quantity)
        await self.stock.take(order.number, sku, quantity)
        await self.placed.put_if_absent(order.number, order)
        return order

    @aether.get("/orders/{number}")
    async def order(self, number: str) -> Order:
        found = await self.placed.get(number)
        if found is None:
            raise NoSuchOrder(number=number)
        return found


app = FastAPI(title="shop")
app.get("/prices/{sku}")(price)
Shop = aether.asgi(app, at="/", artifact="shop:web:3.0.0", instances=2)  # what is left of it may run twice

if __name__ == "__main__":
    aether.run(Stock, Orders, Shop)
