"""Who takes a call, step by step: version, ejection, affinity or balancer, locality, load.

Knows: the registry, what each step decides, what this caller has seen of each instance.
Never: sending, waiting; the clock and randomness are passed in.
Holds: rollout weights come first and are decided once per call; whatever follows stays inside that version while it has
       an instance that was not tried. A version without weight gets nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Protocol, cast

from aether.invocation.balance import Balancer, CallFacts, Load, Loads, candidate, choose
from aether.invocation.call_key import key_of
from aether.invocation.ejection import Ejections
from aether.invocation.endpoints import Endpoint, EndpointRegistry, Terms, Traffic
from aether.invocation.reply import (
    BROKEN_STATUS,
    NO_ROOM,
    UNFINISHED,
    Abandoned,
    Done,
    Failed,
    Faulted,
    Form,
    NotStarted,
    Outcome,
    TimedOut,
)
from aether.invocation.ring import Ring, bound, owner
from aether.invocation.rules import fitting
from aether.invocation.traffic import Turns, sticky_version
from aether.metrics.method_counters import MethodCounter, MethodCounters
from aether.model.artifact import ArtifactBase
from aether.model.ids import InstanceId, NodeId
from aether.model.version import Version
from aether.slice_api.call import CallOptions
from aether.slice_api.current import RUNNING

if TYPE_CHECKING:
    from random import Random

BUSY_S: Final = 0.05  # after a refusal as full, when it did not say for how long
BUSY_S_MAX: Final = 1.0
_TIMED: Final = (Done, Faulted, TimedOut)  # outcomes whose latency says something about the instance
_FAILED: Final = (Failed, TimedOut, Abandoned)
_JUDGED: Final = (Done, Faulted, *_FAILED)


class Seeker(Protocol):
    """What is read of a call that looks for an instance; `version` is written at its first choice."""

    target: ArtifactBase
    method: str
    payload: object
    form: Form
    options: CallOptions
    attempt: int
    excluded: frozenset[InstanceId]
    version: Version | None


class Chooser:
    """The choices of one node. Owned by its Invoker.

    clock     as the times of everything told to it; balancer  None = power of two choices, without a detour
    """

    def __init__(
        self,
        node: NodeId,
        registry: EndpointRegistry,
        random: Random,
        clock: Callable[[], float],
        balancer: Balancer | None = None,
    ) -> None:
        self._node = node
        self._registry = registry
        self._random = random
        self._clock = clock
        self._balancer = balancer
        self.loads: Loads = Loads()
        self.counters: MethodCounters = MethodCounters()
        self.ejections: Ejections = Ejections()
        self._turns: dict[tuple[ArtifactBase, frozenset[Version] | None], tuple[Traffic, Turns]] = {}
        self._rings: dict[tuple[ArtifactBase, Version | None], Ring] = {}

    def choose(self, call: Seeker) -> Endpoint | None:
        """The endpoint for the next try; None = nobody is left that may take it."""
        endpoints: Sequence[Endpoint]
        endpoints, terms, traffic = self._registry.known(call.target)
        if terms.only and call.method in terms.only:
            endpoints = [e for e in endpoints if e.artifact.version in terms.only[call.method]]
        if traffic is not None:
            endpoints = self._of_version(call, traffic, endpoints)
        elif call.excluded:
            endpoints = [e for e in endpoints if e.instance not in call.excluded]
        if len(endpoints) < 2:
            return endpoints[0] if endpoints else None
        endpoints = self.ejections.usable(endpoints, self._clock(), self.loads)
        balancer = call.options.balancer or self._balancer
        key = call.options.affinity_key or self._affinity_key(call, terms)
        if balancer is not None:
            return self._picked(cast("Balancer", balancer), call, key, endpoints)
        if key:
            return self._owner(call, key, endpoints, terms)
        return choose(self._preferred(endpoints, terms), self.loads, self._random)

    def settle_version(self, call: Seeker) -> Version | None:
        """The version that takes the call, before its first try; None when it goes by instances alone."""
        traffic = self._registry.traffic(call.target)
        if traffic is not None and call.version is None:
            call.version = self._version(call, traffic)
        return call.version

    def has_any(self, call: Seeker) -> bool:
        """Whether any instance may take the call, tried or not."""
        endpoints = self._registry.endpoints(call.target)
        traffic = self._registry.traffic(call.target)
        if traffic is None or not traffic.rules or call.method in self._registry.terms(call.target).only:
            return bool(endpoints)
        return any(traffic.takes(e.artifact.version) or e.artifact.version == call.version for e in endpoints)

    def began(self, endpoint: Endpoint, method: str) -> tuple[Load, MethodCounter]:
        """A try is on its way. Hand both back to `ended`."""
        load = self.loads.of(endpoint.instance)
        load.in_flight += 1
        if load.methods is None:
            load.methods = self.counters.of_version(endpoint.artifact)
        counter = load.methods.get(method) or self.counters.of(endpoint.artifact, method)
        counter.in_flight += 1
        return load, counter

    def ended(
        self,
        endpoint: Endpoint,
        load: Load,
        counter: MethodCounter,
        outcome: Outcome | None,
        latency_s: float,
        *,
        late: bool = False,
        broken: bool = False,
    ) -> None:
        """A try ended. None: it was cancelled, which says nothing about the instance unless it was `late`.

        broken  it is Done, and what it says by that is that the version does not work: an answer of 500
        """
        kind = type(outcome)
        self.loads.ended(load, latency_s if kind in _TIMED else None)
        counter.in_flight -= 1
        if kind is Done and not broken:
            counter.answered(latency_s)
            if endpoint.instance not in self.ejections.watched:
                return  # nearly always
        else:
            _count(counter, outcome, latency_s, late=late, broken=broken)
        if isinstance(outcome, NotStarted) and outcome.reason in NO_ROOM:
            load.busy_until = self._clock() + min(outcome.retry_after_s or BUSY_S, BUSY_S_MAX)
        elif late or kind in _JUDGED:
            half_way = kind is Failed and cast("Failed", outcome).kind in UNFINISHED
            failed = late or (kind in _FAILED and not half_way)  # half-way: what it called failed, not the instance
            if failed or endpoint.instance in self.ejections.watched:
                self.ejections.record(endpoint.instance, self._clock(), self._peers(endpoint), failed=failed)

    def given_up(self, endpoint: Endpoint, method: str) -> None:
        """A call failed because no instance could take it; `endpoint` was the last that it asked."""
        self.counters.of(endpoint.artifact, method).failed()

    def endpoints_changed(self) -> None:
        """The registry was rebuilt: forget what is gone."""
        known = set(self._registry.instances())
        self.loads.keep(known)
        self.ejections.keep(known)
        self.counters.keep(self._registry.artifacts())
        self._rings.clear()
        self._turns = {key: kept for key, kept in self._turns.items() if self._registry.traffic(key[0]) == kept[0]}

    # --- steps --------------------------------------------------------------------------------------------------------

    def _of_version(self, call: Seeker, traffic: Traffic, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        if call.version is None:
            call.version = self._version(call, traffic)
        left = [e for e in endpoints if e.instance not in call.excluded]
        own = [e for e in left if e.artifact.version == call.version]
        if own or not traffic.rules:
            return own or left
        takers = [e for e in left if traffic.takes(e.artifact.version)]
        # A method that only the version of a rule has: its calls can go nowhere else.
        return takers or (left if call.method in self._registry.terms(call.target).only else [])

    def _version(self, call: Seeker, traffic: Traffic) -> Version | None:
        """None: no weights, and no rule that fits."""
        key = key_of(call.payload, call.form, traffic.sticky) if traffic.sticky else ""
        ruled = self._ruled(call, traffic, key) if traffic.rules else None
        if ruled is not None or not traffic.weights:
            return ruled
        weights, only = traffic.weights, self._registry.terms(call.target).only.get(call.method)
        if only is not None:
            weights = {version: weight for version, weight in weights.items() if version in only} or weights
            if len(weights) == 1:
                return next(iter(weights))
        if key:
            return sticky_version(weights, key)
        turns = (call.target, frozenset(weights) if only is not None else None)
        kept = self._turns.get(turns)
        if kept is None:
            kept = self._turns[turns] = (traffic, Turns(weights, self._random))
        return kept[1].next()

    def _ruled(self, call: Seeker, traffic: Traffic, key: str) -> Version | None:
        """The version that the first rule that fits names, while it has an instance."""
        fits = fitting(call.payload, call.form, key or call.options.affinity_key or "", RUNNING.get())
        for rule, version in traffic.rules:
            if fits(rule) and any(e.artifact.version == version for e in self._registry.endpoints(call.target)):
                return version
        return None

    def _affinity_key(self, call: Seeker, terms: Terms) -> str:
        parameter = terms.affinity.get(call.method) if terms.affinity else None
        return key_of(call.payload, call.form, parameter) if parameter else ""

    def _picked(self, balancer: Balancer, call: Seeker, key: str, endpoints: Sequence[Endpoint]) -> Endpoint:
        candidates = [candidate(e, self.loads.of(e.instance)) for e in endpoints]
        facts = CallFacts(
            target=call.target,
            method=call.method,
            node=self._node,
            affinity_key=key,
            priority=call.options.priority or "normal",
            attempt=call.attempt + 1,
        )
        picked = balancer.pick(candidates, facts, self._random)
        for made, endpoint in zip(candidates, endpoints, strict=True):
            if made is picked:
                return endpoint
        raise TypeError(f"{type(balancer).__name__}.pick returned {picked!r:.80}; return one of the candidates it got")

    def _owner(self, call: Seeker, key: str, endpoints: Sequence[Endpoint], terms: Terms) -> Endpoint:
        by_instance = {e.instance: e for e in endpoints}
        in_flight = {i: self.loads.of(i).in_flight for i in by_instance}
        limit = bound(sum(in_flight.values()), len(by_instance), _spill_at(terms))
        walk = (i for i in self._ring(call, endpoints).walk(key) if i in by_instance)
        return by_instance[owner(walk, in_flight.__getitem__, limit)]

    def _ring(self, call: Seeker, endpoints: Sequence[Endpoint]) -> Ring:
        """Of all instances of the version, also of those left out for now: they come back to their own keys."""
        version = call.version if endpoints[0].artifact.version == call.version else None
        ring = self._rings.get((call.target, version))
        if ring is None:
            known = self._registry.endpoints(call.target)
            ring = Ring(e.instance for e in known if version in (None, e.artifact.version))
            self._rings[call.target, version] = ring
        return ring

    def _preferred(self, endpoints: Sequence[Endpoint], terms: Terms) -> Sequence[Endpoint]:
        """The nearest that have room, else the next nearest too; all of them when nobody has room."""
        now, spill_at = self._clock(), _spill_at(terms)
        nearest = None
        roomy: list[Endpoint] = []
        for endpoint in endpoints:
            load = self.loads.of(endpoint.instance)
            if load.in_flight >= spill_at or load.busy_until > now:
                continue
            if nearest is None or endpoint.nearness < nearest:
                nearest, roomy = endpoint.nearness, []
            if endpoint.nearness == nearest:
                roomy.append(endpoint)
        return roomy or endpoints

    def _peers(self, endpoint: Endpoint) -> Sequence[Endpoint]:
        endpoints = self._registry.endpoints(endpoint.artifact.base)
        return [e for e in endpoints if e.artifact.version == endpoint.artifact.version]


def _count(counter: MethodCounter, outcome: Outcome | None, latency_s: float, *, late: bool, broken: bool) -> None:
    """What a caller would call a failure of the version counts as one; what the contract says, and a 4xx, does not."""
    match outcome:
        case Faulted(fault) if fault.status < BROKEN_STATUS:
            counter.answered(latency_s)
        case Done() if not broken:
            counter.answered(latency_s)
        case Done() | Faulted() | TimedOut():
            counter.failed(latency_s)
        case Failed() | Abandoned():
            counter.failed()
        case None if late:
            counter.failed(latency_s)
        case _:
            pass  # it left, or nothing of it ran: it is sent elsewhere


def _spill_at(terms: Terms) -> int:
    """Calls in flight from here from which an instance counts as busy: half of what it runs at a time."""
    return -(-terms.concurrency // 2)
