"""The slice of most scenarios. Another version of it is this same text with another VERSION."""

import secrets

import trio

import aether

VERSION = "1.0.0"


def drawn_mark() -> str:
    return secrets.token_hex(8)


@aether.slice(artifact=f"scenario:shop:{VERSION}", instances=1)
class Shop:
    """`mark` is drawn by each instance: it tells which one answered."""

    mark: str = aether.state(factory=drawn_mark)

    @aether.get("/shop/version")
    async def version(self) -> dict[str, str]:
        return {"version": VERSION, "mark": self.mark}

    @aether.get("/shop/price/{sku}")
    async def price(self, sku: str, pieces: int = 1) -> int:
        return 100 * pieces

    @aether.post("/shop/orders")
    async def order(self, sku: str, pieces: int) -> dict[str, str]:
        return {"sku": sku, "total": str(100 * pieces), "version": VERSION}

    @aether.get("/shop/slow")
    async def slow(self, seconds: float) -> dict[str, str]:
        """It takes so long, and may be repeated elsewhere, as every GET."""
        await trio.sleep(seconds)
        return {"version": VERSION, "mark": self.mark}

    @aether.get("/shop/broken")
    async def broken(self) -> str:
        raise RuntimeError("the price list is gone")
