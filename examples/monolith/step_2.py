"""Step 2: the stock is a slice, and the application calls it. `python -m examples.monolith.step_2`."""

import uuid

from fastapi import FastAPI, HTTPException, Request

import aether

from .before import NewOrder, Order, price
from .stock import OutOfStock, Stock

orders: dict[str, Order] = {}
app = FastAPI(title="shop")
app.get("/prices/{sku}")(price)


@app.post("/orders")
async def place(new: NewOrder, request: Request) -> Order:
    total = await price(new.sku) * new.quantity
    number = uuid.uuid4().hex
    stock: Stock = request.state.stock
    try:
        await stock.take(number, new.sku, new.quantity)
    except OutOfStock as fault:
        raise HTTPException(fault.status, f"only {fault.left} left") from fault
    orders[number] = Order(**new.model_dump(), number=number, total=total)
    return orders[number]


@app.get("/orders/{number}")
async def order(number: str) -> Order:
    if number not in orders:
        raise HTTPException(404, f"no such order: {number}")
    return orders[number]


Shop = aether.asgi(app, at="/", artifact="shop:web:2.0.0", needs={"stock": Stock})

if __name__ == "__main__":
    aether.run(Stock, Shop)
