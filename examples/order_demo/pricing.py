"""Prices and discount codes."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import attrs
import trio

import aether

from .domain import DiscountCodeInvalid, Item, Money, PriceNotFound

PRICES: Mapping[str, Decimal] = {
    "PROD-ABC123": Decimal("29.99"),
    "PROD-DEF456": Decimal("49.99"),
    "PROD-GHI789": Decimal("99.99"),
}
DISCOUNT_PERCENT: Mapping[str, int] = {"SAVE10": 10, "SAVE20": 20}
CENT = Decimal("0.01")


@attrs.frozen
class Price:
    product_id: str
    unit_price: Money


@attrs.frozen
class Total:
    subtotal: Money
    discount: Money
    total: Money


@aether.slice(artifact="org.pragmatica-lite.aether.demo:pricing-service:0.1.0", instances=2, json_case="camel")
class PricingService:
    @aether.method(idempotent=True)
    async def get_price(self, product_id: str) -> Price:
        if product_id not in PRICES:
            raise PriceNotFound(product_id=product_id)
        return Price(product_id, Money(PRICES[product_id]))

    @aether.method(idempotent=True)
    async def calculate_total(self, items: list[Item], discount_code: str | None = None) -> Total:
        percent = 0
        if discount_code is not None:
            if discount_code not in DISCOUNT_PERCENT:
                raise DiscountCodeInvalid(discount_code=discount_code)
            percent = DISCOUNT_PERCENT[discount_code]
        subtotal = Decimal(0)
        for item in items:
            price = await self.get_price(item.product_id)
            subtotal += price.unit_price.amount * item.quantity
        discount = (subtotal * percent / 100).quantize(CENT)
        await trio.lowlevel.checkpoint()
        return Total(Money(subtotal), Money(discount), Money(subtotal - discount))
