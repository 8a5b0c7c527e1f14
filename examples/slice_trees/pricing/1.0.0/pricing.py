"""What things cost, in cents."""

import aether

PRICES = {"apple": 30, "melon": 250}


class UnknownSku(aether.Fault):
    """Nobody sells that."""

    status = 404
    sku: str


@aether.slice(artifact="shop:pricing:1.0.0", instances=2)
class Pricing:
    """One price for everybody."""

    @aether.get("/prices/{sku}")
    async def price(self, sku: str) -> int:
        """Raises UnknownSku."""
        if sku not in PRICES:
            raise UnknownSku(sku=sku)
        return PRICES[sku]
