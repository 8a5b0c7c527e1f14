"""An operator at a node's management port: ready? who leads? where does what run? what is stored?

Knows: the management API's paths and answers, the admin token.
Never: how nodes are started, tables for people.
Holds: every wait has a deadline, and the error that ends it says what was still missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import httpx
import trio

from aether.errors import NoQuorum, OutcomeUnknown

POLL_S = 0.05
REQUEST_S = 10.0
PAGE_ROWS = 1_000


class Console:
    """One operator, many nodes. `urls` maps node to management URL; `tokens` maps node to its admin token."""

    def __init__(self, client: httpx.AsyncClient, urls: Mapping[str, str], token: Callable[[str], str]) -> None:
        self._client = client
        self.urls = urls
        self._token = token

    async def get(self, node: str, path: str) -> Any:
        """The JSON answer of GET `path`. Raises httpx.HTTPError."""
        answer = await self._client.get(self.urls[node] + path)
        answer.raise_for_status()
        return answer.json()

    async def post(self, node: str, path: str, *, text: str = "", body: object = None) -> Any:
        """The JSON answer of POST `path` with a TOML text or a JSON body. Raises httpx.HTTPStatusError."""
        headers = {"Authorization": f"Bearer {self._token(node)}"}
        if text:
            headers["Content-Type"] = "application/toml"
            answer = await self._client.post(self.urls[node] + path, content=text.encode(), headers=headers)
        else:
            answer = await self._client.post(self.urls[node] + path, json=body, headers=headers)
        if answer.is_error:
            raise httpx.HTTPStatusError(f"{path}: {answer.text}", request=answer.request, response=answer)
        return answer.json()

    async def is_ready(self, node: str) -> bool:
        try:
            answer = await self._client.get(self.urls[node] + "/health/ready")
        except httpx.HTTPError:
            return False
        return answer.status_code == 200

    async def wait_ready(self, node: str, deadline_s: float) -> None:
        """Return once `node` is ready to serve. Raises NoQuorum after `deadline_s`."""
        with trio.move_on_after(deadline_s):
            while not await self.is_ready(node):
                await trio.sleep(POLL_S)
            return
        raise NoQuorum(0, 1) from TimeoutError(f"{node} was not ready after {deadline_s} s")

    async def leader(self, node: str) -> str | None:
        """Who leads, as `node` sees it; None in an election or when it does not answer."""
        try:
            status = await self.get(node, "/status")
        except httpx.HTTPError:
            return None
        return status.get("leader") or None

    async def instances(self, node: str) -> list[dict[str, Any]]:
        """Every instance as `node` sees it: artifact, instance, nodeId, state, reason."""
        answer = await self.get(node, "/slices/status")
        return [
            {"artifact": each["artifact"], **instance} for each in answer["slices"] for instance in each["instances"]
        ]

    async def wait_active(self, node: str, wanted: Mapping[str, int], deadline_s: float) -> None:
        """Return once `node` sees `wanted` ACTIVE instances of each artifact. Raises OutcomeUnknown."""
        missing: dict[str, int] = dict(wanted)
        with trio.move_on_after(deadline_s):
            while missing:
                missing = await self._missing(node, wanted)
                if missing:
                    await trio.sleep(POLL_S)
            return
        raise OutcomeUnknown(f"after {deadline_s} s {node} still lacks ACTIVE instances: {missing}")

    async def _missing(self, node: str, wanted: Mapping[str, int]) -> dict[str, int]:
        try:
            instances = await self.instances(node)
        except httpx.HTTPError:
            return dict(wanted)
        active = [i["artifact"] for i in instances if i["state"] == "ACTIVE"]
        return {a: n - active.count(a) for a, n in wanted.items() if active.count(a) < n}

    async def map_rows(self, node: str, name: str) -> dict[str, Any]:
        """All rows of the replicated map `name` in `node`'s own copy, key -> value as JSON."""
        rows: dict[str, Any] = {}
        after = ""
        while True:
            page = await self._client.get(
                f"{self.urls[node]}/maps/{name}", params={"limit": PAGE_ROWS, **({"after": after} if after else {})}
            )
            page.raise_for_status()
            entries = page.json()["entries"]
            rows |= {entry["key"]: entry["value"] for entry in entries}
            if len(entries) < PAGE_ROWS:
                return rows
            after = entries[-1]["key"]
