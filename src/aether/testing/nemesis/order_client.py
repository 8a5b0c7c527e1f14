"""A customer who places orders and believes no more than what he was told.

Knows: the HTTP paths of the order demo; which answers may be repeated under the same idempotency key.
Never: faults, verdicts.
Holds: an operation ends with a definite answer, or is of unknown outcome after ORDER_S; it is repeated on other nodes
       until then. Only what cannot have reached any node has failed: placing an order is several writes, so a 503 may
       come after the first of them.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Hashable, Mapping
from typing import Any, Final, cast

import attrs
import httpx
import trio

from aether.forge.load import pause_s
from aether.testing.linearizability import Operation, Outcome
from aether.testing.nemesis.client import NOT_SENT, HarnessError

ORDER_S: Final = 15.0
ATTEMPT_S: Final = 3.0
AGAIN: Final = frozenset({429, 500, 502, 503, 504})


@attrs.frozen
class OrderClient:
    """All operations of one customer."""

    process: str
    http: httpx.AsyncClient
    urls: Mapping[str, str]
    order_s: float = ORDER_S

    async def place(self, key: str, order: Mapping[str, object], rng: random.Random) -> Operation:
        headers = {"Idempotency-Key": key}
        return await self._run("place", key, rng, "POST", "/api/orders", json=order, headers=headers)

    async def read(self, key: str, order_id: str, rng: random.Random) -> Operation:
        return await self._run("read", key, rng, "GET", f"/api/orders/{order_id}")

    async def cancel(self, key: str, order_id: str, rng: random.Random) -> Operation:
        return await self._run("cancel", key, rng, "DELETE", f"/api/orders/{order_id}")

    async def _run(self, kind: str, key: str, rng: random.Random, verb: str, path: str, **sent: Any) -> Operation:
        called, nodes = time.monotonic(), rng.sample(sorted(self.urls), len(self.urls))
        outcome, result = Outcome.FAILED, None
        with trio.move_on_after(self.order_s):
            for tries, node in enumerate(itertools.cycle(nodes)):
                before, outcome = outcome, Outcome.UNKNOWN  # of an attempt that is cut off
                try:
                    with trio.fail_after(ATTEMPT_S):
                        answer = await self.http.request(verb, self.urls[node] + path, **sent)
                except NOT_SENT:
                    outcome = before
                except (httpx.HTTPError, trio.TooSlowError):
                    outcome = Outcome.UNKNOWN
                else:
                    if answer.status_code not in AGAIN:
                        outcome, result = Outcome.OK, meaning(kind, answer, f"{verb} {path} of {node}")
                        break
                await trio.sleep(pause_s(tries, rng.random()))
        return Operation(
            process=self.process,
            key=key,
            kind=kind,
            result=result,
            called=called,
            returned=time.monotonic() if outcome is not Outcome.UNKNOWN else None,
            outcome=outcome,
        )


def meaning(kind: str, answer: httpx.Response, asked: str) -> Hashable:
    """The result of an operation that was answered. Raises HarnessError for what no correct question is answered."""
    try:
        body = cast("dict[str, Any]", answer.json())
    except ValueError:
        body = {}
    if answer.status_code == 200:
        return (body["orderId"], body["status"]) if kind == "place" else cast("str", body["status"])
    if kind != "place" and answer.status_code == 404 and body.get("fault") == "OrderNotFound":
        return None
    raise HarnessError(f"{asked} was answered {answer.status_code}: {answer.text[:300]}")
