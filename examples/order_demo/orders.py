"""Placing, reading and cancelling orders. The row of an order decides: PENDING becomes CONFIRMED or REJECTED, once."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
import secrets
from collections.abc import Iterator
from typing import Annotated

import attrs
import trio

import aether

from .domain import (
    CUSTOMER,
    ORDERS_MAX,
    InsufficientStock,
    InvalidRequest,
    Item,
    KeyReused,
    Money,
    Order,
    OrderNotCancellable,
    OrderNotFound,
    OrderRefused,
    OrderStatus,
    PricedItem,
    ProductNotFound,
    ReservationReleased,
)
from .inventory import InventoryService, reservation_id
from .pricing import PRICES, PricingService

CANDIDATES_MAX = 8
LINES_MAX = 100
CANCELLABLE = frozenset({OrderStatus.PENDING, OrderStatus.CONFIRMED, OrderStatus.PROCESSING})
KEY_CHARS_MAX = 200
DECISIONS_MAX = 50


@attrs.frozen
class OrderPlaced:
    order_id: str
    status: OrderStatus
    total: Money
    reservation_ids: list[str]


@attrs.frozen
class OrderView:
    order_id: str
    status: OrderStatus
    total: Money
    items: list[PricedItem]
    created_at: dt.datetime
    updated_at: dt.datetime


@attrs.frozen
class OrderCancelled:
    order_id: str
    status: OrderStatus
    reason: str
    cancelled_at: dt.datetime


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def order_ids(key: str) -> Iterator[str]:
    """Where the order of an Idempotency-Key may stand: always the same few ids, so that a repeat finds its order."""
    digest = hashlib.sha256((key or secrets.token_hex(16)).encode()).hexdigest()
    return (f"ORD-{digest[8 * n : 8 * n + 8]}" for n in range(CANDIDATES_MAX))


@aether.slice(
    artifact="org.pragmatica-lite.aether.demo:place-order:0.1.0",
    instances=3,
    json_case="camel",
    concurrency=16,  # more would only wait for the same three products; who is sent away soon can ask again in time
    queue=32,
)
class PlaceOrder:
    inventory: InventoryService
    pricing: PricingService
    orders: aether.Map[str, Order] = aether.map("orders", entries_max=ORDERS_MAX, bytes_max=64 * 2**20)

    @aether.post("/api/orders")
    @aether.method(idempotent=True)
    async def place_order(
        self,
        customer_id: str,
        items: list[Item],
        discount_code: str | None = None,
        idempotency_key: Annotated[str | None, aether.Header()] = None,
    ) -> OrderPlaced:
        """Check, price, reserve, confirm. The same Idempotency-Key gets the same order, on whichever node it asks."""
        check_request(customer_id, items, idempotency_key or "")
        order = await self._open(customer_id, items, discount_code, idempotency_key or "")
        if order.status is OrderStatus.PENDING:
            order = await self._complete(order)
        if order.status is OrderStatus.REJECTED:
            await self._release(order)
            raise OrderRefused(order_id=order.order_id, reason=order.refusal)
        return OrderPlaced(order.order_id, order.status, order.total, reservations(order))

    async def _open(self, customer_id: str, items: list[Item], discount_code: str | None, key: str) -> Order:
        """The order of `key`, new or found. An id taken by another key is passed over."""
        order: Order | None = None
        for order_id in order_ids(key):
            existing = await self.orders.get(order_id)
            if existing is None:
                order = order or await self._priced(customer_id, items, discount_code, key)
                order = attrs.evolve(order, order_id=order_id)
                if await self.orders.put_if_absent(order_id, order):
                    return order
                existing = await self.orders.get(order_id)
            if key and existing is not None and existing.key == key:
                check_same(existing, customer_id, items)
                return existing
        raise aether.Overloaded("order ids", CANDIDATES_MAX)

    async def _priced(self, customer_id: str, items: list[Item], discount_code: str | None, key: str) -> Order:
        """A PENDING order. Stock is checked in parallel and prices are asked before anything is written."""
        async with trio.open_nursery() as nursery:
            for item in items:
                nursery.start_soon(self._check, item)
        total = await self.pricing.calculate_total(items, discount_code)
        priced = [PricedItem(i.product_id, i.quantity, Money(PRICES[i.product_id])) for i in items]
        at = now()
        return Order("", customer_id, key, OrderStatus.PENDING, tuple(priced), total.total, at, at)

    async def _check(self, item: Item) -> None:
        level = await self.inventory.check_stock(item.product_id, item.quantity)
        if not level.sufficient:
            raise InsufficientStock(product_id=item.product_id, requested=item.quantity, available=level.available)

    async def _complete(self, order: Order) -> Order:
        """Reserve every line, then decide. Whoever decides first wins; everybody obeys the row."""
        refusal = ""
        for item in order.items:
            try:
                await self.inventory.reserve_stock(item.product_id, item.quantity, order.order_id)
            except (InsufficientStock, ProductNotFound, ReservationReleased) as fault:
                refusal = str(fault)
                break
        status = OrderStatus.REJECTED if refusal else OrderStatus.CONFIRMED
        return await decide(self.orders, order.order_id, frozenset({OrderStatus.PENDING}), status, refusal)

    async def _release(self, order: Order) -> None:
        for reservation in reservations(order):
            await self.inventory.release_stock(reservation)


@aether.slice(artifact="org.pragmatica-lite.aether.demo:get-order-status:0.1.0", instances=2, json_case="camel")
class GetOrderStatus:
    orders: aether.Map[str, Order] = aether.map("orders", entries_max=ORDERS_MAX, bytes_max=64 * 2**20)

    @aether.get("/api/orders/{order_id}")
    async def get_order_status(self, order_id: str) -> OrderView:
        order = await self.orders.get(order_id)
        if order is None:
            raise OrderNotFound(order_id=order_id)
        return OrderView(order_id, order.status, order.total, list(order.items), order.created_at, order.updated_at)


@aether.slice(artifact="org.pragmatica-lite.aether.demo:cancel-order:0.1.0", instances=2, json_case="camel")
class CancelOrder:
    inventory: InventoryService
    orders: aether.Map[str, Order] = aether.map("orders", entries_max=ORDERS_MAX, bytes_max=64 * 2**20)

    @aether.delete("/api/orders/{order_id}")
    @aether.method(idempotent=True)
    async def cancel_order(self, order_id: str, reason: str = "") -> OrderCancelled:
        """Cancel and give the stock back. A repeat of a cancellation gets the same answer."""
        order = await decide(self.orders, order_id, CANCELLABLE, OrderStatus.CANCELLED, reason)
        if order.status is not OrderStatus.CANCELLED:
            raise OrderNotCancellable(order_id=order_id, order_status=order.status)
        for reservation in reservations(order):
            await self.inventory.release_stock(reservation)
        return OrderCancelled(order_id, order.status, order.refusal, order.updated_at)


def check_same(order: Order, customer_id: str, items: list[Item]) -> None:
    """Raises KeyReused: whoever asks for something else under the same key would believe that it was placed."""
    wanted = [(item.product_id, item.quantity) for item in items]
    if order.customer_id != customer_id or [(i.product_id, i.quantity) for i in order.items] != wanted:
        raise KeyReused(order_id=order.order_id)


def check_request(customer_id: str, items: list[Item], key: str) -> None:
    if len(key) > KEY_CHARS_MAX:
        raise InvalidRequest(reason=f"an Idempotency-Key has at most {KEY_CHARS_MAX} characters, this one {len(key)}")
    if not re.fullmatch(CUSTOMER, customer_id):
        raise InvalidRequest(reason=f"customerId {customer_id!r}: write CUST- and eight digits")
    if not 1 <= len(items) <= LINES_MAX:
        raise InvalidRequest(reason=f"an order has 1 to {LINES_MAX} items, this one {len(items)}")
    if len({item.product_id for item in items}) < len(items):
        raise InvalidRequest(reason="a product stands in several items; add their quantities up")


def reservations(order: Order) -> list[str]:
    return [reservation_id(order.order_id, item.product_id) for item in order.items]


async def decide(
    orders: aether.Map[str, Order], order_id: str, before: frozenset[OrderStatus], status: OrderStatus, reason: str
) -> Order:
    """Move the order to `status` when it stands in `before`; else leave it. The row as it stands afterwards."""
    for _ in range(DECISIONS_MAX):
        entry = await orders.entry(order_id)
        if entry.value is None:
            raise OrderNotFound(order_id=order_id)
        if entry.value.status not in before:
            return entry.value
        moved = attrs.evolve(entry.value, status=status, refusal=reason, updated_at=now())
        if await orders.compare_and_set(order_id, moved, entry.version):
            return moved
    raise aether.Overloaded(order_id, DECISIONS_MAX)
