"""Whom an update of a slice would break, as sentences for whoever wants it.

Knows: the contracts of two versions as published, and those of the slices that run beside them.
Never: rows, who asks; whether a break is wanted anyway (`--force`).
Holds: only what somebody uses can be broken: a slice that depends on this one, or HTTP clients of its routes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import attrs

from aether.errors import BadInput
from aether.model.artifact import Artifact
from aether.model.rows import ContractRow
from aether.slice_api.compatibility import Change, Rule, changes
from aether.slice_api.description import ContractDescription, DependencyDescription, read_description

_HTTP_ONLY: Final = frozenset({Rule.ROUTE_REMOVED, Rule.JSON_CASE_CHANGED, Rule.FAULT_STATUS})
_CALLS_ONLY: Final = frozenset({Rule.STREAM_CHANGED, Rule.FAULT_RENAMED, Rule.IDEMPOTENT_LOST})
_ROUTES_SHOWN: Final = 3


def breaks(old: ContractDescription, new: ContractDescription, callers: Iterable[ContractDescription]) -> list[str]:
    """Each change from `old` to `new` that breaks one of `callers` or HTTP clients; [] = none does.

    callers  contracts of slices that run now, in the version in force; who does not depend on the slice is left alone
    """
    base = Artifact.parse(old.artifact).base
    others = [caller for caller in callers if Artifact.parse(caller.artifact).base != base]
    users = [user for caller in others for user in _users(caller, old)]
    return [line for change in changes(old, new) if change.breaking for line in _hurt(change, old, users)]


def described(row: ContractRow) -> ContractDescription:
    """The contract in a row. Raises BadInput, naming the artifact."""
    try:
        plain: object = json.loads(row.text)
    except ValueError as error:
        raise BadInput(f"the contract of {row.artifact} is no JSON", (str(error),)) from error
    return read_description(plain)


@attrs.frozen
class _User:
    """Who may call which methods."""

    artifact: str
    methods: frozenset[str]


def _users(caller: ContractDescription, used: ContractDescription) -> Iterator[_User]:
    for dependency in caller.dependencies:
        if _means(dependency, used):
            yield _User(caller.artifact, frozenset(dependency.methods))


def _means(dependency: DependencyDescription, used: ContractDescription) -> bool:
    """By name of the artifact, or as a Protocol whose every method is there with these parameters."""
    if dependency.artifact:
        return Artifact.parse(dependency.artifact).base == Artifact.parse(used.artifact).base
    return all(
        name in used.methods and set(parameters) <= {p.name for p in used.methods[name].parameters}
        for name, parameters in dependency.methods.items()
    )


def _hurt(change: Change, old: ContractDescription, users: Sequence[_User]) -> Iterator[str]:
    """One line for each who is hurt by `change`."""
    method = old.methods.get(re.split(r"[ (]", change.where, maxsplit=1)[0])
    for user in users:
        if change.rule not in _HTTP_ONLY and (method is None or method.name in user.methods):
            yield f"{user.artifact} calls it: {_told(change)}"
    routes = list(method.routes if method else (r for m in old.methods.values() for r in m.routes))
    if routes and change.rule not in _CALLS_ONLY:
        shown = ", ".join(f"{verb} {template}" for verb, template in routes[:_ROUTES_SHOWN])
        more = f" and {len(routes) - _ROUTES_SHOWN} more" if len(routes) > _ROUTES_SHOWN else ""
        yield f"HTTP clients of {shown}{more}: {_told(change)}"


def _told(change: Change) -> str:
    where = f"{change.where}: " if change.where else ""
    return f"{where}{change.rule} ({change.reason})"
