"""The rows of the replicated store: what every node knows about members, wishes, instances and routes.

Knows: the fields of each row and their meaning.
Never: how rows are spelt as keys or bytes (room kv), who writes them (rooms deployment and node).
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from typing import Final

import attrs

from aether.errors import BadInput
from aether.model.artifact import Artifact, ArtifactBase
from aether.model.ids import Incarnation, InstanceId, NodeId, Revision, StoreId
from aether.model.lifecycle import SliceState
from aether.model.limits import CALL_DEADLINE_S, SLICE_CONCURRENCY_DEFAULT, SLICE_QUEUE_DEFAULT, TRAFFIC_PARTS_MAX
from aether.model.placing import ANYWHERE, Placing
from aether.model.route import Route
from aether.model.traffic_rules import rule_problems
from aether.model.version import Version

NO_STORE: Final = StoreId("")
ZONE_LABEL: Final = "zone"
CAPACITY_LABEL: Final = "capacity"


@attrs.frozen(kw_only=True)
class MemberRow:
    """One node process, written by itself at each start. Key `members/{node}`.

    incarnation      random per process start; rows of instances with another one are lost
    cluster_address  host:port of the peers' listener ("" for an in-memory transport); http_address, management_address
                     likewise, "" when that listener is closed
    store            random id of its store: a node that comes back with another one has lost its disk and is refused;
                     "" of one that was announced and has not come yet
    boots            how often that store was opened: fewer than before is an older copy of it; 0 when nobody counts
    ephemeral        nothing of it survives its process: it never votes beside others, and leaves when it is gone
    available        artifacts whose code this process can load
    labels           what an operator says of it; `zone` is where it stands: calls prefer instances of their own;
                     `capacity` is how many instances it takes in all
    draining         the node takes no new instances
    feature_level    of its release (model.features)
    cluster_manager  name of the manager that places instances while this node leads; "" of an older release
    """

    node: NodeId
    incarnation: Incarnation
    cluster_address: str = ""
    http_address: str = ""
    management_address: str = ""
    store: StoreId = NO_STORE
    boots: int = 0
    ephemeral: bool = False
    available: tuple[Artifact, ...] = ()
    labels: Mapping[str, str] = attrs.field(factory=dict[str, str])
    joining: bool = False
    draining: bool = False
    feature_level: int = 1
    cluster_manager: str = ""


@attrs.frozen(kw_only=True)
class RemovedRow:
    """A member that leaves the cluster or has left it. Key `removed/{node}`; stays for ever, so that no id comes back.

    by  who asked for it; at  wall-clock seconds
    """

    node: NodeId
    by: str = ""
    at: float = 0.0


@attrs.frozen(kw_only=True)
class RoleRow:
    """What an operator said about the vote of a member, against the group's own choice. Key `roles/{node}`."""

    node: NodeId
    votes: bool


@attrs.frozen(kw_only=True)
class HandoverRow:
    """A wish that the leader of `term` hands over, to `to` when that is named. Key `handover`; void in other terms.

    at  wall-clock seconds: who asks again is heard again
    """

    term: int
    to: NodeId | None = None
    at: float = 0.0


@attrs.frozen(kw_only=True)
class LeadershipRow:
    """Who leads, committed with the no-op of each new leader. Key `leadership`. The fence of all leader's writers."""

    term: int
    node: NodeId


@attrs.frozen(kw_only=True)
class DesiredRow:
    """The merged wish for one artifact: the only input of reconcile. Key `desired/{group:artifact}`.

    blueprint     id of the blueprint that owns the artifact (`app`, `adhoc`, or the operator's)
    instances     how many instances of `artifact` should be ACTIVE: `wished`, unless an override says otherwise
    wished        what the blueprint (or the slice) says; None = as `instances`
    instances_min, instances_max  bounds of every override; a min of 0 lets the slice scale to zero
    idle_s        without a call, after which it does; None = IDLE_S
    beside, beside_instances  a second version that runs beside the one in force, while a rollout wants it
    max_per_node  hard limit when set; otherwise spread is a preference
    placing       where instances may live
    placed        order -> node, where a cluster's manager places nothing by itself; the first instance has its id
    min_available  how many ACTIVE instances nobody may take away, as a number or as percent of `instances` ("2", "60%")
    singleton     at most one instance at any time, with a fencing token
    is_dependency wanted because another slice of the blueprint needs it
    host, memory_mb  where its instances live, against the slice's own wish; None = as the slice says
    timeouts_s    of transitional states, against the defaults of model.lifecycle; drain_s  for calls in flight
    security      route -> rule, against the slice's own
    """

    artifact: Artifact
    instances: int
    blueprint: str
    wished: int | None = None
    instances_min: int | None = None
    instances_max: int | None = None
    idle_s: float | None = None
    beside: Version | None = None
    beside_instances: int = 0
    max_per_node: int | None = None
    placing: Placing = ANYWHERE
    placed: Mapping[InstanceId, NodeId] = attrs.field(factory=dict[InstanceId, NodeId])
    min_available: str = ""
    singleton: bool = False
    is_dependency: bool = False
    config: Mapping[str, str] = attrs.field(factory=dict[str, str])
    bind: Mapping[str, str] = attrs.field(factory=dict[str, str])
    host: str | None = None
    memory_mb: int | None = None
    timeouts_s: Mapping[str, float] = attrs.field(factory=dict[str, float])
    drain_s: float | None = None
    security: Mapping[str, str] = attrs.field(factory=dict[str, str])

    @property
    def wished_count(self) -> int:
        """How many instances are wanted while no override says otherwise."""
        return self.instances if self.wished is None else self.wished


@attrs.frozen(kw_only=True)
class OverrideRow:
    """A count against the blueprint's, by a scaler or an operator. Key `overrides/{group:artifact}`.

    owner   who set it (model.owner): `operator`, `controller`, `ingress`, ...; by  which person or process
    at      wall-clock seconds; until  when it is void, 0 = it stays until it is taken back
    """

    artifact: ArtifactBase
    instances: int
    owner: str
    reason: str = ""
    by: str = ""
    at: float = 0.0
    until: float = 0.0


@attrs.frozen(kw_only=True)
class InstanceRow:
    """One instance. Key `instances/{group:artifact}/{instance}`.

    incarnation  of the node process that hosts it
    reason       why it is FAILED, or what an ACTIVATING instance waits for; "" otherwise
    attempt      how many times an instance of this artifact was tried in a row without becoming ACTIVE
    since        wall-clock seconds of the last state change, stamped by who wrote the row
    token        of a singleton: the fencing token, above that of every instance before it; 0 otherwise
    idle_since   wall-clock seconds since when it served nothing, of a slice that may scale to zero; 0 = it is in use
    turn         number of its assignment: each gets a higher one than all rows had then
    digest       of what it was started with beside its code (deployment.started_with); "" = not known
    replaces     the instance that goes once this one is ACTIVE; "" = none, or it is gone
    """

    instance: InstanceId
    artifact: Artifact
    node: NodeId
    incarnation: Incarnation
    state: SliceState
    reason: str = ""
    attempt: int = 0
    since: float = 0.0
    token: int = 0
    idle_since: float = 0.0
    turn: int = 0
    digest: str = ""
    replaces: str = ""


@attrs.frozen(kw_only=True)
class SingletonRow:
    """What outlives the instances of a singleton. Key `singletons/{group:artifact}`; stays: no token comes back.

    token    of the last instance; the next one gets a higher one
    attempt  of the next instance, when the last one went because it had failed
    """

    artifact: ArtifactBase
    token: int = 0
    attempt: int = 0


class KeyState(enum.StrEnum):
    """How far the call is that took an idempotency key."""

    RUNNING = "running"
    ANSWERED = "answered"
    CUT_OFF = "cut off"


@attrs.frozen(kw_only=True)
class CallKeyRow:
    """One idempotency key of one method. Key `calls/{group:artifact}/{method}/{digest of the key}`.

    arguments  digest of the arguments that came with the key first
    node, incarnation, instance  where the call runs or ran; number  of the call in that process
    at_ms      log time at which the key was taken; until_ms  at which its run is over at the latest
    answer     once ANSWERED: the reply as plain data in msgpack, empty when it was too large
    """

    arguments: bytes
    node: NodeId
    incarnation: Incarnation
    instance: InstanceId
    number: int
    at_ms: int
    until_ms: int
    state: KeyState = KeyState.RUNNING
    answer: bytes = b""


@attrs.frozen(kw_only=True)
class RouteRow:
    """What callers may know of a contract. Key `routes/{group:artifact}`. Appears with the first ACTIVE instance.

    routes      its HTTP routes; idempotent  names of the methods that may be repeated
    deadline_s  default deadline of its calls; deadlines_s  of single methods that have their own
    affinity    method -> the parameter whose value decides the instance
    concurrency calls that one instance runs at the same time
    queue       calls that wait for one instance; while it sleeps, on each node
    openapi     its operations and schemas as JSON text (slice_api.operations), "" without routes
    version     whose contract that is, "" = nobody said; methods  the names of all its methods
    others      the same of other versions that may run beside it (model.serving says who is asked for what)
    """

    artifact: ArtifactBase
    routes: tuple[Route, ...] = ()
    idempotent: tuple[str, ...] = ()
    deadline_s: float = CALL_DEADLINE_S
    deadlines_s: Mapping[str, float] = attrs.field(factory=dict[str, float])
    affinity: Mapping[str, str] = attrs.field(factory=dict[str, str])
    concurrency: int = SLICE_CONCURRENCY_DEFAULT
    queue: int = SLICE_QUEUE_DEFAULT
    openapi: str = ""
    version: str = ""
    methods: tuple[str, ...] = ()
    others: tuple[RouteRow, ...] = ()


@attrs.frozen(kw_only=True)
class TrafficRow:
    """How the versions of an artifact share its calls. Key `traffic/{group:artifact}`; without it, or without a weight
    above 0, each ACTIVE instance counts the same.

    weights  version -> whole parts of all calls; a version that is not named gets none
    sticky   the parameter whose value decides the version of a call; "" = by turns
    rules    `header:NAME=VALUE`, `cookie:NAME=VALUE` or `key=VALUE` (of `sticky`) -> version: such calls go there
             whatever the weights say, as long as it has an instance; the first rule that fits, in the order of texts
    update   id of the update that wrote it, and with which it goes; "" = somebody else did
    """

    artifact: ArtifactBase
    weights: Mapping[str, int]
    sticky: str = ""
    rules: Mapping[str, str] = attrs.field(factory=dict[str, str])
    update: str = ""

    def __attrs_post_init__(self) -> None:
        """Raise BadInput that lists every version or weight that makes no sense."""
        problems = [
            problem for version, weight in self.weights.items() for problem in _weight_problems(version, weight)
        ]
        problems += rule_problems(self.rules)
        problems += [problem for version in self.rules.values() for problem in _weight_problems(version, 0)]
        if problems:
            raise BadInput(f"the traffic of {self.artifact} does not fit", problems)


def _weight_problems(version: str, weight: int) -> Iterator[str]:
    try:
        Version.parse(version)
    except BadInput as error:
        yield str(error)
    if type(weight) is not int or not 0 <= weight <= TRAFFIC_PARTS_MAX:
        yield f"{version}: {weight!r:.40} is no whole number of parts from 0 to {TRAFFIC_PARTS_MAX}"


@attrs.frozen(kw_only=True)
class ContractRow:
    """The contract of one version, for who does not have its code. Key `contracts/{group:artifact}/{version}`.

    text  its description as JSON (slice_api.description)
    """

    artifact: Artifact
    text: str


@attrs.frozen(kw_only=True)
class BlueprintRow:
    """An operator's text as applied. Key `blueprints/{id}/{number}`; immutable. `number` counts from 1.

    reason  why it came, when nobody simply applied a file: a rollback, an update that is over, ...
    slices  in the versions that its ranges meant then
    """

    id: str
    number: int
    text: str
    applied_by: str = ""
    applied_at: float = 0.0
    reason: str = ""
    slices: tuple[Artifact, ...] = ()


class ApplyState(enum.StrEnum):
    """How far an atomic apply is."""

    WATCHED = "WATCHED"  # not everything is ACTIVE yet
    RETURNING = "RETURNING"  # it did not come off; updates that it began are rolled back first


@attrs.frozen(kw_only=True)
class ApplyRow:
    """An atomic apply that is not ACTIVE yet. Key `applies/{blueprint}`; goes when all is, or is as it was before.

    number    that was applied; previous  the number to go back to, 0 = there was none
    slices    new ones, and new versions; before  the versions that were in force instead
    by, at    who applied it, and the wall-clock second; timeout_s  from then on
    reason    why it goes back
    """

    id: str
    number: int
    previous: int
    slices: tuple[Artifact, ...]
    before: tuple[Artifact, ...] = ()
    by: str = ""
    at: float = 0.0
    timeout_s: float
    state: ApplyState = ApplyState.WATCHED
    reason: str = ""


@attrs.frozen(kw_only=True)
class UnsatisfiedRow:
    """What reconcile could not place, and why. Key `unsatisfied/{group:artifact}`."""

    artifact: ArtifactBase
    missing: int
    reason: str


@attrs.frozen
class Applied:
    """The answer of a mutation: the revision at which the answering node has applied it."""

    revision: Revision
