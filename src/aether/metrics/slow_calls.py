"""Which calls are slow: four strategies, how they are spelt, and the slow calls themselves.

Knows: fixed, adaptive, per method, composite; the moving average that the adaptive one follows.
Never: who counts calls, where the setting is kept.
Holds: a strategy comes to one rule for each method, decided when it is set: a call costs one comparison.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias, cast

import attrs

from aether.errors import BadInput
from aether.model.artifact import Artifact

SLOW_CALLS: Final = "slow-calls"
"""Name of the setting that holds the strategy."""
EMA_WEIGHT: Final = 0.1  # of the newest call in the moving average
LEARNING_CALLS: Final = 10  # for which the adaptive rule keeps to its minimum
THRESHOLD_MS_MAX: Final = 86_400_000.0
MULTIPLIER_MAX: Final = 1_000.0
METHODS_NAMED_MAX: Final = 256
STRATEGIES_MAX: Final = 8  # of one composite
ERROR_CHARS_MAX: Final = 200

Plain = Mapping[str, object]


@attrs.frozen
class Fixed:
    """Slow is what takes longer than `threshold_s`."""

    threshold_s: float = 0.1


@attrs.frozen
class Adaptive:
    """Slow is what takes `multiplier` times as long as calls of its method lately did, but between two bounds."""

    min_s: float = 0.01
    max_s: float = 1.0
    multiplier: float = 3.0

    def threshold_s(self, average_s: float, calls: int) -> float:
        """After so many calls with that moving average."""
        if calls < LEARNING_CALLS:
            return self.min_s
        return min(max(self.multiplier * average_s, self.min_s), self.max_s)


@attrs.frozen
class PerMethod:
    """A threshold for each method. Methods are named `quote`, or `group:artifact/quote`, which goes before."""

    default_s: float = 0.1
    methods: Mapping[str, float] = attrs.field(factory=dict[str, float])

    def named(self, artifact: Artifact, method: str) -> float | None:
        return self.methods.get(f"{artifact.base}/{method}", self.methods.get(method))


@attrs.frozen
class Composite:
    """The first strategy that applies: one per method does to those that it names, the others to all."""

    strategies: tuple[Fixed | Adaptive | PerMethod, ...] = (Adaptive(),)


Rule: TypeAlias = Fixed | Adaptive
Strategy: TypeAlias = Fixed | Adaptive | PerMethod | Composite
DEFAULT: Final[Strategy] = Adaptive()


def rule_for(strategy: Strategy, artifact: Artifact, method: str) -> Rule:
    """What `strategy` comes to for one method."""
    match strategy:
        case Fixed() | Adaptive():
            return strategy
        case PerMethod():
            named = strategy.named(artifact, method)
            return Fixed(strategy.default_s if named is None else named)
        case Composite(strategies):
            for each in strategies:
                if not isinstance(each, PerMethod) or each.named(artifact, method) is not None:
                    return rule_for(each, artifact, method)
            return rule_for(strategies[-1], artifact, method)


# --- as JSON ----------------------------------------------------------------------------------------------------------


def show_strategy(strategy: Strategy) -> dict[str, object]:
    """As the admin API shows it, and as the setting keeps it."""
    match strategy:
        case Fixed(threshold_s):
            return {"type": "fixed", "thresholdMs": _ms(threshold_s)}
        case Adaptive(min_s, max_s, multiplier):
            return {"type": "adaptive", "minMs": _ms(min_s), "maxMs": _ms(max_s), "multiplier": multiplier}
        case PerMethod(default_s, methods):
            named = {name: _ms(limit_s) for name, limit_s in methods.items()}
            return {"type": "perMethod", "defaultMs": _ms(default_s), "methods": named}
        case Composite(strategies):
            return {"type": "composite", "strategies": [show_strategy(each) for each in strategies]}


def read_strategy(plain: Plain) -> Strategy:
    """Inverse of show_strategy; what is left out has its default. Raises BadInput with every problem."""
    problems: list[str] = []
    strategy = _read(plain, "", problems)
    if problems:
        raise BadInput("the strategy for slow calls does not fit", tuple(problems))
    return strategy


def read_setting(text: str) -> Strategy:
    """The strategy in the text of the setting. Raises BadInput."""
    try:
        plain: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput("the setting slow-calls is no JSON", (str(error),)) from error
    if not isinstance(plain, dict):
        raise BadInput("the setting slow-calls does not fit", ("give an object with a type",))
    return read_strategy(cast("Plain", plain))


def spell_setting(strategy: Strategy) -> str:
    """Inverse of read_setting."""
    return json.dumps(show_strategy(strategy))


_FIELDS: Final[Mapping[str, frozenset[str]]] = {
    "fixed": frozenset({"thresholdMs"}),
    "adaptive": frozenset({"minMs", "maxMs", "multiplier"}),
    "perMethod": frozenset({"defaultMs", "methods"}),
    "composite": frozenset({"strategies"}),
}


def _read(plain: Plain, at: str, problems: list[str]) -> Strategy:
    kind = plain.get("type")
    known = _FIELDS.get(kind) if isinstance(kind, str) else None
    if known is None:
        problems.append(f"{at}type: {kind!r} is none of {', '.join(_FIELDS)}")
        return DEFAULT
    problems += [f"{at}{name}: unknown for {kind}; known are {', '.join(sorted(known))}"
                 for name in plain if name not in known | {"type"}]  # fmt: skip
    if kind == "fixed":
        return Fixed(_seconds(plain, "thresholdMs", 0.1, at, problems))
    if kind == "adaptive":
        return _read_adaptive(plain, at, problems)
    if kind == "perMethod":
        return _read_per_method(plain, at, problems)
    return _read_composite(plain, at, problems)


def _read_adaptive(plain: Plain, at: str, problems: list[str]) -> Adaptive:
    low = _seconds(plain, "minMs", 0.01, at, problems)
    high = _seconds(plain, "maxMs", max(1.0, low), at, problems)
    if low > high:
        problems.append(f"{at}minMs: {_ms(low)} is above maxMs, {_ms(high)}")
    return Adaptive(low, high, _number(plain, "multiplier", 3.0, MULTIPLIER_MAX, at, problems))


def _read_per_method(plain: Plain, at: str, problems: list[str]) -> PerMethod:
    named = plain.get("methods", {})
    if not isinstance(named, dict):
        problems.append(f"{at}methods: give an object, method to milliseconds")
        named = {}
    methods = cast("dict[str, object]", named)
    if len(methods) > METHODS_NAMED_MAX:
        problems.append(f"{at}methods: {len(methods)} are named; at most {METHODS_NAMED_MAX}")
        methods = {}
    where = f"{at}methods."
    limits = {name: _seconds(methods, name, 0.1, where, problems) for name in methods}
    return PerMethod(_seconds(plain, "defaultMs", 0.1, at, problems), limits)


def _read_composite(plain: Plain, at: str, problems: list[str]) -> Composite:
    parts = plain.get("strategies", [show_strategy(DEFAULT)])
    if not isinstance(parts, list) or not 0 < len(cast("list[object]", parts)) <= STRATEGIES_MAX:
        problems.append(f"{at}strategies: give a list of 1 to {STRATEGIES_MAX}")
        return Composite()
    strategies: list[Fixed | Adaptive | PerMethod] = []
    for number, part in enumerate(cast("list[object]", parts)):
        where = f"{at}strategies.{number}."
        if not isinstance(part, dict) or cast("Plain", part).get("type") == "composite":
            problems.append(f"{where}type: give an object that is no composite itself")
            continue
        strategies.append(cast("Fixed | Adaptive | PerMethod", _read(cast("Plain", part), where, problems)))
    return Composite(tuple(strategies) or (Adaptive(),))


def _seconds(plain: Plain, name: str, default_s: float, at: str, problems: list[str]) -> float:
    return _number(plain, name, 1e3 * default_s, THRESHOLD_MS_MAX, at, problems) / 1e3


def _number(plain: Plain, name: str, default: float, high: float, at: str, problems: list[str]) -> float:
    value = plain.get(name, default)
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= high:
        return float(value)
    problems.append(f"{at}{name}: {value!r:.40} is no number above 0 and up to {high:g}")
    return default


def _ms(seconds: float) -> int | float:
    """Whole milliseconds as a whole number, as clients of the original read it."""
    milliseconds = round(1e3 * seconds, 6)
    return int(milliseconds) if math.isfinite(milliseconds) and milliseconds == int(milliseconds) else milliseconds


# --- the calls --------------------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class SlowCall:
    """One call that was slow.

    at_s      when it ended, by the clock of whoever counted it
    error     "" when it was answered; trace_id  "" when it had none
    instance  that was asked
    """

    at_s: float
    latency_s: float
    request_id: str
    instance: str
    error: str = ""
    trace_id: str = ""

    def to_plain(self) -> list[object]:
        return [self.at_s, self.latency_s, self.request_id, self.instance, self.error, self.trace_id]

    @classmethod
    def from_plain(cls, plain: object) -> SlowCall:
        """Inverse of to_plain. Raises BadInput for anything else."""
        parts = list(cast("Sequence[Any]", plain)) if isinstance(plain, list | tuple) else []
        if [type(part) for part in parts] != [float, float, str, str, str, str]:
            raise BadInput(f"{plain!r:.80} is no slow call")
        at_s, latency_s, *texts = parts
        if not math.isfinite(at_s) or not 0 <= latency_s < math.inf:
            raise BadInput(f"{plain!r:.80} is no slow call")
        request_id, instance, error, trace_id = (str(text)[:ERROR_CHARS_MAX] for text in texts)
        return cls(
            at_s=at_s,
            latency_s=latency_s,
            request_id=request_id,
            instance=instance,
            error=error,
            trace_id=trace_id,
        )
