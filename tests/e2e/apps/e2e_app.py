"""Slices for the end-to-end tests."""

from collections.abc import AsyncIterator

import trio

import aether


@aether.slice(artifact="e2e:echo:1.0.0", instances=1)
class Echo:
    @aether.get("/echo/{text}")
    async def echo(self, text: str, times: int = 1) -> str:
        return text * times


@aether.slice(artifact="e2e:counter:1.0.0", instances=1)
class Counter:
    counts: aether.Map[str, int] = aether.map("counts")

    @aether.put("/counts/{name}")
    async def put(self, name: str, value: int) -> int:
        await self.counts.put(name, value)
        return value

    @aether.get("/counts/{name}")
    async def get(self, name: str) -> int | None:
        return await self.counts.get(name)


@aether.slice(artifact="e2e:broken:1.0.0", instances=1)
class Broken:
    """Its start raises."""

    @aether.lifespan
    async def lifespan(self) -> AsyncIterator[None]:
        raise RuntimeError("the broken slice cannot start")
        yield

    async def nothing(self) -> None: ...


@aether.slice(artifact="e2e:slow:1.0.0", instances=1)
class Slow:
    @aether.get("/slow/{seconds}")
    async def slow(self, seconds: float) -> str:
        await trio.sleep(seconds)
        return "done"
