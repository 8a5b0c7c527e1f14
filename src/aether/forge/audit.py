"""Does every survivor hold every acknowledged order, once, and did stock go down by exactly what was sold?

Knows: the rows of the order demo's maps as JSON, the outcomes its clients saw.
Never: how either was fetched.
Holds: an audit finds nothing only when it had something to look at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from aether.forge.load import OrderOutcome

SOLD = frozenset({"CONFIRMED", "PROCESSING", "SHIPPED", "DELIVERED"})


@attrs.frozen(kw_only=True)
class Audit:
    """What one node's copy says. `taken` and `sold` count pieces per product."""

    node: str
    acknowledged: int
    missing: tuple[str, ...]
    duplicated: tuple[str, ...]
    undecided: tuple[str, ...]
    taken: Mapping[str, int]
    sold: Mapping[str, int]
    reserved: Mapping[str, int]

    @property
    def clean(self) -> bool:
        return (
            self.acknowledged > 0
            and not (self.missing or self.duplicated or self.undecided)
            and self.taken == self.sold == self.reserved
        )


def audit(
    node: str,
    outcomes: Iterable[OrderOutcome],
    orders: Mapping[str, Mapping[str, Any]],
    inventory: Mapping[str, Mapping[str, Any]],
    initial: int,
) -> Audit:
    """Compare what clients were told with the rows of maps `orders` and `inventory` in one node's copy.

    missing     acknowledged orders that are absent or not sold; duplicated  idempotency keys that stand in two orders
    undecided   orders left PENDING: every client kept asking until it had an answer, so there must be none
    """
    placed = {str(o.answer.get("orderId")): o for o in outcomes if o.placed}
    by_key = Counter(str(order["key"]) for order in orders.values() if order["key"])
    missing = [i for i, o in placed.items() if orders.get(i, {}).get("key") != o.key or orders[i]["status"] not in SOLD]
    return Audit(
        node=node,
        acknowledged=len(placed),
        missing=tuple(sorted(missing)),
        duplicated=tuple(sorted(key for key, count in by_key.items() if count > 1)),
        undecided=tuple(sorted(i for i, order in orders.items() if order["status"] == "PENDING")),
        taken=_taken(inventory, initial),
        sold=_sold(orders),
        reserved=_reserved(inventory),
    )


def _taken(inventory: Mapping[str, Mapping[str, Any]], initial: int) -> dict[str, int]:
    left = {k.removeprefix("stock/"): row["available"] for k, row in inventory.items() if k.startswith("stock/")}
    return {product: initial - available for product, available in left.items() if available != initial}


def _sold(orders: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    sold: Counter[str] = Counter()
    for order in orders.values():
        if order["status"] in SOLD:
            for item in order["items"]:
                sold[item["product_id"]] += item["quantity"]
    return dict(sold)


def _reserved(inventory: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    reserved: Counter[str] = Counter()
    for key, row in inventory.items():
        if key.startswith("reservation/") and not row["released"]:
            reserved[key.rpartition("/")[2]] += row["quantity"]
    return dict(reserved)
