"""What the admin API asks of the controller.

Knows: the questions, and that answers are plain data.
Never: how they are answered (room control).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from aether.model.ids import Revision


class Controller(Protocol):
    """The controller of the cluster, from any node (control.operator.ControllerOperator has it)."""

    def config(self) -> Mapping[str, object]: ...

    async def configure(
        self, given: Mapping[str, object], *, by: str = "", artifact: str = "", reset: bool = False
    ) -> Revision:
        """Raises BadInput with every problem; Conflict."""
        ...

    async def status(self) -> Mapping[str, object]: ...

    async def evaluate(self, *, acts: bool = True) -> Mapping[str, object]:
        """The leader looks now. Raises TryAgain."""
        ...

    def history(self, artifact: str = "", limit: int = 50) -> Sequence[Mapping[str, object]]: ...

    async def explain(self, artifact: str) -> Mapping[str, object]:
        """Raises NotFound."""
        ...

    async def recording(self) -> str:
        """Raises TryAgain."""
        ...

    def revision(self) -> Revision:
        """What is applied here."""
        ...
