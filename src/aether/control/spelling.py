"""The settings of the controller in the words of each source: TOML, the run-time setting, the admin API.

Knows: the names of every setting, their ranges; the original's four names.
Never: what a setting does; where a text comes from.
Holds: a wrong value is BadInput with its name and the others that are wrong; what is read is written the same again.
"""

from __future__ import annotations

import difflib
import functools
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

import attrs

from aether.control.settings import ControllerSettings
from aether.errors import BadInput
from aether.model.artifact import ArtifactBase
from aether.model.ids import is_name

SETTING: Final = "controller"
"""Name of the replicated setting: a JSON object with what differs from the settings file."""

SLICES: Final = "slices"
SLICES_MAX: Final = 250
SETTING_CHARS_MAX: Final = 64 * 1024


@attrs.frozen(kw_only=True)
class Tunable:
    """One setting. api  its name in the admin API; also  further names there; times  what one unit is there

    kind      bool, int, float or str
    low, high  of numbers
    of_slice  a slice may have its own
    """

    name: str
    api: str
    kind: type
    about: str
    low: float = 0.0
    high: float = math.inf
    also: tuple[str, ...] = ()
    times: float = 1.0
    of_slice: bool = True


_number: Final = functools.partial(Tunable, kind=float)
_DAY_S: Final = 86_400.0

TUNABLES: Final[tuple[Tunable, ...]] = (
    Tunable(
        name="enabled",
        api="enabled",
        kind=bool,
        about="false: nothing is decided, and what was holds until its time is over",
    ),
    Tunable(name="shadow", api="shadow", kind=bool, about="decide and journal, and change nothing"),
    Tunable(name="controller", api="controller", kind=str, about="who decides", of_slice=False),
    _number(
        name="interval_s",
        api="evaluationIntervalMs",
        about="between two looks",
        low=0.5,
        high=600.0,
        times=1000.0,
        of_slice=False,
        also=("evaluation_interval_ms",),
    ),
    _number(
        name="cpu_up",
        api="cpuScaleUpThreshold",
        about="of the nodes that host it",
        low=0.01,
        high=1.0,
        also=("scaleUpThreshold",),
    ),
    _number(
        name="cpu_down",
        api="cpuScaleDownThreshold",
        about="of the nodes that host it",
        low=0.0,
        high=1.0,
        also=("scaleDownThreshold",),
    ),
    _number(
        name="call_rate_up", api="callRateScaleUpThreshold", about="calls a second of one instance", low=0.001, high=1e9
    ),
    _number(
        name="call_rate_down",
        api="callRateScaleDownThreshold",
        about="calls a second of one instance",
        low=0.0,
        high=1e9,
    ),
    _number(
        name="in_flight_up",
        api="inFlightScaleUpThreshold",
        about="part of its slots that are taken",
        low=0.01,
        high=1.0,
    ),
    _number(
        name="in_flight_down",
        api="inFlightScaleDownThreshold",
        about="part of its slots that are taken",
        low=0.0,
        high=1.0,
    ),
    _number(name="queue_up", api="queueScaleUpThreshold", about="calls that wait for one instance", low=0.01, high=1e6),
    _number(
        name="p95_up_s",
        api="p95ScaleUpThresholdSeconds",
        about="of its slowest method, while it is busy",
        low=0.001,
        high=3600.0,
    ),
    _number(
        name="loop_lag_up_s",
        api="loopLagScaleUpThresholdSeconds",
        about="of the worst node that hosts it",
        low=0.001,
        high=60.0,
    ),
    _number(
        name="errors_block",
        api="errorRateBlock",
        about="part of failed calls from which on nothing changes",
        low=0.001,
        high=1.0,
    ),
    _number(
        name="up_window_s", api="scaleUpWindowSeconds", about="all of which must speak for more", low=1.0, high=3600.0
    ),
    _number(
        name="down_window_s",
        api="scaleDownWindowSeconds",
        about="all of which must speak for fewer",
        low=1.0,
        high=3600.0,
    ),
    _number(
        name="cool_down_up_s", api="coolDownUpSeconds", about="after any change, before one up", low=1.0, high=_DAY_S
    ),
    _number(
        name="cool_down_down_s",
        api="coolDownDownSeconds",
        about="after any change, before one down",
        low=1.0,
        high=_DAY_S,
    ),
    _number(
        name="warm_up_s", api="warmUpSeconds", about="after a leader has begun", low=0.0, high=3600.0, of_slice=False
    ),
    _number(
        name="instance_warm_up_s",
        api="instanceWarmUpSeconds",
        about="after an instance became ACTIVE",
        low=0.0,
        high=3600.0,
    ),
    Tunable(name="step_up", api="stepUp", kind=int, about="instances at a time", low=1, high=100),
    Tunable(name="step_down", api="stepDown", kind=int, about="instances at a time", low=1, high=100),
    _number(name="step_up_ratio", api="stepUpRatio", about="of those that there are; one at least", low=0.01, high=1.0),
    _number(
        name="step_down_ratio", api="stepDownRatio", about="of those that there are; one at least", low=0.01, high=0.5
    ),
    _number(
        name="trend_horizon_s",
        api="trendHorizonSeconds",
        about="how far a clear trend is followed; 0 = not",
        low=0.0,
        high=600.0,
    ),
    _number(name="stale_s", api="staleSeconds", about="figures older than that say nothing", low=2.0, high=600.0),
    _number(
        name="override_s",
        api="overrideSeconds",
        about="after which a count of the controller ends",
        low=60.0,
        high=30 * _DAY_S,
    ),
)

BY_NAME: Final[Mapping[str, Tunable]] = {each.name: each for each in TUNABLES}
assert BY_NAME.keys() == {field.name for field in attrs.fields(ControllerSettings)} - {SLICES}


def changed(base: ControllerSettings, given: Mapping[str, object]) -> ControllerSettings:
    """`base` with what `given` says by name, `slices` as a table of tables. Raises BadInput with every problem."""
    problems: list[str] = []
    values = _values("", {k: v for k, v in given.items() if k != SLICES}, problems, of_slice=False)
    slices = dict(base.slices)
    for text, own in _tables(given.get(SLICES, {}), problems):
        try:
            artifact = ArtifactBase.parse(text)
        except BadInput as error:
            problems.append(f"{SLICES}.{text[:80]}: {error}")
            continue
        slices[artifact] = {**slices.get(artifact, {}), **_values(f"{SLICES}.{text}.", own, problems, of_slice=True)}
    if len(slices) > SLICES_MAX:
        problems.append(f"{SLICES}: {len(slices)} slices; at most {SLICES_MAX} have settings of their own")
    if problems:
        raise BadInput("the settings of the controller do not fit", tuple(problems))
    made = attrs.evolve(base, slices=slices, **values)
    made.check()
    return made


def from_text(base: ControllerSettings, text: str) -> ControllerSettings:
    """`base` with what the run-time setting says. Raises BadInput."""
    return changed(base, read_text(text))


def read_text(text: str) -> dict[str, object]:
    """The run-time setting as a table. Raises BadInput: no JSON object, or too long."""
    if len(text) > SETTING_CHARS_MAX:
        raise BadInput("the setting controller is too long", (f"{len(text)} characters; {SETTING_CHARS_MAX} are read",))
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput("the setting controller is no JSON", (str(error),)) from error
    if not isinstance(value, dict):
        raise BadInput("the setting controller does not fit", ("give an object: name to value",))
    return cast("dict[str, object]", value)


def plain(settings: ControllerSettings, base: ControllerSettings | None = None) -> dict[str, object]:
    """By name; with `base` only what differs from it. `changed(base, plain(s, base)) == s`."""
    found: dict[str, object] = {}
    for each in TUNABLES:
        value = getattr(settings, each.name)
        if base is None or value != getattr(base, each.name):
            found[each.name] = value
    if settings.slices:
        found[SLICES] = {str(artifact): dict(own) for artifact, own in sorted(settings.slices.items()) if own}
    return found


def shown(settings: ControllerSettings) -> dict[str, object]:
    """In the names of the admin API."""
    answer: dict[str, object] = {each.api: _out(each, getattr(settings, each.name)) for each in TUNABLES}
    answer[SLICES] = {
        str(artifact): {BY_NAME[name].api: _out(BY_NAME[name], value) for name, value in own.items()}
        for artifact, own in sorted(settings.slices.items())
    }
    return answer


def by_name(given: Mapping[str, object]) -> dict[str, object]:
    """What the admin API was given, by the names of settings; what it does not know is left out."""
    found: dict[str, object] = {}
    for each in TUNABLES:
        if each.api in given:
            value = given[each.api]
            number = isinstance(value, int | float) and not isinstance(value, bool)
            found[each.name] = cast("float", value) / each.times if number and each.times != 1.0 else value
    return found


def _out(tunable: Tunable, value: object) -> object:
    return value if tunable.times == 1.0 else round(cast("float", value) * tunable.times)


def _values(path: str, given: Mapping[str, object], problems: list[str], *, of_slice: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    known = {each.name for each in TUNABLES if each.of_slice or not of_slice}
    for name, value in given.items():
        if name not in known:
            problems.append(f"{path}{name[:80]}: unknown{_near(name, known)}")
            continue
        found[name] = _value(BY_NAME[name], f"{path}{name}", value, problems)
    return found


def _value(tunable: Tunable, path: str, value: object, problems: list[str]) -> object:
    if tunable.kind is bool:
        if not isinstance(value, bool):
            problems.append(f"{path}: {value!r:.60} is not true or false")
        return value
    if tunable.kind is str:
        if not isinstance(value, str) or not is_name(value):
            problems.append(f"{path}: {value!r:.60} is no name; use letters, digits and inner . _ -")
        return value
    wanted = int if tunable.kind is int else (int, float)
    if isinstance(value, bool) or not isinstance(value, wanted):
        problems.append(f"{path}: {value!r:.60} is no {'whole ' if tunable.kind is int else ''}number")
        return value
    number = cast("float", value)
    if not (math.isfinite(number) and tunable.low <= number <= tunable.high):
        problems.append(f"{path}: {number!r:.60} is out of range; allowed are {tunable.low:g} to {tunable.high:g}")
    return tunable.kind(number) if math.isfinite(number) else number


def _tables(value: object, problems: list[str]) -> Iterable[tuple[str, Mapping[str, object]]]:
    if not isinstance(value, Mapping):
        problems.append(f"{SLICES}: {value!r:.60} is no table of artifacts")
        return
    for text, own in cast("Mapping[str, object]", value).items():
        if isinstance(own, Mapping):
            yield text, cast("Mapping[str, object]", own)
        else:
            problems.append(f"{SLICES}.{text[:80]}: {own!r:.60} is no table of settings")


def _near(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), 1)
    return f"; did you mean {close[0]}?" if close else f"; known are {', '.join(sorted(known))}"
