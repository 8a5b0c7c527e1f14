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
