"""The slice behind `benchmarks.http`: what the bare server computes, as a method with types."""

import attrs

import aether


@attrs.frozen
class Quote:
    sku: str
    total: int


@aether.slice(artifact="bench:quotes:1.0.0")
class Quotes:
    @aether.post("/quote")
    async def quote(self, sku: str, qty: int) -> Quote:
        return Quote(sku, 250 * qty)

    async def reckon(self, sku: str, qty: int) -> Quote:
        """The same by a method that may suspend, as most that do more than compute."""
        return await self._reckoned(sku, qty)

    async def _reckoned(self, sku: str, qty: int) -> Quote:
        return Quote(sku, 250 * qty)
