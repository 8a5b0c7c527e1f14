"""Stock and reservations: one compare-and-set over two rows, so that no piece is sold twice or lost."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping

import attrs
import trio

import aether

from .domain import (
    ORDERS_MAX,
    QUANTITY_MAX,
    RESERVATION,
    InsufficientStock,
    InvalidRequest,
    ProductNotFound,
    Reservation,
    ReservationReleased,
    Stock,
)
from .pricing import PRICES

ATTEMPTS_MAX = 100
BACKOFF_MAX_S = 0.005
RESERVATIONS_MAX = ORDERS_MAX * len(PRICES) + 1_000  # one for each product of each order


@attrs.frozen
class StockLevel:
    product_id: str
    available: int
    sufficient: bool


@attrs.frozen
class Reserved:
    reservation_id: str
    product_id: str
    quantity: int


@attrs.frozen
class Released:
    reservation_id: str


def reservation_id(order_id: str, product_id: str) -> str:
    """`RES-<order>-<product>`: the same reservation has the same id, however often it is asked for."""
    return f"RES-{order_id.removeprefix('ORD-')}-{product_id.removeprefix('PROD-')}"


def reservation_key(reservation: str) -> str:
    """The row of a reservation. Raises InvalidRequest for what is no `RES-<order>-<product>`."""
    parts = re.fullmatch(RESERVATION, reservation)
    if parts is None:
        raise InvalidRequest(reason=f"reservationId {reservation[:50]!r}: write RES-<order>-<product>")
    return f"reservation/ORD-{parts[1]}/PROD-{parts[2]}"


def check_quantity(quantity: int) -> None:
    """Raises InvalidRequest: a negative quantity would put pieces on the shelf that nobody has."""
    if not 1 <= quantity <= QUANTITY_MAX:
        raise InvalidRequest(reason=f"quantity {quantity}: 1 to {QUANTITY_MAX} pieces")


@aether.slice(artifact="org.pragmatica-lite.aether.demo:inventory-service:0.1.0", instances=2, json_case="camel")
class InventoryService:
    """Holds `stock/{product}` and `reservation/{order}/{product}` rows in one replicated map.

    Requests for one product take turns within an instance, so that only other instances can be in the way: without
    turns, many would read the same stock, and all but one would have to try again.
    """

    rows: aether.Map[str, Stock | Reservation] = aether.map(
        "inventory", entries_max=RESERVATIONS_MAX, bytes_max=64 * 2**20
    )
    initial: int = aether.config("inventory.initial", default=1_000_000)
    turns: dict[str, trio.Lock] = aether.state(factory=lambda: {product: trio.Lock() for product in PRICES})

    @aether.method(idempotent=True)
    async def check_stock(self, product_id: str, quantity: int) -> StockLevel:
        check_quantity(quantity)
        stock, _ = await self._stock(product_id)
        return StockLevel(product_id, stock.available, stock.available >= quantity)

    @aether.method(idempotent=True)
    async def reserve_stock(self, product_id: str, quantity: int, order_id: str) -> Reserved:
        """Take `quantity` pieces for the order. A repeat finds its reservation and takes nothing."""
        check_quantity(quantity)
        reservation_key(reservation_id(order_id, product_id))
        if product_id not in self.turns:
            raise ProductNotFound(product_id=product_id)
        async with self.turns[product_id]:
            return await self._reserve(product_id, quantity, order_id)

    async def _reserve(self, product_id: str, quantity: int, order_id: str) -> Reserved:
        """Nearly every request is the first: try as such, and look for an earlier reservation only when that fails."""
        reservation = reservation_id(order_id, product_id)
        for _ in range(ATTEMPTS_MAX):
            stock, version = await self._stock(product_id)
            enough = stock.available >= quantity
            left = Stock(stock.available - quantity)
            if enough and await self._change(product_id, left, version, reservation, Reservation(quantity), 0):
                return Reserved(reservation, product_id, quantity)
            existing = await self.rows.get(reservation_key(reservation))
            if isinstance(existing, Reservation):
                if existing.released:
                    raise ReservationReleased(reservation_id=reservation)
                return Reserved(reservation, product_id, existing.quantity)
            if not enough:
                raise InsufficientStock(product_id=product_id, requested=quantity, available=stock.available)
        raise aether.Overloaded(product_id, ATTEMPTS_MAX)

    @aether.method(idempotent=True)
    async def release_stock(self, reservation_id: str) -> Released:
        """Give the pieces back and leave a tombstone, also when nothing was reserved yet. A repeat changes nothing."""
        key = reservation_key(reservation_id)
        product_id = key.rpartition("/")[2]
        if product_id not in self.turns:
            raise ProductNotFound(product_id=product_id)
        async with self.turns[product_id]:
            return await self._release(key, product_id, reservation_id)

    async def _release(self, key: str, product_id: str, reservation_id: str) -> Released:
        for _ in range(ATTEMPTS_MAX):
            entry = await self.rows.entry(key)
            existing = entry.value
            held = existing.quantity if isinstance(existing, Reservation) and not existing.released else 0
            if isinstance(existing, Reservation) and existing.released:
                return Released(reservation_id)
            stock, version = await self._stock(product_id)
            back, tombstone = Stock(stock.available + held), Reservation(held, released=True)
            if await self._change(product_id, back, version, reservation_id, tombstone, entry.version):
                return Released(reservation_id)
        raise aether.Overloaded(product_id, ATTEMPTS_MAX)

    async def _stock(self, product_id: str) -> tuple[Stock, int]:
        entry = await self.rows.entry(f"stock/{product_id}")
        if isinstance(entry.value, Stock):
            return entry.value, entry.version
        if product_id not in PRICES:
            raise ProductNotFound(product_id=product_id)
        return Stock(self.initial), 0

    async def _change(
        self, product_id: str, stock: Stock, stock_version: int, reservation: str, row: Reservation, row_version: int
    ) -> bool:
        changes: Mapping[str, Stock | Reservation | None] = {
            f"stock/{product_id}": stock,
            reservation_key(reservation): row,
        }
        versions = {f"stock/{product_id}": stock_version, reservation_key(reservation): row_version}
        if await self.rows.apply(changes, if_versions=versions):
            return True
        await trio.sleep(random.uniform(0, BACKOFF_MAX_S))  # somebody else took from the same product: look again
        return False
