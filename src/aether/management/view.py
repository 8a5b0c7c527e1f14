"""What the admin API reads and asks for, as small protocols.

Knows: the reads it needs of rows, consensus and the local node; the mutations it passes on.
Never: how they are answered. Each protocol is met by a class of another room without importing it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from aether.management.process_view import NodeSetting
from aether.model.artifact import Artifact, ArtifactBase
from aether.model.duty import Duty, DutyRow
from aether.model.ids import NodeId, Revision
from aether.model.rows import (
    ApplyRow,
    BlueprintRow,
    ContractRow,
    DesiredRow,
    InstanceRow,
    MemberRow,
    OverrideRow,
    RemovedRow,
    RoleRow,
    RouteRow,
    UnsatisfiedRow,
)
from aether.model.setting import SettingRow


class Changes(Protocol):
    """Level-triggered: wakes after any change since it was last awaited."""

    async def changed(self) -> None: ...


class ClusterView(Protocol):
    """The replicated rows as this node has applied them. KvClusterView (kv_view.py) reads them from a KvService."""

    @property
    def revision(self) -> Revision: ...
    @property
    def cluster_uuid(self) -> str:
        """Of this cluster; "" until its first leader has named it."""
        ...

    def members(self) -> Iterable[MemberRow]: ...
    def removed(self) -> Iterable[RemovedRow]: ...
    def duties(self) -> Iterable[DutyRow]: ...
    def roles(self) -> Iterable[RoleRow]: ...
    def desired(self) -> Iterable[DesiredRow]: ...
    def instances(self) -> Iterable[InstanceRow]: ...
    def routes(self) -> Iterable[RouteRow]: ...
    def contracts(self) -> Iterable[ContractRow]: ...
    def settings(self) -> Iterable[tuple[str, SettingRow]]:
        """What was set while the cluster runs, by name."""
        ...

    def unsatisfied(self) -> Iterable[UnsatisfiedRow]: ...
    def blueprints(self) -> Iterable[BlueprintRow]:
        """Each blueprint as now in force."""
        ...

    def blueprint(self, blueprint: str, number: int | None) -> BlueprintRow | None:
        """One blueprint as applied the `number`th time; None = as now in force."""
        ...

    def blueprint_history(self, blueprint: str) -> Iterable[BlueprintRow]:
        """Every text of it that is kept."""
        ...

    def applies(self) -> Iterable[ApplyRow]:
        """Atomic applies that are not ACTIVE yet."""
        ...

    def map_rows(self, name: str) -> Iterable[tuple[bytes, bytes, Revision]] | None:
        """Entries of a replicated map in key order: key, value, revision of the last change. None: no such map."""
        ...

    def watch_instances(self) -> AbstractAsyncContextManager[Changes]: ...
    async def barrier(self) -> Revision: ...
    async def wait_applied(self, revision: Revision) -> None: ...


class Group(Protocol):
    """The part of a Configuration that is shown."""

    @property
    def learners(self) -> Collection[NodeId]: ...
    def members(self) -> Collection[NodeId]: ...


class ConsensusFacts(Protocol):
    """The part of ConsensusStatus that is shown."""

    @property
    def role(self) -> object: ...
    @property
    def term(self) -> int: ...
    @property
    def leader(self) -> str | None: ...
    @property
    def commit_index(self) -> int: ...
    @property
    def applied_index(self) -> int: ...
    @property
    def voters(self) -> Collection[str]: ...
    @property
    def configuration(self) -> Group: ...
    @property
    def configuration_index(self) -> int: ...
    @property
    def is_changing(self) -> bool: ...
    @property
    def has_quorum(self) -> bool: ...


class TreeFacts(Protocol):
    """What is shown of one tree of slices (hosting.directory_store.TreeReport has it)."""

    @property
    def tree(self) -> str: ...
    @property
    def artifacts(self) -> Sequence[Artifact]: ...
    @property
    def problems(self) -> Sequence[str]: ...
    @property
    def notes(self) -> Sequence[str]: ...
    @property
    def copying(self) -> bool: ...


class Trees(Protocol):
    """The directory of slices of the answering node."""

    async def rescan(self) -> tuple[Revision, Sequence[TreeFacts]]:
        """Look now. Raises NotFound when this node has no such directory."""
        ...


class LocalNode(Protocol):
    """Facts about the answering process."""

    @property
    def node(self) -> NodeId: ...
    @property
    def management_address(self) -> str: ...
    @property
    def http_address(self) -> str: ...
    @property
    def cluster_address(self) -> str: ...
    @property
    def ready(self) -> bool:
        """Whether this node has caught up and serves."""
        ...

    @property
    def draining(self) -> bool: ...
    @property
    def disk_is_full(self) -> bool:
        """Whether it writes nothing, for want of space."""
        ...

    @property
    def handshakes_refused(self) -> Mapping[str, int]:
        """Handshakes that ended without a connection, by reason, both directions."""
        ...

    @property
    def trees(self) -> Sequence[TreeFacts]:
        """Of its directory of slices; () without one."""
        ...

    @property
    def settings(self) -> Sequence[NodeSetting]:
        """What it was started with; of secrets only the names."""
        ...

    @property
    def uptime_s(self) -> float: ...
    @property
    def loop_lag_s(self) -> float:
        """The worst recent delay of the event loop."""
        ...


class RevisionAnswer(Protocol):
    """The revision at which this node has applied a mutation (model.rows.Applied has it)."""

    @property
    def revision(self) -> Revision: ...


class WishAnswer(RevisionAnswer, Protocol):
    """The wish in force after a mutation; `row` is None when nothing is wanted any more, `changed` False when it was
    so before.
    """

    @property
    def artifact(self) -> ArtifactBase: ...
    @property
    def row(self) -> DesiredRow | None: ...
    @property
    def changed(self) -> bool: ...
    @property
    def override(self) -> OverrideRow | None:
        """What holds against the blueprint's count."""
        ...


class BlueprintAnswer(RevisionAnswer, Protocol):
    """What applying a blueprint text put in force; `missing` says what is not so yet, and raises Conflict when another
    text is in force by now.
    """

    @property
    def id(self) -> str: ...
    @property
    def number(self) -> int: ...
    @property
    def slices(self) -> Collection[Artifact]: ...
    @property
    def rollouts(self) -> Mapping[ArtifactBase, str]: ...
    @property
    def warnings(self) -> Collection[str]: ...
    @property
    def missing(self) -> Callable[[], list[str]]: ...


class DeletedAnswer(RevisionAnswer, Protocol):
    """What is wanted no more."""

    @property
    def slices(self) -> Collection[Artifact]: ...


class SlicePlanned(Protocol):
    """What becomes of one slice; `instances` before and after."""

    @property
    def artifact(self) -> ArtifactBase: ...
    @property
    def action(self) -> str: ...
    @property
    def old(self) -> Artifact | None: ...
    @property
    def new(self) -> Artifact | None: ...
    @property
    def instances(self) -> tuple[int, int]: ...
    @property
    def changes(self) -> Collection[str]: ...
    @property
    def rollout(self) -> str: ...
    @property
    def taken_back(self) -> str: ...
    @property
    def is_dependency(self) -> bool: ...


class BlueprintPlanned(Protocol):
    """What applying a text would change."""

    @property
    def id(self) -> str: ...
    @property
    def number(self) -> int: ...
    @property
    def slices(self) -> Iterable[SlicePlanned]: ...
    @property
    def warnings(self) -> Collection[str]: ...
    @property
    def changes_something(self) -> bool: ...


class Blueprints(Protocol):
    """Texts. Each mutation returns once this node has applied it. Raises as Operator does."""

    async def revision(self) -> Revision: ...
    async def plan(self, text: str, *, force: bool = False) -> BlueprintPlanned: ...
    async def apply(
        self, text: str, applied_by: str = "", *, force: bool = False, if_number: int | None = None
    ) -> BlueprintAnswer: ...
    async def rollback(self, identity: str, number: int | None = None, by: str = "") -> BlueprintAnswer: ...
    async def delete(self, identity: str, by: str = "", *, force: bool = False) -> DeletedAnswer: ...


class Operator(Protocol):
    """Mutations. Each returns once this node has applied it. Raises Rejected, TryAgain, OutcomeUnknown."""

    async def deploy(self, artifact: str, instances: int | None = None) -> WishAnswer: ...
    async def scale(
        self,
        artifact: str,
        instances: int,
        *,
        by: str = "",
        for_s: float = 0.0,
        until: float = 0.0,
        reason: str = "",
    ) -> WishAnswer: ...
    async def undeploy(self, artifact: str) -> WishAnswer: ...


class MemberWish(RevisionAnswer, Protocol):
    """A wish about the membership, as written. `missing()` says in words what is not so yet; [] when all is."""

    @property
    def node(self) -> NodeId: ...
    @property
    def missing(self) -> Callable[[], list[str]]: ...


class Members(Protocol):
    """Changes of the membership. Each returns once its wish is applied here. Raises as Operator does."""

    async def add(self, name: str, address: str) -> MemberWish: ...
    async def remove(self, name: str, by: str = "") -> MemberWish: ...
    async def promote(self, name: str) -> MemberWish: ...
    async def demote(self, name: str) -> MemberWish: ...
    async def transfer(self, name: str = "") -> MemberWish: ...


class DutyAnswer(RevisionAnswer, Protocol):
    """A word about a node, as written; `changed` False when it was so before. `missing()` as for MemberWish."""

    @property
    def node(self) -> NodeId: ...
    @property
    def duty(self) -> Duty: ...
    @property
    def changed(self) -> bool: ...
    @property
    def missing(self) -> Callable[[], list[str]]: ...


class PlacementAnswer(RevisionAnswer, Protocol):
    """What an order for one instance came to; `count` orders of its slice are in force."""

    @property
    def artifact(self) -> Artifact: ...
    @property
    def instance(self) -> str: ...
    @property
    def node(self) -> NodeId: ...
    @property
    def count(self) -> int: ...


class Placements(Protocol):
    """Orders for single instances. Each returns once it is applied here. Raises as Operator does."""

    async def place(self, artifact: str, node: str) -> PlacementAnswer: ...
    async def move(self, instance: str, to: str) -> PlacementAnswer: ...
    async def unplace(self, instance: str, *, force: bool = False) -> PlacementAnswer: ...


class Duties(Protocol):
    """What is asked of nodes. Each returns once the word is applied here. Raises as Operator does."""

    async def drain(self, name: str, *, by: str = "", force: bool = False) -> DutyAnswer: ...
    async def activate(self, name: str, *, by: str = "") -> DutyAnswer: ...
    async def shutdown(self, name: str, *, by: str = "", force: bool = False) -> DutyAnswer: ...
