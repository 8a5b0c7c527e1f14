"""What changed between two versions of a contract, and whether it breaks who uses the old one.

Knows: the rules, each with its reason; who is hurt: callers, HTTP clients.
Never: files, clusters, how changes are shown.
Holds: a change is breaking when something that worked with the old contract may fail, or silently do something else,
       with the new one, during a rollout or after it.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator

import attrs

from aether.slice_api.description import ContractDescription, FaultDescription, MethodDescription, ParameterDescription
from aether.slice_api.reading import Comparison, kind_of


class Rule(enum.StrEnum):
    """Each kind of change, by the word that `aether diff` shows."""

    METHOD_REMOVED = "method-removed"
    METHOD_ADDED = "method-added"
    STREAM_CHANGED = "stream-changed"
    PARAMETER_REMOVED = "parameter-removed"
    PARAMETER_RENAMED = "parameter-renamed"
    PARAMETER_ADDED = "parameter-added"
    PARAMETER_REQUIRED = "parameter-required"
    PARAMETER_OPTIONAL = "parameter-optional"
    PARAMETER_NARROWED = "parameter-narrowed"
    PARAMETER_WIDENED = "parameter-widened"
    PARAMETER_MOVED = "parameter-moved"
    DEFAULT_CHANGED = "default-changed"
    RESULT_WIDENED = "result-widened"
    RESULT_CHANGED = "result-changed"
    IDEMPOTENT_LOST = "idempotent-lost"
    IDEMPOTENT_GAINED = "idempotent-gained"
    DEADLINE_CHANGED = "deadline-changed"
    ROUTE_REMOVED = "route-removed"
    ROUTE_ADDED = "route-added"
    JSON_CASE_CHANGED = "json-case-changed"
    FAULT_REMOVED = "fault-removed"
    FAULT_RENAMED = "fault-renamed"
    FAULT_ADDED = "fault-added"
    FAULT_STATUS = "fault-status-changed"
    FAULT_FIELDS = "fault-fields-changed"


@attrs.frozen
class Change:
    """One difference. where  `method`, `method(parameter)`, or a fault; reason  what it means to whom"""

    rule: Rule
    where: str
    breaking: bool
    reason: str


def changes(old: ContractDescription, new: ContractDescription) -> tuple[Change, ...]:
    """Every difference, method by method, then faults."""
    return tuple(_Difference(old, new).all())


class _Difference:
    def __init__(self, old: ContractDescription, new: ContractDescription) -> None:
        self._old = old
        self._new = new
        # What callers write and what they read: old ones at the new contract, and new ones at the old.
        self._given = Comparison(old.definitions, new.definitions, complete=False, heeded=True)
        self._given_back = Comparison(new.definitions, old.definitions, complete=False, heeded=True)
        self._answered = Comparison(new.definitions, old.definitions)
        self._answered_back = Comparison(old.definitions, new.definitions)

    def all(self) -> Iterator[Change]:
        old, new = self._old, self._new
        if old.json_case != new.json_case and any(m.routes for m in old.methods.values()):
            yield Change(Rule.JSON_CASE_CHANGED, "", True, f"HTTP clients spell names in {old.json_case} case")
        for name, method in old.methods.items():
            if name in new.methods:
                yield from self._method(method, new.methods[name])
            else:
                yield Change(Rule.METHOD_REMOVED, name, True, "callers get CallFailed: NotInContract")
        for name in sorted(new.methods.keys() - old.methods.keys()):
            yield Change(Rule.METHOD_ADDED, name, False, "instances of the old version do not have it yet")
        yield from self._faults()

    # --- methods ------------------------------------------------------------------------------------------------------

    def _method(self, old: MethodDescription, new: MethodDescription) -> Iterator[Change]:
        if old.stream is not new.stream:
            what = "a stream became a plain method" if old.stream else "a plain method became a stream"
            yield Change(Rule.STREAM_CHANGED, old.name, True, f"{what}; callers use the other kind of call")
        else:
            yield from self._result(old, new)
        yield from self._parameters(old, new)
        yield from _facts(old, new)
        yield from _routes(old, new)

    def _result(self, old: MethodDescription, new: MethodDescription) -> Iterator[Change]:
        found = self._answered.problems(new.returns, old.returns)
        for problem in found:
            yield Change(
                Rule.RESULT_WIDENED,
                f"{old.name} result{problem.path}",
                True,
                f"callers of the old contract cannot read it: {problem.what}",
            )
        if not found and self._answered_back.problems(old.returns, new.returns):
            yield Change(
                Rule.RESULT_CHANGED,
                f"{old.name} result",
                False,
                "old callers read it; new callers cannot read results of the old version, so update callers last",
            )

    def _parameters(self, old: MethodDescription, new: MethodDescription) -> Iterator[Change]:
        gone = [p for p in old.parameters if new.parameter(p.name) is None]
        come = [p for p in new.parameters if old.parameter(p.name) is None]
        for p in gone:
            twin = next((c for c in come if c.schema == p.schema and c.stream is p.stream), None)
            if twin is None or len(gone) != len(come):
                yield Change(
                    Rule.PARAMETER_REMOVED, _of(old, p), True, "what old callers give it is ignored without a word"
                )
            else:
                come.remove(twin)
                yield Change(
                    Rule.PARAMETER_RENAMED,
                    _of(old, p),
                    True,
                    f"it is {twin.name} now, and arguments travel by name: what old callers give it is lost",
                )
        for p in come:
            why = "old callers do not give it" if p.required else "it has a default; old instances ignore it"
            yield Change(Rule.PARAMETER_ADDED, _of(new, p), p.required, why)
        shared = [p.name for p in old.parameters if new.parameter(p.name) is not None]
        if shared != [p.name for p in new.parameters if old.parameter(p.name) is not None]:
            yield Change(
                Rule.PARAMETER_MOVED, old.name, False, "arguments travel by name; only new code that goes by position"
            )
        for p in old.parameters:
            other = new.parameter(p.name)
            if other is not None:
                yield from self._parameter(old, p, other)

    def _parameter(
        self, method: MethodDescription, old: ParameterDescription, new: ParameterDescription
    ) -> Iterator[Change]:
        where = _of(method, old)
        if old.stream is not new.stream:
            yield Change(Rule.PARAMETER_NARROWED, where, True, "a stream and a value are not given alike")
            return
        if old.required is not new.required:
            rule = Rule.PARAMETER_REQUIRED if new.required else Rule.PARAMETER_OPTIONAL
            why = "it has no default any more; callers may leave it out" if new.required else "it has a default now"
            yield Change(rule, where, new.required, why)
        elif old.schema.get("default") != new.schema.get("default"):
            yield Change(
                Rule.DEFAULT_CHANGED,
                where,
                False,
                f"callers that leave it out get {new.schema.get('default')!r}, not {old.schema.get('default')!r}",
            )
        found = self._given.problems(old.schema, new.schema)
        for problem in found:
            yield Change(
                Rule.PARAMETER_NARROWED,
                where + problem.path,
                True,
                f"what old callers give is refused: {problem.what}",
            )
        if not found and self._given_back.problems(new.schema, old.schema):
            was, now = kind_of(old.schema), kind_of(new.schema)
            what = f"{was} became {now}" if was != now else f"{now} takes more"
            yield Change(Rule.PARAMETER_WIDENED, where, False, f"{what}; old instances do not take what is new")

    # --- faults -------------------------------------------------------------------------------------------------------

    def _faults(self) -> Iterator[Change]:
        old, new = self._old.faults, self._new.faults
        gone = [old[name] for name in old if name not in new]
        come = [new[name] for name in new if name not in old]
        for fault in gone:
            twin = next((c for c in come if c.schema == fault.schema and c.status == fault.status), None)
            if twin is not None:
                come.remove(twin)
                yield Change(
                    Rule.FAULT_RENAMED,
                    fault.name,
                    True,
                    f"it is {twin.name} now: old callers get CallFailed instead of what they catch",
                )
            else:
                yield Change(Rule.FAULT_REMOVED, fault.name, False, "what catches it has nothing to do any more")
        for fault in come:
            yield Change(Rule.FAULT_ADDED, fault.name, False, "old callers get it as CallFailed with its fields")
        for name in sorted(old.keys() & new.keys()):
            yield from self._fault(old[name], new[name])

    def _fault(self, old: FaultDescription, new: FaultDescription) -> Iterator[Change]:
        if old.status != new.status:
            yield Change(Rule.FAULT_STATUS, old.name, True, f"HTTP clients expect {old.status}, not {new.status}")
        for problem in self._answered.problems(new.schema, old.schema):
            yield Change(
                Rule.FAULT_FIELDS,
                old.name + problem.path,
                True,
                f"old callers get it as CallFailed: {problem.what}",
            )


def _facts(old: MethodDescription, new: MethodDescription) -> Iterator[Change]:
    if old.idempotent and not new.idempotent:
        yield Change(
            Rule.IDEMPOTENT_LOST,
            old.name,
            True,
            "callers repeat it, and the runtime did; a lost connection is OutcomeUnknown from now on",
        )
    elif new.idempotent and not old.idempotent:
        yield Change(Rule.IDEMPOTENT_GAINED, old.name, False, "the runtime repeats it after a lost connection")
    if old.deadline_s != new.deadline_s:
        was, now = _seconds(old.deadline_s), _seconds(new.deadline_s)
        yield Change(Rule.DEADLINE_CHANGED, old.name, False, f"calls without a deadline of their own: {was}, now {now}")


def _routes(old: MethodDescription, new: MethodDescription) -> Iterator[Change]:
    for verb, template in old.routes:
        if (verb, template) not in new.routes:
            yield Change(Rule.ROUTE_REMOVED, old.name, True, f"HTTP clients of {verb} {template} find nothing there")
    for verb, template in new.routes:
        if (verb, template) not in old.routes:
            yield Change(Rule.ROUTE_ADDED, old.name, False, f"{verb} {template}")


def _of(method: MethodDescription, p: ParameterDescription) -> str:
    return f"{method.name}({p.name})"


def _seconds(value: float | None) -> str:
    return "the slice's" if value is None else f"{value:g} s"
