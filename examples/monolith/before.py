"""The shop before: one FastAPI application whose parts share dictionaries. `uvicorn examples.monolith.before:app`."""

import uuid

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

PRICES = {"tea": 250, "cup": 900}  # cents
stock = {"tea": 10, "cup": 3}
orders: dict[str, "Order"] = {}


class NewOrder(BaseModel):
    customer: str
    sku: str
    quantity: int


class Order(NewOrder):
    number: str
    total: int


app = FastAPI(title="shop")


@app.get("/prices/{sku}")
async def price(sku: str) -> int:
    if sku not in PRICES:
        raise HTTPException(404, f"no such article: {sku}")
    return PRICES[sku]


@app.get("/stock/{sku}")
async def left(sku: str) -> int:
    return stock.get(sku, 0)


@app.post("/orders")
async def place(new: NewOrder) -> Order:
    total = await price(new.sku) * new.quantity
    if stock[new.sku] < new.quantity:
        raise HTTPException(409, f"only {stock[new.sku]} left")
    stock[new.sku] -= new.quantity
    order = Order(**new.model_dump(), number=uuid.uuid4().hex, total=total)
    orders[order.number] = order
    return order


@app.get("/orders/{number}")
async def order(number: str) -> Order:
    if number not in orders:
        raise HTTPException(404, f"no such order: {number}")
    return orders[number]
