"""The mutations an operator can ask for, from any node.

Knows: how blueprints, deploy, scale and undeploy become one compare-and-set batch of wishes.
Never: instances; reconcile turns wishes into those.
Holds: an artifact is owned by one blueprint; asking for what is already so writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import attrs

from aether.kv.service import KvService
from aether.model.artifact import Artifact
from aether.model.rows import Applied
from aether.slice_api.contract import Contract


@attrs.frozen
class BlueprintApplied(Applied):
    """`slices` as resolved; `number` of the blueprint in force."""

    id: str
    number: int
    slices: tuple[Artifact, ...]


@attrs.frozen
class Wished(Applied):
    """The wish in force for one artifact: None when nothing is wanted any more."""

    artifact: Artifact | None
    instances: int


class Operator:
    """Mutations of the desired state. Each answers once this node has applied it.

    wall       wall-clock seconds, stamped into blueprint rows
    instances  a slice's own default count, where this process knows it (else 1)
    """

    def __init__(
        self, kv: KvService, wall: Callable[[], float], instances: Callable[[Artifact], int] = lambda artifact: 1
    ) -> None: ...

    async def apply(self, text: str, applied_by: str = "", default_id: str = "app") -> BlueprintApplied:
        """Put a blueprint in force. Raises BadInput (every problem at once), Conflict (an artifact has another owner)."""
        raise NotImplementedError

    async def deploy(self, artifact: str, instances: int | None = None) -> Wished:
        """Want `group:artifact:version` (or a range), owned by blueprint `adhoc`. Raises BadInput, Conflict."""
        raise NotImplementedError

    async def scale(self, artifact: str, instances: int) -> Wished:
        """Want `instances` of `group:artifact[:version]`. Creates the wish when the version is given. Raises BadInput, NotFound."""
        raise NotImplementedError

    async def undeploy(self, artifact: str) -> Wished:
        """Want none of `group:artifact[:version]` any more. What is not wanted is no error."""
        raise NotImplementedError

    async def implicit(self, contracts: Iterable[Contract]) -> Applied:
        """Write blueprint `app` for those slices that nobody wants yet: the first writer wins."""
        raise NotImplementedError
