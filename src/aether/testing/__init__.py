"""For slice authors and ourselves: clusters in memory under virtual time, the simulator, the pytest plugin.

Knows: every room.
Never: being imported by one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aether.testing.memory_cluster import MemoryCluster, memory_cluster

__all__ = ["MemoryCluster", "memory_cluster"]


def __getattr__(name: str) -> Any:
    """Import on first use: pytest loads this package in every run."""
    if name in __all__:
        from aether.testing import memory_cluster as module

        return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
