"""`python -m aether.testing.nemesis.order_workload`: customers in a process of their own, recording what they see.

Knows: which operation a customer tries next, and how fast.
Never: faults, verdicts.
Holds: as in `workload`: an operation is recorded when it has ended. Some orders are placed twice at once under one key,
       and some again long after: they must be the same order.
"""

from __future__ import annotations

import itertools
import json
import random
import sys
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TextIO, cast

import attrs
import httpx
import trio

from aether.forge.demo import order_demo
from aether.testing.linearizability import Operation, Outcome
from aether.testing.nemesis.order_client import ORDER_S, OrderClient
from aether.testing.nemesis.workload import WorkloadPlan, cancel_on_signal, main, recorder

REMEMBERED: Final = 40
PRODUCTS: Final = frozenset({"PROD-ABC123", "PROD-DEF456", "PROD-GHI789"})
"""What the order demo sells: some of its orders ask for something else on purpose."""

TWICE_SHARE: Final = 0.15
KINDS: Final[Mapping[str, float]] = {"place": 45, "read": 40, "again": 8, "cancel": 7}


def demo_orders() -> list[dict[str, object]]:
    """Those of the order demo that nothing is wrong with."""
    lines = (order_demo() / "orders.jsonl").read_text().splitlines()
    found = [cast("dict[str, Any]", json.loads(line)) for line in lines if line.strip()]
    return [o for o in found if not o.get("discountCode") and all(i["productId"] in PRODUCTS for i in o["items"])]


def order_under(key: str, orders: Sequence[Mapping[str, object]]) -> Mapping[str, object]:
    """What is asked for under `key`: always the same, so that whoever repeats it asks for the same order."""
    return orders[zlib.crc32(key.encode()) % len(orders)]


@attrs.define(eq=False)
class Customer:
    """One customer: one operation after the other, now and then two at once."""

    client: OrderClient
    rng: random.Random
    orders: Sequence[Mapping[str, object]]
    record: Callable[[Operation], None]
    _known: dict[str, str] = attrs.field(factory=dict[str, str])

    async def run(self, pause_s: float) -> None:
        due = trio.current_time() + self.rng.random() * pause_s
        for number in itertools.count():
            await trio.sleep_until(due)
            with trio.CancelScope(shield=True):  # what was asked is recorded; bounded by ORDER_S
                await self._next(number)
            await trio.lowlevel.checkpoint()
            due = max(due + pause_s, trio.current_time() - 1.0)

    async def _next(self, number: int) -> None:
        kind = self.rng.choices(list(KINDS), list(KINDS.values()))[0]
        if kind == "place" or not self._known:
            await self._place(f"{self.client.process}-{number}")
            return
        key = self.rng.choice(list(self._known))
        order_id = self._known[key]
        match kind:
            case "read":
                self.record(await self.client.read(key, order_id, self.rng))
            case "again":
                self.record(await self.client.place(key, order_under(key, self.orders), self.rng))
            case _:
                self.record(await self.client.cancel(key, order_id, self.rng))

    async def _place(self, key: str) -> None:
        done: list[Operation] = []
        order = order_under(key, self.orders)

        async def one(client: OrderClient) -> None:
            operation = await client.place(key, order, self.rng)
            self.record(operation)
            done.append(operation)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(one, self.client)
            if self.rng.random() < TWICE_SHARE:
                nursery.start_soon(one, attrs.evolve(self.client, process=f"{self.client.process}+"))
        told = [cast("tuple[str, str]", o.result)[0] for o in done if o.outcome is Outcome.OK]
        if told:
            if len(self._known) >= REMEMBERED:
                del self._known[next(iter(self._known))]
            self._known[key] = told[0]


async def run_customers(plan: WorkloadPlan, history: TextIO) -> None:
    """All customers of `plan` until SIGTERM."""
    record, orders = recorder(history), demo_orders()
    limits = httpx.Limits(max_connections=6 * plan.clients, max_keepalive_connections=plan.clients)
    async with httpx.AsyncClient(timeout=ORDER_S, limits=limits, trust_env=False) as http:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cancel_on_signal, nursery.cancel_scope)
            for number in range(plan.clients):
                client = OrderClient(f"{plan.name}.{number}", http, plan.urls)
                rng = random.Random(f"{plan.seed} {plan.name} {number}")
                customer = Customer(client, rng, orders, record)
                nursery.start_soon(customer.run, plan.clients / plan.rate if plan.rate else 0.0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], run_customers))
