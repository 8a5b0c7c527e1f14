"""Which instances are left out for a while because their calls fail and those of their peers do not.

Knows: how the last calls to each instance ended; times passed in.
Never: clocks, endpoints' loads beyond the one passed in, why a call failed.
Holds: of the instances that could take a call at least half, rounded up, are never left out. A time-out of an instance
       grows with each ejection; when it is over, one call at a time is let through, and the first that succeeds
       readmits it.
Paper: the outlier detection of Envoy (consecutive failures, failure share, ejection time times number of ejections, a
       limit on the share that is ejected); here an instance must also be worse than its peers, so that calls that fail
       everywhere, a caller's own mistake, eject nobody.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from typing import Final

import attrs

from aether.invocation.balance import Loads
from aether.invocation.endpoints import Endpoint
from aether.model.ids import InstanceId

CONSECUTIVE_FAILURES: Final = 5
SHARE_CALLS: Final = 20  # calls before the share of failures says anything
SHARE_MAX: Final = 0.5
SHARE_WEIGHT: Final = 0.1  # of the newest call in the moving share of failures
WORSE_THAN_PEERS: Final = 2.0
EJECTION_S: Final = 5.0  # the first time; n times as long the n-th time
EJECTION_S_MAX: Final = 300.0
FORGIVEN_S: Final = 30.0  # of good conduct take one ejection off the count


@attrs.define
class _Health:
    calls: int = 0
    share: float = 0.0
    consecutive: int = 0
    ejections: int = 0
    ejected_until: float | None = None  # in the past: let in on trial; None: in
    since: float = 0.0  # when it was let in again


class Ejections:
    """The instances left out by one caller."""

    def __init__(self) -> None:
        self._health: dict[InstanceId, _Health] = {}
        self.watched: Container[InstanceId] = self._health.keys()
        """Those of which a call failed before: only of them do successes count."""
        self._out: dict[InstanceId, _Health] = {}

    def ejected(self, now: float) -> frozenset[InstanceId]:
        """Those left out now; who is on trial is not."""
        return frozenset(i for i, h in self._out.items() if h.ejected_until is not None and now < h.ejected_until)

    def usable(self, endpoints: Sequence[Endpoint], now: float, loads: Loads) -> Sequence[Endpoint]:
        """`endpoints` without those left out; on trial means one call in flight at a time."""
        if not self._out:
            return endpoints
        left_out = [(self._until(e, now, loads), e.instance) for e in endpoints if e.instance in self._out]
        left_out = sorted(((until, i) for until, i in left_out if until > now), reverse=True)
        out = {instance for _, instance in left_out[: len(endpoints) // 2]}  # the number of peers may have shrunk
        return [e for e in endpoints if e.instance not in out] if out else endpoints

    def record(self, instance: InstanceId, now: float, peers: Sequence[Endpoint], *, failed: bool) -> bool:
        """One call to `instance` ended. True when that ejects it.

        peers  the endpoints of its version, itself included
        """
        health = self._health.setdefault(instance, _Health())
        if health.ejected_until is not None and now < health.ejected_until:
            return False  # it began before the ejection
        health.calls += 1
        health.share += SHARE_WEIGHT * (failed - health.share)
        health.consecutive = health.consecutive + 1 if failed else 0
        if not failed:
            if health.ejected_until is not None:
                self._readmit(instance, health, now)
            return False
        if health.ejected_until is None and not self._is_outlier(instance, health, peers):
            return False
        return self._eject(instance, health, now, peers)

    def keep(self, instances: Iterable[InstanceId]) -> None:
        """Forget instances that are gone."""
        known = set(instances)
        for gone in self._health.keys() - known:
            del self._health[gone]
        self._out = {i: h for i, h in self._out.items() if i in known}

    def _until(self, endpoint: Endpoint, now: float, loads: Loads) -> float:
        until = self._out[endpoint.instance].ejected_until
        assert until is not None
        load = loads.of(endpoint.instance)
        if until <= now and load.in_flight > load.streams:
            return now + EJECTION_S  # its trial is under way
        return until

    def _is_outlier(self, instance: InstanceId, health: _Health, peers: Sequence[Endpoint]) -> bool:
        suspicious = health.consecutive >= CONSECUTIVE_FAILURES or (
            health.calls >= SHARE_CALLS and health.share >= SHARE_MAX
        )
        if not suspicious:
            return False
        others = [self._share(p.instance) for p in peers if p.instance != instance]
        return bool(others) and health.share > WORSE_THAN_PEERS * sum(others) / len(others)

    def _share(self, instance: InstanceId) -> float:
        health = self._health.get(instance)
        return 0.0 if health is None else health.share

    def _eject(self, instance: InstanceId, health: _Health, now: float, peers: Sequence[Endpoint]) -> bool:
        if health.ejected_until is None:
            if 2 * (sum(p.instance in self._out for p in peers) + 1) > len(peers):
                return False
            forgiven = int((now - health.since) / FORGIVEN_S) if health.ejections else 0
            health.ejections = max(0, health.ejections - forgiven)
        health.ejections += 1
        health.ejected_until = now + min(EJECTION_S_MAX, EJECTION_S * health.ejections)
        self._out[instance] = health
        return True

    def _readmit(self, instance: InstanceId, health: _Health, now: float) -> None:
        del self._out[instance]
        health.ejected_until, health.since = None, now
        health.calls, health.share, health.consecutive = 0, 0.0, 0
