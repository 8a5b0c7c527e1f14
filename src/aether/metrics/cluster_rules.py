"""What the change of a row of members, leadership, alerts or configuration tells.

Knows: the row before and after.
Never: ids and times of events, who reads them.
Holds: what is told depends on the rows alone, and holds no secret: of a setting only its name, of a token only its id.
"""

from __future__ import annotations

from collections.abc import Iterator

from aether.kv.keys import ClusterRow
from aether.metrics.events import EventType, Told, told
from aether.model.access import ApiTokenRow, Role
from aether.model.alerts import AlertRow, AlertSinksRow, ThresholdRow
from aether.model.duty import Duty, DutyRow, is_ready
from aether.model.rows import LeadershipRow, MemberRow, RemovedRow
from aether.model.setting import SettingRow

E = EventType
_DUTIES = {
    Duty.DRAINING: (E.NODE_DRAINING, "gives its instances away"),
    Duty.DECOMMISSIONED: (E.NODE_DECOMMISSIONED, "is empty and out of work"),
    Duty.ON_DUTY: (E.NODE_ACTIVATED, "works again"),
    Duty.SHUTTING_DOWN: (E.NODE_SHUTTING_DOWN, "is told to end its process"),
}


def member_changed(node: str, old: MemberRow | None, new: MemberRow | None) -> Iterator[Told]:
    """A member was announced, came, leaves, or is gone."""
    if new is None:
        yield told(E.NODE_LEFT, node, f"{node} is no member any more")
        return
    before = "" if old is None else old.incarnation
    facts: dict[str, object] = {
        "incarnation": new.incarnation,
        "clusterAddress": new.cluster_address,
        "managementAddress": new.management_address,
        "httpAddress": new.http_address,
    }
    if old is None and not new.incarnation:
        yield told(E.NODE_ANNOUNCED, node, f"{node} is a member, and has not started yet", facts)
    if is_ready(new) and (old is None or not is_ready(old) or before != new.incarnation):
        is_restart = before not in ("", new.incarnation)
        text = f"{node} started again" if is_restart else f"{node} joined"
        yield told(E.NODE_JOINED, node, text, facts | {"restarted": is_restart})
    if new.draining and not (old is not None and old.draining and before == new.incarnation):
        yield told(E.NODE_SHUTTING_DOWN, node, f"{node} drains, and its process ends", facts)


def removed_changed(node: str, old: RemovedRow | None, new: RemovedRow | None) -> Iterator[Told]:
    """A member leaves for ever."""
    if new is not None and old is None:
        who = f", by {new.by}" if new.by else ""
        yield told(E.NODE_REMOVED, node, f"{node} leaves the cluster for ever{who}", {"by": new.by})


def duty_changed(node: str, old: DutyRow | None, new: DutyRow | None) -> Iterator[Told]:
    """A word about a member."""
    duty = Duty.ON_DUTY if new is None else new.duty
    same = old is not None and new is not None and (old.duty, old.incarnation) == (new.duty, new.incarnation)
    if same or duty not in _DUTIES or (old is None and duty is Duty.ON_DUTY):
        return
    kind, verb = _DUTIES[duty]
    by = "" if new is None else new.by
    yield told(kind, node, f"{node} {verb}" + (f", says {by}" if by else ""), {"by": by})


def leadership_changed(old: LeadershipRow | None, new: LeadershipRow | None) -> Iterator[Told]:
    """Another leader, or the same one of another term."""
    if new is not None:
        previous = "" if old is None else str(old.node)
        text = f"{new.node} leads in term {new.term}"
        yield told(E.LEADER_ELECTED, str(new.node), text, {"term": new.term, "previous": previous})


def cluster_changed(new: ClusterRow | None) -> Iterator[Told]:
    """The cluster has an identity."""
    if new is not None:
        yield told(E.CLUSTER_CREATED, new.name, f"cluster {new.name} begins, {new.uuid}", {"uuid": str(new.uuid)})


def feature_level_changed(old: int | None, new: int | None) -> Iterator[Told]:
    """Every member speaks a newer language."""
    if new is not None and new != old:
        yield told(E.FEATURE_LEVEL_RAISED, "feature-level", f"feature level {new} is in force", {"level": new})


def alert_changed(old: AlertRow | None, new: AlertRow | None) -> Iterator[Told]:
    """An alert came, is graver or milder, or is over."""
    row = new or old
    if row is None or (old is not None and new is not None and old.severity is new.severity):
        return
    subject = f"{row.metric}:{row.subject}"
    facts: dict[str, object] = {
        "metric": row.metric,
        "nodeId": row.subject,
        "value": row.value,
        "threshold": row.threshold,
        "severity": row.severity.value,
        "since": row.since,
    }
    if new is None:
        text = f"{row.metric} of {row.subject} is no longer {row.severity.value}"
        yield told(E.ALERT_RESOLVED, subject, text, facts)
        return
    text = f"{row.metric} of {row.subject} is {row.value:.4g}, {row.severity.value} from {row.threshold:.4g}"
    yield told(E.ALERT_TRIGGERED, subject, text, facts, row.severity)


def threshold_changed(metric: str, old: ThresholdRow | None, new: ThresholdRow | None) -> Iterator[Told]:
    """A threshold was set or taken away."""
    row = new or old
    if row is None:
        return
    if new is None or new.is_off:
        yield told(E.THRESHOLD_REMOVED, metric, f"{metric} has no threshold of its own any more", {"by": row.by})
    else:
        facts: dict[str, object] = {"warning": new.warning, "critical": new.critical, "by": new.by}
        who = new.by or "somebody"
        text = f"{metric}: WARNING from {new.warning:.4g}, CRITICAL from {new.critical:.4g}, says {who}"
        yield told(E.THRESHOLD_SET, metric, text, facts)


def setting_changed(name: str, new: SettingRow | None) -> Iterator[Told]:
    """A setting of the cluster: its name alone, for its value may hold secrets."""
    if new is None:
        yield told(E.SETTING_CHANGED, name, f"setting {name} is as it was born")
    else:
        yield told(E.SETTING_CHANGED, name, f"setting {name} was changed by {new.by or 'somebody'}", {"by": new.by})


def alert_sinks_changed(new: AlertSinksRow | None) -> Iterator[Told]:
    """Who is told of alerts: how many, for their addresses may hold secrets."""
    if new is not None:
        facts: dict[str, object] = {"by": new.by, "webhooks": len(new.webhooks), "log": new.log}
        text = f"{len(new.webhooks)} webhooks are told of alerts, says {new.by or 'somebody'}"
        yield told(E.SETTING_CHANGED, "alert-sinks", text, facts)


def token_changed(old: ApiTokenRow | None, new: ApiTokenRow | None) -> Iterator[Told]:
    """A token was made or taken back."""
    row = new or old
    if row is None or (old is not None and new is not None):
        return
    role = Role(row.role).word
    facts: dict[str, object] = {"role": role, "by": row.created_by, "expiresAt": row.expires_at}
    if new is None:
        yield told(E.TOKEN_REVOKED, row.id, f"token {row.id} ({role}) is void", facts)
    else:
        yield told(E.TOKEN_CREATED, row.id, f"token {row.id} ({role}), by {row.created_by}", facts)
