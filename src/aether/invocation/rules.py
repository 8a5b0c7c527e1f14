"""Whether a call fits a rule that sends it to one version of a slice.

Knows: where a request over HTTP has its headers and cookies; what calls made inside of it carry on of them.
Never: which rules there are, versions.
Holds: only what some rule of the cluster looks at is carried, and no value longer than a rule can be; what comes from
       another node is checked.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, cast

from aether.invocation.reply import Form
from aether.model.limits import TRAFFIC_RULE_CHARS_MAX
from aether.model.traffic_rules import RuleKind, TrafficRule
from aether.slice_api.current import Running
from aether.slice_api.maps import pack, unpack

CARRIED: Final = "aether.traffic"
"""The context variable that holds, of the request that all this is for, the fields that rules look at."""
_HEADERS, _COOKIES = 4, 5  # places in HttpInput.to_plain()
_NOTHING: Final[Mapping[str, object]] = {}


def fitting(payload: object, form: Form, key: str, running: Running | None) -> Callable[[TrafficRule], bool]:
    """Whether a call with this payload and key, made by `running`, fits a rule."""
    headers, cookies = _fields(payload) if form is Form.HTTP else (_NOTHING, _NOTHING)
    carried = _NOTHING if running is None or form is Form.HTTP else _carried(running.carried.get(CARRIED))

    def fits(rule: TrafficRule) -> bool:
        match rule.kind:
            case RuleKind.KEY:
                return key == rule.value
            case RuleKind.HEADER:
                found = headers.get(rule.name)
            case RuleKind.COOKIE:
                found = cookies.get(rule.name)
        return (carried.get(rule.field) if found is None else found) == rule.value

    return fits


def carried_on(headers: Mapping[str, str], cookies: Mapping[str, str], fields: Collection[str]) -> Mapping[str, bytes]:
    """What calls made inside a request carry of it, as a context variable; {} when it has none of `fields`."""
    said: dict[str, str] = {}
    for field in sorted(fields):
        kind, _, name = field.partition(":")
        value = (headers if kind == RuleKind.HEADER else cookies).get(name)
        if value is not None and len(value) <= TRAFFIC_RULE_CHARS_MAX:
            said[field] = value
    return {CARRIED: pack(said)} if said else {}


def _fields(payload: object) -> tuple[Mapping[str, object], Mapping[str, object]]:
    if not isinstance(payload, list | tuple) or len(cast("Sequence[Any]", payload)) <= _COOKIES:
        return _NOTHING, _NOTHING
    parts = cast("Sequence[Any]", payload)
    return parts[_HEADERS], parts[_COOKIES]


def _carried(raw: bytes | None) -> Mapping[str, object]:
    if raw is None:
        return _NOTHING
    try:
        said: object = unpack(raw)
    except ValueError:
        return _NOTHING
    return cast("Mapping[str, object]", said) if isinstance(said, dict) else _NOTHING
