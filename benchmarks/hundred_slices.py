"""A hundred slices, for what it costs to deploy many."""

from __future__ import annotations

from typing import Final

import aether

COUNT: Final = 100


def _made(number: int) -> type:
    class Small:
        async def answer(self) -> int:
            return 42

    Small.__qualname__ = Small.__name__ = f"Small{number:03}"
    return aether.slice(artifact=f"bench.many:s{number:03}:1.0.0")(Small)


globals().update({f"Small{number:03}": _made(number) for number in range(COUNT)})
