"""What runs on the cluster: a kitchen that cooks, and notices when nobody waits any more."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import trio

import aether


@dataclass(frozen=True)
class Dish:
    """A dataclass, since FastAPI knows them too."""

    name: str
    minutes: int


class SoldOut(aether.Fault):
    """There is nothing left of it."""

    status = 409
    name: str


@aether.slice
class Kitchen:
    left: aether.Map[str, int] = aether.map("left")
    portions: int = aether.config("kitchen.portions", default=3)
    cooking: list[str] = aether.state(factory=list[str])
    thrown_away: list[str] = aether.state(factory=list[str])

    async def cook(self, name: str, seconds: float) -> Dish:
        """One dish. The portion is taken when it is done, so a guest who leaves costs nothing."""
        self.cooking.append(name)
        try:
            await trio.sleep(seconds)
        except trio.Cancelled:
            self.thrown_away.append(name)
            raise
        finally:
            self.cooking.remove(name)
        now = await self.left.update(name, lambda left: (self.portions if left is None else left) - 1)
        if now is None or now < 0:
            raise SoldOut(name=name)
        return Dish(name, round(seconds))

    @aether.method(idempotent=True)
    async def now(self) -> list[str]:
        """What is being cooked."""
        return self.cooking

    @aether.method(idempotent=True)
    async def waste(self) -> list[str]:
        """What was thrown away because nobody waited for it any more."""
        return self.thrown_away

    @aether.lifespan
    async def lifespan(self) -> AsyncIterator[None]:
        yield
        print("the kitchen is closed", flush=True)
