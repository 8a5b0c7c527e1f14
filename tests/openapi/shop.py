"""A slice with every kind of route, run as a script: what schemathesis sends requests to."""

import enum
from collections.abc import AsyncIterator
from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

import attrs

import aether


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


@attrs.frozen
class Line:
    sku: str
    qty: int = 1
    color: Color | None = None
    tags: frozenset[str] = frozenset()


@attrs.frozen
class Order:
    order_id: UUID
    lines: list[Line]
    placed_on: date | None = None
    parts: dict[str, int] = attrs.field(factory=dict[str, int])
    size: tuple[int, float] = (1, 1.0)


class NotThere(aether.Fault):
    """There is no such order."""

    status = 404
    order_id: UUID


class TooMuch(aether.Fault):
    """Nobody can carry that."""

    status = 409
    qty: int


@aether.slice(artifact="tests.openapi:shop:1.0.0", json_case="camel")
class Shop:
    @aether.post("/orders", status=201)
    async def place(self, order: Order, dry: Annotated[bool, aether.Query()] = False) -> Order:
        for line in order.lines:
            if line.qty > 1000:
                raise TooMuch(qty=line.qty)
        return order

    @aether.get("/orders/{order_id}")
    async def find(self, order_id: UUID, verbose: bool = False, at: datetime | None = None) -> Order:
        raise NotThere(order_id=order_id)

    @aether.delete("/orders/{order_id}")
    async def drop(self, order_id: UUID, reason: Literal["lost", "late"] = "lost") -> None:
        """Drop it."""

    @aether.put("/shelves/{number}/{name}")
    async def shelve(self, number: int, name: str, lines: list[Line], note: str = "") -> dict[str, int]:
        return {name: number, "lines": len(lines), "note": len(note)}

    @aether.get("/sums")
    async def total(
        self, numbers: list[int], factor: float = 1.0, who: Annotated[str, aether.Header("X-Who")] = ""
    ) -> float:
        return factor * sum(numbers) if abs(factor) < 1e9 else 0.0

    @aether.get("/count/{upto}")
    async def count(self, upto: int) -> AsyncIterator[int]:
        for number in range(min(upto, 3)):
            yield number

    @aether.get("/report")
    async def report(self) -> aether.Response:
        return aether.Response("all is well", content_type="text/plain; charset=utf-8")

    @aether.post("/upload")
    async def upload(self, content: aether.Body) -> int:
        return len(await content.read())


if __name__ == "__main__":
    aether.run(Shop, http=0, management=None)
