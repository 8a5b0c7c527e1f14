"""A client of the replicated store over HTTP, which believes no more than it was told.

Knows: the /kv paths of the management API; what each answer and each way of failing means for an operation.
Never: retries: one operation is one request.
Holds: FAILED only where nothing can have been sent, or where the node promises that nothing happened.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, cast

import attrs
import httpx

from aether.errors import AetherError
from aether.testing.linearizability import Operation, Outcome

MAP = "maps/nemesis/"
REQUEST_S = 4.0
NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
NOTHING_HAPPENED = frozenset({429, 503})
MAY_HAVE_HAPPENED = frozenset({500, 502, 504})


@attrs.define(eq=False)
class HarnessError(AetherError):
    """The harness did something wrong, so its verdict would mean nothing."""

    what: str

    def __str__(self) -> str:
        return self.what


@attrs.frozen
class RegisterClient:
    """Registers of one map. `reads_locally` makes its reads stale on purpose: a checker that accepts them is broken."""

    process: str
    http: httpx.AsyncClient
    urls: Mapping[str, str]
    tokens: Mapping[str, str]
    reads_locally: bool = False

    async def get(self, node: str, key: str) -> Operation:
        query = {"key": MAP + key} | ({} if self.reads_locally else {"consistent": "true"})
        return await self._run(node, key, "get", None, "GET", "/kv/row", params=query)

    async def put(self, node: str, key: str, value: str) -> Operation:
        return await self._run(node, key, "put", value, "POST", "/kv/put", json={"key": MAP + key, "value": value})

    async def cas(self, node: str, key: str, version: int, value: str) -> Operation:
        body = {"key": MAP + key, "value": value, "ifVersion": version}
        return await self._run(node, key, "cas", (version, value), "POST", "/kv/put", json=body)

    async def delete(self, node: str, key: str) -> Operation:
        return await self._run(node, key, "delete", None, "POST", "/kv/delete", json={"key": MAP + key})

    async def _run(self, node: str, key: str, kind: str, argument: Any, verb: str, path: str, **sent: Any) -> Operation:
        called = time.monotonic()
        headers = {"Authorization": f"Bearer {self.tokens[node]}"}
        outcome, result = Outcome.UNKNOWN, None
        try:
            answer = await self.http.request(verb, self.urls[node] + path, headers=headers, **sent)
            outcome, result = concluded(kind, answer.status_code, answer.content, f"{verb} {path} of {node}")
        except NOT_SENT:
            outcome = Outcome.FAILED
        except httpx.HTTPError:  # sent, or perhaps: nobody knows
            outcome = Outcome.UNKNOWN
        returned = None if outcome is Outcome.UNKNOWN else time.monotonic()
        return Operation(
            process=self.process,
            key=key,
            kind=kind,
            argument=argument,
            result=result,
            called=called,
            returned=returned,
            outcome=outcome,
        )


def concluded(kind: str, status: int, content: bytes, asked: str) -> tuple[Outcome, Any]:
    """What an answer says about an operation. Raises HarnessError for one that a correct question does not get."""
    if status in NOTHING_HAPPENED:
        return Outcome.FAILED, None
    if status in MAY_HAVE_HAPPENED:
        return Outcome.UNKNOWN, None
    answer = httpx.Response(status, content=content).json()
    body = cast("dict[str, Any]", answer)
    if status == 200:
        return Outcome.OK, _result(kind, body)
    if kind == "get" and status == 404 and body.get("kind") == "row":
        return Outcome.OK, (None, 0)
    if kind == "cas" and status == 409 and str(body.get("type", "")).endswith(":conflict"):
        return Outcome.OK, (False, None)
    raise HarnessError(f"{asked} was answered {status}: {content[:300]!r}")


def _result(kind: str, body: Mapping[str, Any]) -> Any:
    match kind:
        case "get":
            return body["value"], body["version"]
        case "put":
            return body["revision"]
        case "cas":
            return True, body["revision"]
        case _:
            return None
