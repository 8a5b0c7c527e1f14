"""The stock as a slice: what is left is a map of the cluster, and every withdrawal has a name."""

from collections.abc import AsyncIterator

import aether

FIRST = {"tea": 10, "cup": 3}


class OutOfStock(aether.Fault):
    """There are not enough pieces left."""

    status = 409
    sku: str
    left: int


@aether.slice(artifact="shop:stock:1.0.0", instances=2)
class Stock:
    pieces: aether.Map[tuple[str, str], int] = aether.map("stock")

    @aether.lifespan
    async def lifespan(self) -> AsyncIterator[None]:
        """Bring what the old shop had; what is there already stays."""
        for sku, count in FIRST.items():
            await self.pieces.put_if_absent(("left", sku), count)
        yield

    @aether.get("/stock/{sku}")
    async def left(self, sku: str) -> int:
        return await self.pieces.get(("left", sku)) or 0

    @aether.method(idempotent=True)
    async def take(self, order: str, sku: str, quantity: int) -> None:
        """Take pieces for an order: once, however often it is asked for."""
        here, taken = ("left", sku), ("taken", order)
        while True:  # again only when another order took some of the same pieces
            before, done = await self.pieces.entry(here), await self.pieces.entry(taken)
            if done.value is not None:
                return
            left = (before.value or 0) - quantity
            if left < 0:
                raise OutOfStock(sku=sku, left=before.value or 0)
            if await self.pieces.apply({here: left, taken: quantity}, {here: before.version, taken: 0}):
                return
