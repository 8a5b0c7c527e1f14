"""What things cost, in cents, and what many of them cost."""

import aether

PRICES = {"apple": 30, "melon": 250}
MANY = 3
REBATE_PERCENT = 10


class UnknownSku(aether.Fault):
    """Nobody sells that."""

    status = 404
    sku: str


@aether.slice(artifact="shop:pricing:1.1.0", instances=2)
class Pricing:
    """A rebate for who takes many."""

    @aether.get("/prices/{sku}")
    async def price(self, sku: str, pieces: int = 1) -> int:
        """Raises UnknownSku."""
        if sku not in PRICES:
            raise UnknownSku(sku=sku)
        whole = PRICES[sku] * pieces
        return whole - whole * REBATE_PERCENT // 100 if pieces >= MANY else whole

    @aether.get("/prices")
    async def prices(self) -> dict[str, int]:
        """The list for one piece each."""
        return PRICES
