"""The words of the order domain: value objects, rows of the replicated maps, and what can go wrong."""

from __future__ import annotations

import datetime as dt
import enum
from decimal import Decimal

import attrs
from attrs.validators import ge, le, matches_re

import aether

CUSTOMER = r"CUST-[0-9]{8}"
ORDER = r"ORD-[a-f0-9]{8}"
PRODUCT = r"PROD-[A-Z0-9]{6}"
RESERVATION = r"RES-([a-f0-9]{8})-([A-Z0-9]{6})"
QUANTITY_MAX = 1000
ORDERS_MAX = 100_000


class OrderStatus(enum.Enum):
    PENDING = "PENDING"
    CONFIRMED = "CONFIRMED"
    PROCESSING = "PROCESSING"
    SHIPPED = "SHIPPED"
    DELIVERED = "DELIVERED"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"


class Currency(enum.Enum):
    USD = "USD"
    EUR = "EUR"
    GBP = "GBP"


@attrs.frozen
class Money:
    amount: Decimal
    currency: Currency = Currency.USD


@attrs.frozen
class Item:
    """What a customer asks for: `quantity` pieces, 1 to 1000."""

    product_id: str = attrs.field(validator=matches_re(PRODUCT))
    quantity: int = attrs.field(validator=[ge(1), le(QUANTITY_MAX)])


@attrs.frozen
class PricedItem:
    product_id: str
    quantity: int
    unit_price: Money


@attrs.frozen
class Order:
    """One row of the map `orders`: the decision about an order is made here, by compare-and-set on `status`.

    key      the client's Idempotency-Key, or the one that the node gave the request; "" in a plain call without
    refusal  why the order is REJECTED, "" otherwise
    """

    order_id: str
    customer_id: str
    key: str
    status: OrderStatus
    items: tuple[PricedItem, ...]
    total: Money
    created_at: dt.datetime
    updated_at: dt.datetime
    refusal: str = ""
    refusal_status: int = 409


@attrs.frozen
class Stock:
    """Row `stock/{product}` of the map `inventory`: pieces that are neither reserved nor sold."""

    available: int


@attrs.frozen
class Reservation:
    """Row `reservation/{order}/{product}`. A released one stays as a tombstone: a late repeat must take nothing."""

    quantity: int
    released: bool = False


class InvalidRequest(aether.Fault):
    """The request is not one this shop understands."""

    status = 400
    reason: str


class KeyReused(aether.Fault):
    """This Idempotency-Key belongs to another order."""

    status = 422
    order_id: str


class ProductNotFound(aether.Fault):
    """There is no such product."""

    status = 404
    product_id: str


class InsufficientStock(aether.Fault):
    """Fewer pieces are left than were asked for."""

    status = 409
    product_id: str
    requested: int
    available: int


class ReservationReleased(aether.Fault):
    """The reservation was given back; the order it belonged to is over."""

    status = 409
    reservation_id: str


class PriceNotFound(aether.Fault):
    """The product has no price."""

    status = 404
    product_id: str


class DiscountCodeInvalid(aether.Fault):
    """There is no such discount code."""

    status = 422
    discount_code: str


class OrderRefused(aether.Fault):
    """The order was refused for a business reason; a repeat gets the same answer."""

    status = 409
    order_id: str
    reason: str


class OrderNotFound(aether.Fault):
    """There is no such order."""

    status = 404
    order_id: str


class OrderNotCancellable(aether.Fault):
    """The order has gone too far, or was cancelled already."""

    status = 409
    order_id: str
    order_status: OrderStatus
