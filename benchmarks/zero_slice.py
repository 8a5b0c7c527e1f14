"""A slice that is updated, drained, scaled and killed under load. Each request takes about WORK_S."""

from __future__ import annotations

import trio

import aether

WORK_S = 0.005


@aether.slice(artifact="bench.zero:echo:1.0.0", instances=3, concurrency=256)
class Echo:
    @aether.get("/echo/{number}")
    async def echo(self, number: int) -> str:
        await trio.sleep(WORK_S)
        return f"{number}"

    @aether.method(idempotent=False)
    @aether.post("/orders")
    async def order(self, number: int) -> str:
        await trio.sleep(WORK_S)
        return f"{number}"
