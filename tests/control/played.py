"""A slice under a load that a test draws, decided about as a leader would, without a clock or a cluster."""

import itertools
import math

import attrs

from aether.control.bounds import clamped
from aether.control.context import ControlContext, SliceView
from aether.control.decision_tree import DecisionTreeController
from aether.control.figures import SIGNALS, SliceFigures
from aether.control.settings import ControllerSettings
from aether.model.artifact import Artifact
from aether.model.decision import DecisionRow
from aether.model.ids import NodeId

SHOP = Artifact.parse("shop:orders:1.0.0")
LEADER = NodeId("node-1")
EPOCH_S = 1_000_000.0
CALM = ControllerSettings()
ONE_CORE_RATE = 400.0  # calls a second that keep one instance's core busy, in the played cluster


def figures(at, active, rate=0.0, **fields):
    """What a load of `rate` calls a second does to `active` instances, each on a core of its own."""
    each = rate / max(1, active)
    cpu = min(1.0, each / ONE_CORE_RATE)
    in_flight = min(16.0 * active, rate * 0.02)
    fields = {"cpu": cpu, "rate": rate, "in_flight": in_flight, "p95_s": 0.02} | fields
    return SliceFigures(at=at, active=active, **fields)


def view(instances=2, window=(), **fields):
    fields = {"wished": instances, "low": 1, "high": 10, "active": instances, "concurrency": 16} | fields
    return SliceView(artifact=SHOP, instances=instances, window=tuple(window), **({"settings": CALM} | fields))


def context(*slices, now=EPOCH_S, since=EPOCH_S - 3600.0, **fields):
    return ControlContext(now=now, leader=LEADER, leader_since=since, slices=slices, **fields)


def window(active, rate, span_s=400.0, now=EPOCH_S, every_s=5.0, **fields):
    """The same load for `span_s`, up to now."""
    count = int(span_s / every_s)
    return [figures(now - every_s * back, active, rate, **fields) for back in range(count, -1, -1)]


_SIGNALS = {*SIGNALS, "age_s"}


@attrs.define
class Played:
    """One slice; `load(second)` is its calls a second. Acts as the control loop does, bounds included."""

    load: object
    instances: int = 2
    low: int = 1
    high: int = 10
    settings: ControllerSettings = CALM
    controller: object = attrs.field(factory=DecisionTreeController)
    leader_since: float = EPOCH_S - 3600.0
    starts_s: float = 2.0  # for a new instance to become ACTIVE
    second: float = 0.0
    window: list = attrs.field(factory=list)
    journal: list = attrs.field(factory=list)
    counts: list = attrs.field(factory=list)  # (second, instances) at each change
    last: object = None
    active: int = attrs.field(init=False)
    changed_at: float = -1e9

    def __attrs_post_init__(self):
        self.active = self.instances

    def run(self, until_s, **fields):
        """Look each interval until `until_s`; `fields` of figures or of the view override what is played."""
        while self.second <= until_s:
            self.look(**fields)
            self.second += self.settings.interval_s
        return self

    def look(self, **fields):
        now = EPOCH_S + self.second
        if self.second - self.changed_at >= self.starts_s:
            self.active = self.instances
        of_figures = {k: v for k, v in fields.items() if k in _SIGNALS}
        self.window.append(figures(now, self.active, self.load(self.second), **of_figures))
        of_view = {k: v for k, v in fields.items() if k not in of_figures}
        seen = view(
            self.instances,
            self.window[-100:],
            **(
                {
                    "active": self.active,
                    "moving": abs(self.instances - self.active),
                    "youngest_s": self.second - self.changed_at,
                    "low": self.low,
                    "high": self.high,
                    "settings": self.settings,
                    "decisions": tuple(self.journal[-50:]),
                }
                | of_view
            ),
        )
        asked = context(seen, now=now, since=self.leader_since)
        self.last = clamped(asked, self.controller.decide(asked))[0]
        if self.last.changes_something:
            self.journal.append(row(self.last, now, len(self.journal) + 1))
            self.instances, self.changed_at = self.last.after, self.second
            self.counts.append((self.second, self.instances))

    @property
    def reversals(self):
        """How often the count turned round."""
        counts = [self.journal[0].before, *(each.after for each in self.journal)] if self.journal else []
        ways = [math.copysign(1, b - a) for a, b in itertools.pairwise(counts)]
        return sum(a != b for a, b in itertools.pairwise(ways))


def row(decision, at, number=1):
    return DecisionRow(
        artifact=decision.artifact,
        number=number,
        before=decision.before,
        after=decision.after,
        controller="decision_tree",
        node=LEADER,
        at=at,
        reasons=decision.reasons,
    )


def rules(decision):
    return [reason.rule for reason in decision.reasons]
