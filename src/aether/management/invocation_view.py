"""What the admin API needs of whoever counts calls, and of whoever shows metrics to Prometheus.

Knows: two protocols.
Never: HTTP; counting.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from aether.metrics.methods import CallFigures
from aether.metrics.slow_calls import Strategy
from aether.model.artifact import Artifact
from aether.model.ids import Revision


class Invocations(Protocol):
    """The calls of the cluster, and which of them are slow."""

    @property
    def figures(self) -> CallFigures: ...

    @property
    def strategy(self) -> Strategy: ...

    async def set_strategy(self, strategy: Strategy, by: str) -> Revision:
        """On all nodes; returns once this one has applied it. Raises what KvService.propose raises."""
        ...

    def deployed(self) -> Sequence[Artifact]:
        """What is wanted to run, in order."""
        ...


class Exposition(Protocol):
    """The metrics of the answering node as text."""

    async def render(self, accept: str) -> tuple[bytes, str]:
        """Body and content type, as a header `Accept` wishes."""
        ...
