"""Slices for the tests of hard times: what is written down, what is spread over all nodes, what holds up its loop."""

import time

import trio

import aether


@aether.slice(artifact="e2e:ledger:1.0.0", instances=3, concurrency=256)
class Ledger:
    """Its number decides which instance takes a request, so that every node is asked by every other."""

    entries: aether.Map[str, int] = aether.map("entries", entries_max=100_000)

    @aether.method(idempotent=True, affinity="number")
    @aether.put("/entries/{number}")
    async def enter(self, number: int) -> int:
        await self.entries.put(str(number), number)
        return number

    @aether.method(idempotent=True, affinity="number")
    @aether.get("/echo/{number}")
    async def echo(self, number: int) -> int:
        await trio.sleep(0.005)
        return number

    @aether.method(idempotent=True, affinity="number")
    @aether.get("/library/{number}")
    async def library(self, number: int) -> str:
        """Where the code of the library lies that answers."""
        return str(aether.__file__)


@aether.slice(artifact="e2e:brake:1.0.0", instances=1)
class Brake:
    """Code that does what it must not: it keeps the loop of its node."""

    @aether.method(idempotent=False)
    @aether.post("/brake")
    async def brake(self, seconds: float) -> None:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            pass
