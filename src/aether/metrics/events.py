"""What happened, as values: events of the cluster, and events of one node.

Knows: the types and how grave each is; how an event is numbered, and how `since` is read.
Never: where events come from, who asks.
Holds: an event of the cluster has the same id and the same words on every node that applied the entry it comes from;
       one of a node names that node and its process, and is not ordered among those of others.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import attrs

from aether.errors import BadInput
from aether.model.alerts import Severity


class EventType(enum.StrEnum):
    """What kind of thing happened."""

    # members
    NODE_ANNOUNCED = "NODE_ANNOUNCED"
    NODE_JOINED = "NODE_JOINED"
    NODE_DRAINING = "NODE_DRAINING"
    NODE_DECOMMISSIONED = "NODE_DECOMMISSIONED"
    NODE_ACTIVATED = "NODE_ACTIVATED"
    NODE_SHUTTING_DOWN = "NODE_SHUTTING_DOWN"
    NODE_REMOVED = "NODE_REMOVED"
    NODE_LEFT = "NODE_LEFT"
    LEADER_ELECTED = "LEADER_ELECTED"
    CLUSTER_CREATED = "CLUSTER_CREATED"
    FEATURE_LEVEL_RAISED = "FEATURE_LEVEL_RAISED"
    # slices
    DEPLOYMENT_STARTED = "DEPLOYMENT_STARTED"
    DEPLOYMENT_COMPLETED = "DEPLOYMENT_COMPLETED"
    DEPLOYMENT_FAILED = "DEPLOYMENT_FAILED"
    SLICE_FAILURE = "SLICE_FAILURE"
    SLICE_DEGRADED = "SLICE_DEGRADED"
    SLICE_ALL_INSTANCES_FAILED = "SLICE_ALL_INSTANCES_FAILED"
    SLICE_UNDEPLOYED = "SLICE_UNDEPLOYED"
    SCALED = "SCALED"
    OVERRIDE_SET = "OVERRIDE_SET"
    OVERRIDE_ENDED = "OVERRIDE_ENDED"
    PLACEMENT_SHORT = "PLACEMENT_SHORT"
    PLACEMENT_SATISFIED = "PLACEMENT_SATISFIED"
    # blueprints and updates
    BLUEPRINT_APPLIED = "BLUEPRINT_APPLIED"
    BLUEPRINT_ROLLED_BACK = "BLUEPRINT_ROLLED_BACK"
    BLUEPRINT_DELETED = "BLUEPRINT_DELETED"
    UPDATE_STARTED = "UPDATE_STARTED"
    UPDATE_STEP = "UPDATE_STEP"
    UPDATE_PAUSED = "UPDATE_PAUSED"
    UPDATE_RESUMED = "UPDATE_RESUMED"
    UPDATE_COMPLETED = "UPDATE_COMPLETED"
    UPDATE_ROLLING_BACK = "UPDATE_ROLLING_BACK"
    UPDATE_ROLLED_BACK = "UPDATE_ROLLED_BACK"
    UPDATE_FAILED = "UPDATE_FAILED"
    # alerts and configuration
    ALERT_TRIGGERED = "ALERT_TRIGGERED"
    ALERT_RESOLVED = "ALERT_RESOLVED"
    THRESHOLD_SET = "THRESHOLD_SET"
    THRESHOLD_REMOVED = "THRESHOLD_REMOVED"
    SETTING_CHANGED = "SETTING_CHANGED"
    TOKEN_CREATED = "TOKEN_CREATED"  # noqa: S105 - the name of a type of event
    TOKEN_REVOKED = "TOKEN_REVOKED"  # noqa: S105 - the name of a type of event
    ROW_UNREADABLE = "ROW_UNREADABLE"
    # of one node
    NODE_STARTED = "NODE_STARTED"
    NODE_FAILED = "NODE_FAILED"
    NODE_RETURNED = "NODE_RETURNED"
    LEADER_LOST = "LEADER_LOST"
    QUORUM_ESTABLISHED = "QUORUM_ESTABLISHED"
    QUORUM_LOST = "QUORUM_LOST"
    CONNECTION_ESTABLISHED = "CONNECTION_ESTABLISHED"
    CONNECTION_FAILED = "CONNECTION_FAILED"
    DISK_FULL = "DISK_FULL"
    DISK_RECOVERED = "DISK_RECOVERED"
    LOOP_STALLED = "LOOP_STALLED"


E = EventType
LOCAL_TYPES: Final = frozenset(
    {
        *(E.NODE_STARTED, E.NODE_FAILED, E.NODE_RETURNED, E.LEADER_LOST, E.QUORUM_ESTABLISHED, E.QUORUM_LOST),
        *(E.CONNECTION_ESTABLISHED, E.CONNECTION_FAILED, E.DISK_FULL, E.DISK_RECOVERED, E.LOOP_STALLED),
    }
)
"""Of one node, as it saw things."""

GRAVER: Final[Mapping[EventType, Severity]] = {
    **dict.fromkeys(
        (
            *(E.SLICE_FAILURE, E.SLICE_DEGRADED, E.PLACEMENT_SHORT, E.NODE_REMOVED, E.BLUEPRINT_ROLLED_BACK),
            *(E.UPDATE_PAUSED, E.UPDATE_ROLLING_BACK, E.UPDATE_ROLLED_BACK, E.ROW_UNREADABLE, E.LEADER_LOST),
            *(E.CONNECTION_FAILED, E.LOOP_STALLED),
        ),
        Severity.WARNING,
    ),
    **dict.fromkeys(
        (
            *(E.SLICE_ALL_INSTANCES_FAILED, E.DEPLOYMENT_FAILED, E.UPDATE_FAILED, E.QUORUM_LOST, E.NODE_FAILED),
            E.DISK_FULL,
        ),
        Severity.CRITICAL,
    ),
}
"""Types that are more than INFO; an alert has its own severity."""

_RANK: Final = {Severity.INFO: 0, Severity.WARNING: 1, Severity.CRITICAL: 2}


def at_least(severity: Severity, wanted: Severity) -> bool:
    """Whether `severity` is as grave as `wanted`, or graver."""
    return _RANK[severity] >= _RANK[wanted]


@attrs.frozen(kw_only=True)
class Told:
    """What an event says, before it has its place. subject  a node, a slice, an update, ...; details  plain JSON"""

    type: EventType
    severity: Severity
    subject: str
    summary: str
    details: Mapping[str, object] = attrs.field(factory=dict[str, object])


def told(
    kind: EventType,
    subject: str,
    summary: str,
    details: Mapping[str, object] | None = None,
    severity: Severity | None = None,
) -> Told:
    """One of the usual severity of its type, unless another is given."""
    grave = severity or GRAVER.get(kind, Severity.INFO)
    return Told(type=kind, severity=grave, subject=subject, summary=summary, details=details or {})


@attrs.frozen(kw_only=True)
class Event:
    """Something that happened.

    id       of the cluster: `revision.ordinal`; of a node: `node:incarnation:number`
    at       seconds since the epoch: log time, or the clock of the node
    node     that saw it; "" = it is of the cluster
    ordered  whether its id says what came before it: it is of the cluster
    """

    id: str
    at: float
    type: EventType
    severity: Severity
    subject: str
    summary: str
    details: Mapping[str, object] = attrs.field(factory=dict[str, object])
    node: str = ""
    ordered: bool = True

    def shown(self) -> dict[str, object]:
        """As JSON."""
        return {
            "id": self.id,
            "timestamp": iso(self.at),
            "type": self.type.value,
            "severity": self.severity.value,
            "subject": self.subject,
            "summary": self.summary,
            "details": dict(self.details),
            "nodeId": self.node,
            "ordered": self.ordered,
        }


@attrs.frozen(order=True)
class Place:
    """Where an event of the cluster stands: the revision of its entry, and its number within it."""

    revision: int
    ordinal: int

    def __str__(self) -> str:
        return f"{self.revision}" if self.ordinal >= LAST else f"{self.revision}.{self.ordinal}"


LAST: Final = 2**63
"""An ordinal behind every other."""


@attrs.frozen
class Since:
    """Only what came later: than a place in the log, or than a moment (seconds since the epoch)."""

    place: Place | None = None
    at: float | None = None


_PLACE: Final = re.compile(r"(\d{1,19})(?:\.(\d{1,9}))?")


def read_since(text: str) -> Since:
    """`revision`, `revision.ordinal` (the id of an event) or a moment in ISO 8601, UTC unless it says otherwise.

    Raises BadInput.
    """
    found = _PLACE.fullmatch(text)
    if found is not None:
        return Since(place=Place(int(found[1]), LAST if found[2] is None else int(found[2])))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        wanted = "give the id of an event of the cluster, a revision, or a moment such as 2026-11-29T01:30:00Z"
        raise BadInput("the query does not fit", (f"since: {text[:80]!r} is neither; {wanted}",)) from error
    return Since(at=(moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp())


def iso(at: float) -> str:
    """A moment in ISO 8601, to the millisecond, in UTC."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
