"""What the fields of a new instance get, as values.

Knows: field kinds of a contract; which artifact implements a dependency; configuration, secrets, maps.
Never: construction itself (given), where the instance lives.
Holds: a dependency that is not deployed is waited for, with its reason reported; it need not be ACTIVE, so slices may
       depend on each other in a circle. An optional one that nobody implements is None.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Protocol

import attrs

from aether.errors import NotFound
from aether.hosting.given import Bound, Given, Shared, Text
from aether.hosting.replicated_map import define_map
from aether.kv import keys
from aether.kv.service import KvService
from aether.model.artifact import Artifact, ArtifactBase
from aether.model.ids import InstanceId
from aether.model.rows import DesiredRow, InstanceRow
from aether.slice_api.binding import Binding
from aether.slice_api.described import (
    AnyField,
    AnySlice,
    DescribedField,
    DescribedSlice,
    full_name,
    slice_of,
    wanted_of,
)
from aether.slice_api.field_spec import FieldSpec
from aether.slice_api.fields import ConfigSpec, MapSpec, SecretSpec
from aether.slice_api.matching import choose_slice


class Classes(Protocol):
    """Where classes come from: the part of a slice store that hosting needs."""

    def available(self) -> tuple[Artifact, ...]: ...
    async def load(self, artifact: Artifact) -> type | DescribedSlice: ...


class Reports(Protocol):
    """Who hears of instances between orders: the node's deployment manager."""

    def instance_crashed(self, instance: InstanceId, error: BaseException) -> None: ...
    def instance_waits(self, instance: InstanceId, reason: str) -> None: ...


@attrs.frozen(kw_only=True)
class Sources:
    """Where injected values come from, for all instances of one node.

    config, secrets  of this process: dotted key -> text; the desired row's own config comes first
    bindings         of this process; what the desired row binds comes first
    """

    classes: Classes
    kv: KvService
    reports: Reports
    config: Mapping[str, str]
    secrets: Mapping[str, str]
    bindings: Sequence[Binding] = ()
    said: set[tuple[str, str]] = attrs.field(factory=set[tuple[str, str]])
    """(Protocol, slice) chosen by their methods alone and said so: once, not for each instance and look."""


_log = logging.getLogger(__name__)


async def given_values(sources: Sources, row: InstanceRow, contract: AnySlice, desired: DesiredRow) -> dict[str, Given]:
    """What each field gets; those that keep their own default are left out.

    Waits, without a bound of its own, while a dependency is not deployed. Raises ContractError for an ambiguous
    dependency, NotFound for a missing configuration value, BadInput for one that does not fit.
    """
    values: dict[str, Given] = {}
    for field in contract.fields:
        match field.kind:
            case "dependency":
                bound = _bound(field, desired)
                if bound is not None or not field.has_default:
                    values[field.name] = await _dependency(sources, row, contract, field)
            case "config":
                _configured(values, field, contract, {**sources.config, **desired.config}, "configuration value")
            case "secret":
                _configured(values, field, contract, sources.secrets, "secret")
            case "map":
                values[field.name] = await _map(sources, field)
            case "token":
                values[field.name] = Text(str(row.token))
            case "state" | "default":
                pass
    return values


def _configured(
    values: dict[str, Given], field: AnyField, contract: AnySlice, texts: Mapping[str, str], what: str
) -> None:
    key = _key(field)
    text = texts.get(key)
    if text is not None:
        if isinstance(field, FieldSpec):
            field.read(text)  # what does not fit is told before anything is started
        values[field.name] = Text(text)
    elif not field.has_default:
        raise NotFound(what, key, f"set it for {contract.name}.{field.name}, or give the field a default")


def _key(field: AnyField) -> str:
    if isinstance(field, DescribedField):
        return field.key
    assert isinstance(field.spec, ConfigSpec | SecretSpec), f"{field.name} is {field.kind}"
    return field.spec.key


async def _map(sources: Sources, field: AnyField) -> Shared:
    if isinstance(field, DescribedField):
        name, entries_max, bytes_max = field.key, field.entries_max, field.bytes_max
    else:
        assert isinstance(field.spec, MapSpec), f"{field.name} is {field.kind}"
        name, entries_max, bytes_max = field.spec.name, field.spec.entries_max, field.spec.bytes_max
    await define_map(sources.kv, name, entries_max, bytes_max)
    return Shared(name)


async def _dependency(sources: Sources, row: InstanceRow, contract: AnySlice, field: AnyField) -> Bound:
    found = await _resolved(sources, row, field)
    if isinstance(found, ArtifactBase):
        return Bound(found)
    if field.optional:
        return Bound(None)
    async with sources.kv.watch(keys.DESIRED) as watch:
        while True:
            found = await _resolved(sources, row, field)
            if isinstance(found, ArtifactBase):
                break
            sources.reports.instance_waits(row.instance, f"{contract.name}.{field.name} {found}")
            await watch.changed()
    sources.reports.instance_waits(row.instance, "")
    return Bound(found)


async def _resolved(sources: Sources, row: InstanceRow, field: AnyField) -> ArtifactBase | str:
    """The deployed artifact behind a dependency, or what it waits for."""
    desired = sources.kv.get(keys.desired(row.artifact.base))
    base = _bound(field, desired) or await _implementation(sources, field)
    if base is None:
        return (
            f"waits for an implementation of {wanted_of(field).name}; bind one, or register a slice that implements it"
        )
    if sources.kv.get(keys.desired(base)) is None:
        return f"waits for {base}, which is not deployed"
    return base


def _bound(field: AnyField, desired: DesiredRow | None) -> ArtifactBase | None:
    """What the blueprint binds: the name of the field's type, or of the field itself."""
    if desired is None or not desired.bind:
        return None
    text = desired.bind.get(wanted_of(field).name) or desired.bind.get(field.name)
    return ArtifactBase.parse(text) if text else None


async def _implementation(sources: Sources, field: AnyField) -> ArtifactBase | None:
    wanted = wanted_of(field)
    if wanted.artifact is not None and not any(full_name(b.protocol) == wanted.full_name for b in sources.bindings):
        return wanted.artifact.base
    choice = choose_slice(field, await newest_slices(sources.classes), sources.bindings)
    if choice is None or choice[0].artifact is None:
        return None
    chosen, structural = choice
    pair = (wanted.name, chosen.name)
    if structural and pair not in sources.said:
        sources.said.add(pair)
        _log.info("%s is implemented by %s, which matches its methods", *pair)
    return choice[0].artifact.base


async def newest_slices(classes: Classes) -> tuple[AnySlice, ...]:
    """What this process can load, each slice in its newest version."""
    newest: dict[ArtifactBase, AnySlice] = {}
    for artifact in classes.available():  # sorted: a later version replaces an earlier one
        try:
            newest[artifact.base] = slice_of(await classes.load(artifact))
        except NotFound:  # its tree has gone meanwhile
            continue
    return tuple(newest.values())
