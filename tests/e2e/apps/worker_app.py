"""A slice in worker processes, for the end-to-end tests."""

import os
import time
from collections.abc import AsyncIterator

import trio

import aether


@aether.slice(artifact="e2e:sums:1.0.0", host="process", concurrency=4)
class Sums:
    ended: aether.Map[str, int] = aether.map("ended")
    begun: list[float] = aether.state(factory=list[float])

    @aether.lifespan
    async def lifespan(self) -> AsyncIterator[None]:
        yield
        await self.ended.put("lifespans", 1)

    @aether.get("/pid")
    async def pid(self) -> int:
        return os.getpid()

    @aether.get("/slow")
    async def slow(self, seconds: float) -> int:
        self.begun.append(seconds)
        await trio.sleep(seconds)
        return os.getpid()

    @aether.get("/begun")
    async def slow_begun(self) -> int:
        """How many slow calls have begun."""
        return len(self.begun)

    @aether.post("/burn")
    async def burn(self, seconds: float) -> int:
        end = time.process_time() + seconds
        while time.process_time() < end:
            pass
        return os.getpid()

    @aether.get("/ticks")
    async def ticks(self, count: int) -> AsyncIterator[int]:
        for n in range(count):
            yield n
