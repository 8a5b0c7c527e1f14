"""A slice that is updated, drained, scaled and killed under load. A request takes about WORK_S, a slow one SLOW_S.

Its number decides which instance takes a request: without that the nearest one would take them all, and nothing that is
done to other nodes could be seen by anybody.
"""

from __future__ import annotations

import trio

import aether

WORK_S = 0.005
SLOW_S = 0.5


@aether.slice(artifact="bench.zero:echo:1.0.0", instances=3, concurrency=256)
class Echo:
    @aether.method(affinity="number")
    @aether.get("/echo/{number}")
    async def echo(self, number: int) -> str:
        await trio.sleep(WORK_S)
        return f"{number}"

    @aether.method(idempotent=False, affinity="number")
    @aether.post("/orders")
    async def order(self, number: int) -> str:
        await trio.sleep(WORK_S)
        return f"{number}"

    @aether.method(affinity="number")
    @aether.get("/slow/{number}")
    async def slow(self, number: int) -> str:
        await trio.sleep(SLOW_S)
        return f"{number}"

    @aether.method(idempotent=False, affinity="number")
    @aether.post("/slow-orders")
    async def slow_order(self, number: int) -> str:
        await trio.sleep(SLOW_S)
        return f"{number}"

    @aether.method(idempotent=True, affinity="number")
    @aether.post("/notes")
    async def note(self, number: int) -> str:
        await trio.sleep(WORK_S)
        return f"{number}"

    @aether.method(idempotent=True, affinity="number")
    @aether.post("/slow-notes")
    async def slow_note(self, number: int) -> str:
        await trio.sleep(SLOW_S)
        return f"{number}"
