"""What the admin API asks of updates, and the plan that a body describes.

Knows: both spellings of a plan; the words of an answer.
Never: HTTP; how an update is carried out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar, cast

from aether.errors import BadInput
from aether.management.facts import Answer
from aether.management.view import RevisionAnswer
from aether.model.gate_presets import Preset, preset
from aether.model.health import Health, VersionHealth
from aether.model.rollout import Cleanup, Gates, RolloutPlan, RolloutRow, Strategy

T = TypeVar("T")


class Count(Protocol):
    """Instances of one version."""

    @property
    def present(self) -> int: ...
    @property
    def active(self) -> int: ...


class RolloutAnswer(RevisionAnswer, Protocol):
    """An update as it stands; `changed` is False when a wish found it so, `missing()` what it does not wait for."""

    @property
    def row(self) -> RolloutRow: ...
    @property
    def changed(self) -> bool: ...
    @property
    def old(self) -> Count: ...
    @property
    def new(self) -> Count: ...
    @property
    def missing(self) -> Callable[[], list[str]]: ...
    @property
    def waits_for(self) -> str: ...


class Rollouts(Protocol):
    """Updates. Each wish returns once it is applied here. Raises Rejected, TryAgain, OutcomeUnknown."""

    async def start(self, artifact: str, version: str = "", plan: RolloutPlan = ..., by: str = "") -> RolloutAnswer: ...
    async def known(self) -> Sequence[RolloutAnswer]: ...
    async def get(self, name: str) -> RolloutAnswer: ...
    async def health(self, name: str) -> tuple[RolloutAnswer, Health]: ...
    async def route(self, name: str, new: int, old: int) -> RolloutAnswer: ...
    async def approve(self, name: str) -> RolloutAnswer: ...
    async def complete(self, name: str) -> RolloutAnswer: ...
    async def rollback(self, name: str, by: str = "") -> RolloutAnswer: ...
    async def pause(self, name: str) -> RolloutAnswer: ...
    async def resume(self, name: str) -> RolloutAnswer: ...


def plan_of(body: Mapping[str, object], strategy: Strategy) -> RolloutPlan:
    """The plan in a body that fits its schema; `strategy` unless it names one. Raises BadInput."""
    named = cast("str | None", body.get("strategy"))
    gates = preset(cast("str", body["gates"])) if "gates" in body else Preset(Gates())
    return RolloutPlan(
        strategy=strategy if named is None else _word(Strategy, "strategy", named.lower().replace("-", "_")),
        steps=tuple(_percent(each) for each in _listed("steps", body.get("steps"))),
        hold_s=float(cast("float", body.get("holdS", 0.0))),
        batch=cast("int", body.get("batch", 1)),
        instances=cast("int | None", body.get("instances")),
        rules=tuple(map(str, _listed("rules", body.get("rules"), split=False))),
        sticky=cast("str", body.get("sticky", "")),
        gates=Gates(
            error_rate=cast("float | None", body.get("maxErrorRate", gates.gates.error_rate)),
            p99_ms=cast("float | None", body.get("maxLatencyMs", gates.gates.p99_ms)),
            against_old=cast("float | None", body.get("againstOld")),
            requests_min=cast("int", body.get("requestsMin", Gates().requests_min)),
        ),
        manual_approval=bool(body.get("requireManualApproval", gates.manual_approval)),
        cleanup=_word(Cleanup, "cleanupPolicy", str(body.get("cleanupPolicy", Cleanup.IMMEDIATE)).upper()),
        grace_s=float(cast("float", body.get("graceS", RolloutPlan().grace_s))),
        force=bool(body.get("force")),
    )


_W = TypeVar("_W", Strategy, Cleanup)


def _word(words: type[_W], name: str, text: str) -> _W:
    try:
        return words(text)
    except ValueError:
        known = ", ".join(word.value for word in words)
        raise BadInput("the body does not fit", (f"{name}: {text[:40]!r} is none of {known}",)) from None


def _listed(name: str, value: object, *, split: bool = True) -> list[object]:
    """A list, or text with commas (a rule may hold one itself)."""
    if value is None or value == "":
        return []
    if isinstance(value, str):
        return list(value.split(",")) if split else [value]
    if not isinstance(value, list):
        raise BadInput("the body does not fit", (f"{name}: {value!r:.60} is no list",))
    return cast("list[object]", value)


def _percent(value: object) -> int:
    text = str(value).strip().removesuffix("%")
    if isinstance(value, bool) or re.fullmatch(r"[0-9]{1,3}", text, re.ASCII) is None:
        raise BadInput("the body does not fit", (f"steps: {value!r:.40} is no whole percentage from 1 to 100",))
    return int(text)


# --- answers --------------------------------------------------------------------------------------------------------


def shown(update: RolloutAnswer) -> Answer:
    """One update: the fields of the original, and ours."""
    row = update.row
    plan = row.plan
    return {
        "updateId": row.id,
        "artifactBase": str(row.artifact),
        "artifact": str(row.artifact),
        "oldVersion": str(row.old),
        "newVersion": str(row.new),
        "state": row.state.value,
        "routing": f"{row.weight_new}:{row.weight_old}",
        "newWeight": row.weight_new,
        "oldWeight": row.weight_old,
        "newInstances": update.new.present,
        "newActive": update.new.active,
        "oldInstances": update.old.present,
        "oldActive": update.old.active,
        "strategy": plan.strategy.value,
        "step": row.step,
        "steps": list(plan.steps),
        "paused": row.paused,
        "waitsFor": update.waits_for,
        "reason": _said(row.reason),
        "by": _said(row.by),
        "requireManualApproval": plan.manual_approval,
        "maxErrorRate": plan.gates.error_rate,
        "maxLatencyMs": plan.gates.p99_ms,
        "cleanupPolicy": plan.cleanup.value,
        "health": {name: _said(text) for name, text in row.health.items()},
        "createdAt": row.created_at,
        "updatedAt": row.updated_at,
        "revision": update.revision,
    }


def shown_health(update: RolloutAnswer, health: Health, at: float) -> Answer:
    """How both versions did."""
    row = update.row
    return {
        "updateId": row.id,
        "oldVersion": _version(str(row.old), health.old),
        "newVersion": _version(str(row.new), health.new),
        "verdict": {name: _said(text) for name, text in row.health.items()},
        "collectedAt": at,
        "revision": update.revision,
    }


def _version(version: str, health: VersionHealth) -> Answer:
    return {
        "version": version,
        "requestCount": health.requests,
        "failureCount": health.errors,
        "errorRate": health.error_rate,
        "avgLatencyMs": health.mean_ms,
        "p50LatencyMs": health.p50_ms,
        "p99LatencyMs": health.p99_ms,
    }


def _said(text: str) -> str:
    return "the reason given was the word error" if text == "error" else text
