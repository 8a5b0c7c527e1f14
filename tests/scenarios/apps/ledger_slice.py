"""A slice with replicated state: what was acknowledged must be there afterwards."""

import aether


@aether.slice(artifact="scenario:ledger:1.0.0", instances=1)
class Ledger:
    entries: aether.Map[str, int] = aether.map("entries")

    @aether.put("/ledger/{name}")
    async def put(self, name: str, value: int) -> int:
        await self.entries.put(name, value)
        return value

    @aether.get("/ledger/{name}")
    async def get(self, name: str) -> int | None:
        return await self.entries.get(name)
