"""For slice authors and ourselves: clusters in memory under virtual time, fakes, failures of each call, the simulator.

Knows: every room.
Never: being imported by one.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from aether.testing.acting import acting_as
    from aether.testing.clusters import MemoryCluster, memory_cluster
    from aether.testing.failures import BrokenByFailure, Failures, each_failure
    from aether.testing.fakes import fake, in_turn
    from aether.testing.recording import RecordedCall, recorded

__all__ = [
    "BrokenByFailure",
    "Failures",
    "MemoryCluster",
    "RecordedCall",
    "acting_as",
    "each_failure",
    "fake",
    "in_turn",
    "memory_cluster",
    "recorded",
]

_MODULES: Final = {
    "acting": ("acting_as",),
    "clusters": ("MemoryCluster", "memory_cluster"),
    "failures": ("BrokenByFailure", "Failures", "each_failure"),
    "fakes": ("fake", "in_turn"),
    "recording": ("RecordedCall", "recorded"),
}


def __getattr__(name: str) -> Any:
    """Import on first use: pytest loads this package in every run."""
    for module, names in _MODULES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
