"""The slice behind `benchmarks.overload`: sixteen slots of twenty milliseconds."""

import trio

import aether

SLOTS = 16
SERVICE_S = 0.02


@aether.slice(artifact="bench:work:1.0.0", concurrency=SLOTS)
class Work:
    @aether.get("/work")
    async def work(self) -> int:
        await trio.sleep(SERVICE_S)
        return 7

    @aether.get("/quick")
    async def quick(self) -> int:
        return 7
