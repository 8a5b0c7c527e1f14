"""Customers of the order demo, and of a shop that is updated meanwhile: a steady rate, answers believed to the letter.

A process of its own (`python -m benchmarks.soak.load PLAN`), for the one that starts it carries the nodes' own traffic.
It writes what it saw as JSON, a line every `every_s`, and after SIGTERM a last one with what went wrong.

Knows: paths of HTTP and of the management API, which answers a client may repeat, how long orders are kept.
Never: what is done to the cluster; single latencies beyond the current sample.
Holds: a request is due at its time, and its latency counts from then; every one is repeated on another node until it
       has a definite answer or its own deadline is over, which is a failure. Orders are deleted RETENTION_S after they
       were placed, and the deadline, as an archive would: so the rows of a healthy cluster stay as many as they are.
"""

from __future__ import annotations

import itertools
import json
import random
import secrets
import sys
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn, Protocol
from urllib.parse import quote

import attrs
import httpx
import trio

from aether.forge.load import ORDER_S, REPEATABLE, pause_s, percentile
from aether.testing.nemesis.workload import cancel_on_signal

RETENTION_S: Final = 90.0
ATTEMPT_SHARE: Final = 0.25
"""Of the deadline: then a node that has not answered is passed over."""

IN_FLIGHT_MAX: Final = 100
REMEMBERED_MAX: Final = 5_000
PROBLEM_CHARS_MAX: Final = 300
REFUSED: Final = (404, 409, 422)
WRONG_MAX: Final = 20
DELETE_TRIES: Final = 20
ARCHIVISTS: Final = 4
CALLED: Final = "org.pragmatica-lite.aether.demo:inventory-service"
MIX: Final[Mapping[str, float]] = {"place": 10, "read": 60, "cancel": 3, "price": 22, "call": 5}
"""place, read, cancel: orders over HTTP; price: the shop in worker processes; call: a typed call by an operator"""


@attrs.frozen
class Placed:
    at_s: float
    key: str
    order_id: str
    reservations: tuple[str, ...]


@attrs.define
class Tally:
    """What customers saw since it was made. asked_again  attempts beyond the first of each request"""

    latencies: list[float] = attrs.field(factory=list[float])
    done: Counter[str] = attrs.field(factory=Counter[str])
    failed: Counter[str] = attrs.field(factory=Counter[str])
    asked_again: int = 0
    held: int = 0

    def figures(self) -> dict[str, float]:
        return {
            "requests": float(self.done.total() + self.failed.total()),
            "failed": float(self.failed.total()),
            "asked_again": float(self.asked_again),
            "held": float(self.held),
            "p50": percentile(self.latencies, 0.5) if self.latencies else 0.0,
            "p99": percentile(self.latencies, 0.99) if self.latencies else 0.0,
        }


@attrs.frozen
class Attempt:
    """One way to ask: verb and path below the HTTP or the management address of whichever node is asked."""

    verb: str
    path: str
    body: Any = None
    headers: Mapping[str, str] = attrs.field(factory=dict[str, str])
    is_management: bool = False


class Asking(Protocol):
    """What customers need of an httpx.AsyncClient."""

    async def request(self, method: str, url: str, /, *, json: Any, headers: Mapping[str, str]) -> httpx.Response:
        """Raises httpx.HTTPError."""
        ...


@attrs.define(eq=False)
class Customers:
    """All customers of one run. `wrong` are answers that no healthy cluster gives; `tally` is taken by `next_tally`."""

    http: Asking
    urls: Mapping[str, str]
    management: Mapping[str, str]
    tokens: Mapping[str, str]
    orders: Sequence[Mapping[str, object]]
    rate: float
    deadline_s: float = ORDER_S
    mix: Mapping[str, float] = MIX
    tally: Tally = attrs.field(factory=Tally)
    wrong: list[str] = attrs.field(factory=list[str])
    wrong_total: int = 0
    in_flight: int = 0
    deleted: int = 0
    _began: float = attrs.field(factory=trio.current_time)
    _run_key: str = attrs.field(factory=lambda: secrets.token_hex(4))
    _rng: random.Random = attrs.field(factory=random.Random)
    _numbers: itertools.count[int] = attrs.field(factory=itertools.count)
    _placed: deque[Placed] = attrs.field(factory=deque[Placed])
    _cancelled: set[str] = attrs.field(factory=set[str])

    @property
    def _readable_s(self) -> float:
        """So long after it was placed an order may still be read or cancelled: then it is there until the answer."""
        return RETENTION_S

    def next_tally(self) -> Tally:
        """What was seen since the last time."""
        taken, self.tally = self.tally, Tally()
        return taken

    async def run(self) -> NoReturn:
        """Ask at the rate until cancelled."""
        kinds, weights = list(self.mix), list(self.mix.values())
        async with trio.open_nursery() as nursery:
            for _ in range(ARCHIVISTS):
                nursery.start_soon(self._archive)
            for number in itertools.count():
                due = self._began + number / self.rate
                await trio.sleep_until(due)
                if self.in_flight >= IN_FLIGHT_MAX:
                    self.tally.held += 1
                    continue
                nursery.start_soon(self._one, self._rng.choices(kinds, weights)[0], due)
        raise AssertionError("it asks until it is cancelled")

    async def _one(self, kind: str, due: float) -> None:
        self.in_flight += 1
        ask = {
            "place": self._place,
            "read": self._read,
            "cancel": self._cancel,
            "price": self._price,
            "call": self._call,
        }[kind]
        problem = await ask()
        self.in_flight -= 1
        if problem:
            self.tally.failed[kind] += 1
            self._note(f"{kind} at {due - self._began:.1f} s: {problem}")
        else:
            self.tally.done[kind] += 1
            self.tally.latencies.append(trio.current_time() - due)

    # --- what is asked: each answers what is wrong, "" = nothing ------------------------------------------------------

    async def _place(self) -> str:
        number = next(self._numbers)
        key, order = f"soak-{self._run_key}-{number}", self.orders[number % len(self.orders)]
        status, answer = await self._asked(Attempt("POST", "/api/orders", order, {"Idempotency-Key": key}))
        if status in REFUSED and "fault" in answer:  # some orders are wrong on purpose
            return ""
        if status != 200:
            return f"{status} {answer}"
        placed = Placed(trio.current_time(), key, answer["orderId"], tuple(answer["reservationIds"]))
        if len(self._placed) < REMEMBERED_MAX:
            self._placed.append(placed)
        return ""

    async def _read(self) -> str:
        order = self._recent()
        if order is None:
            return await self._place()
        status, answer = await self._asked(Attempt("GET", f"/api/orders/{order.order_id}"))
        if status != 200:
            return f"{order.order_id}, which was placed {trio.current_time() - order.at_s:.1f} s ago: {status} {answer}"
        good = {"CONFIRMED", "CANCELLED"} if order.order_id in self._cancelled else {"CONFIRMED"}
        return "" if answer["status"] in good else f"{order.order_id} is {answer['status']}"

    async def _cancel(self) -> str:
        order = self._recent()
        if order is None:
            return await self._place()
        self._cancelled.add(order.order_id)  # from now on it may be
        status, answer = await self._asked(Attempt("DELETE", f"/api/orders/{order.order_id}"))
        return "" if status == 200 and answer["status"] == "CANCELLED" else f"{status} {answer}"

    async def _price(self) -> str:
        status, answer = await self._asked(Attempt("GET", "/shop/price/apples"))
        return "" if status == 200 and answer in (100, 90) else f"{status} {answer}"

    async def _call(self) -> str:
        arguments = {"product_id": "PROD-ABC123", "quantity": 1}
        body = {"slice": CALLED, "method": "check_stock", "arguments": arguments}
        status, answer = await self._asked(Attempt("POST", "/call", body, is_management=True))
        is_done = status == 200 and answer["outcome"] == "done" and answer["result"]["sufficient"]
        return "" if is_done else f"{status} {answer}"

    def _recent(self) -> Placed | None:
        """One of the orders of the last RETENTION_S; None when there is none."""
        oldest = trio.current_time() - self._readable_s
        recent = list(itertools.takewhile(lambda order: order.at_s > oldest, reversed(self._placed)))
        return self._rng.choice(recent) if recent else None

    # --- asking -------------------------------------------------------------------------------------------------------

    async def _asked(self, attempt: Attempt) -> tuple[int, Any]:
        """The first definite answer of any node; that of the last one asked when the deadline is over."""
        nodes = list(self.urls)
        first = self._rng.randrange(len(nodes))
        status, answer = 0, "no answer"
        with trio.move_on_after(self.deadline_s):
            for tries, node in enumerate(itertools.cycle([*nodes[first:], *nodes[:first]])):
                self.tally.asked_again += tries > 0
                status, answer = await self._once(node, attempt)
                if status and status not in REPEATABLE:
                    break
                await trio.sleep(pause_s(tries, self._rng.random()))
        return status, answer

    async def _once(self, node: str, attempt: Attempt) -> tuple[int, Any]:
        headers = dict(attempt.headers)
        base = self.management[node] if attempt.is_management else self.urls[node]
        if attempt.is_management:
            headers["Authorization"] = f"Bearer {self.tokens[node]}"
        try:
            with trio.fail_after(self.deadline_s * ATTEMPT_SHARE):
                answer = await self.http.request(attempt.verb, base + attempt.path, json=attempt.body, headers=headers)
        except (httpx.HTTPError, trio.TooSlowError) as error:
            return 0, f"{node}: {type(error).__name__} {error}"
        try:
            return answer.status_code, answer.json()
        except ValueError:
            return answer.status_code, answer.text

    # --- the archive --------------------------------------------------------------------------------------------------

    async def _archive(self) -> NoReturn:
        """One of ARCHIVISTS: delete what is old enough, one order after the other."""
        while True:
            kept_s = self._readable_s + self.deadline_s + 5.0  # nobody asks for it any more
            if not self._placed or trio.current_time() - self._placed[0].at_s < kept_s:
                await trio.sleep(0.5)
                continue
            order = self._placed.popleft()
            for row in rows_of(order):
                await self._delete(row)
            self._cancelled.discard(order.order_id)
            self.deleted += 1

    async def _delete(self, row: str) -> None:
        attempt = Attempt("POST", "/kv/delete", {"key": row}, is_management=True)
        for _ in range(DELETE_TRIES):
            status, answer = await self._asked(attempt)
            if status == 200:
                return
        self._note(f"row {row} cannot be deleted: {status} {answer}")

    def _note(self, problem: str) -> None:
        self.wrong_total += 1
        if len(self.wrong) < WRONG_MAX:
            self.wrong.append(problem[:PROBLEM_CHARS_MAX])


def rows_of(order: Placed) -> list[str]:
    """Every row that an order left, as keys of the store."""
    number = order.order_id
    products = [f"PROD-{each.rpartition('-')[2]}" for each in order.reservations]
    reservations = [f"maps/inventory/{quote(f'reservation/{number}/{product}', safe='')}" for product in products]
    return [f"maps/orders/{number}", *reservations]


def read_orders(text: str) -> list[Mapping[str, object]]:
    return [json.loads(line) for line in text.splitlines() if line.strip()]


@attrs.frozen(kw_only=True)
class LoadPlan:
    """Travels as JSON on the command line. urls, management, tokens  by node; orders  a file of them"""

    urls: dict[str, str]
    management: dict[str, str]
    tokens: dict[str, str]
    orders: str
    rate: float
    deadline_s: float
    every_s: float


async def run_load(plan: LoadPlan) -> None:
    """Customers until SIGTERM, and what they saw on standard output."""
    orders = read_orders(await trio.Path(plan.orders).read_text())
    limits = httpx.Limits(max_connections=2 * IN_FLIGHT_MAX, max_keepalive_connections=16, keepalive_expiry=30.0)
    async with httpx.AsyncClient(timeout=plan.deadline_s, limits=limits, trust_env=False) as http:
        customers = Customers(http, plan.urls, plan.management, plan.tokens, orders, plan.rate, plan.deadline_s)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cancel_on_signal, nursery.cancel_scope)
            nursery.start_soon(customers.run)
            while True:
                await trio.sleep(plan.every_s)
                print(json.dumps({"seen": customers.next_tally().figures()}), flush=True)
    print(json.dumps({"wrong": customers.wrong, "total": customers.wrong_total}), flush=True)


if __name__ == "__main__":
    trio.run(run_load, LoadPlan(**json.loads(sys.argv[1])))
