"""What the fields of a new instance get.

Knows: field kinds of a contract; which artifact implements a dependency; configuration, secrets, maps.
Never: construction itself, lifespans.
Holds: a dependency that is not deployed is waited for, with its reason reported; it need not be ACTIVE, so slices may
       depend on each other in a circle. An optional one that nobody implements is None.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import attrs

from aether.errors import BadInput, NotFound
from aether.hosting.replicated_map import replicated_map
from aether.invocation.proxy import bind_proxy
from aether.invocation.service import Invoker
from aether.kv import keys
from aether.kv.service import KvService
from aether.model.artifact import Artifact, ArtifactBase
from aether.model.ids import InstanceId
from aether.model.rows import DesiredRow, InstanceRow
from aether.slice_api.contract import Contract, FieldSpec, contract_of, implementations


class Classes(Protocol):
    """Where classes come from: the part of a slice store that hosting needs."""

    def available(self) -> tuple[Artifact, ...]: ...
    async def load(self, artifact: Artifact) -> type: ...


class Reports(Protocol):
    """Who hears of instances between orders: the node's deployment manager."""

    def instance_crashed(self, instance: InstanceId, error: BaseException) -> None: ...
    def instance_waits(self, instance: InstanceId, reason: str) -> None: ...


@attrs.frozen(kw_only=True)
class Sources:
    """Where injected values come from, for all instances of one node.

    config, secrets  of this process: dotted key -> text; the desired row's own config comes first
    """

    classes: Classes
    kv: KvService
    invoker: Invoker
    reports: Reports
    config: Mapping[str, str]
    secrets: Mapping[str, str]


async def constructor_arguments(
    sources: Sources, row: InstanceRow, contract: Contract, desired: DesiredRow
) -> dict[str, Any]:
    """Keyword arguments for the class, fields with their own default left out.

    Waits, without a bound of its own, while a dependency is not deployed. Raises ContractError for an ambiguous
    dependency, NotFound for a missing configuration value, BadInput for one of a wrong type.
    """
    values: dict[str, Any] = {}
    for field in contract.fields:
        match field.kind:
            case "dependency":
                values[field.name] = await _dependency(sources, row, contract, field)
            case "config":
                _configured(values, field, contract, {**sources.config, **desired.config}, "configuration value")
            case "secret":
                _configured(values, field, contract, sources.secrets, "secret")
            case "map":
                assert contract.artifact is not None, "only slices have fields"
                values[field.name] = await replicated_map(sources.kv, contract.artifact.base, field)
            case _:
                bound = _bound(field, desired)
                if bound is not None:
                    values[field.name] = bind_proxy(contract_of(field.type), bound, sources.invoker)
    return values


def _configured(
    values: dict[str, Any], field: FieldSpec, contract: Contract, texts: Mapping[str, str], what: str
) -> None:
    text = texts.get(field.spec.key)
    if text is not None:
        try:
            values[field.name] = field.read_text(text)
        except BadInput as error:
            raise BadInput(f"{what} {field.spec.key} of {contract.name}", error.problems or (error.what,)) from error
    elif field.required:
        raise NotFound(what, field.spec.key, f"set it for {contract.name}.{field.name}, or give the field a default")


async def _dependency(sources: Sources, row: InstanceRow, contract: Contract, field: FieldSpec) -> object:
    found = await _resolved(sources, row, field)
    if isinstance(found, ArtifactBase):
        return bind_proxy(contract_of(field.type), found, sources.invoker)
    if field.optional:
        return None
    async with sources.kv.watch(keys.DESIRED) as watch:
        while True:
            found = await _resolved(sources, row, field)
            if isinstance(found, ArtifactBase):
                break
            sources.reports.instance_waits(row.instance, f"{contract.name}.{field.name} {found}")
            await watch.changed()
    sources.reports.instance_waits(row.instance, "")
    return bind_proxy(contract_of(field.type), found, sources.invoker)


async def _resolved(sources: Sources, row: InstanceRow, field: FieldSpec) -> ArtifactBase | str:
    """The deployed artifact behind a dependency, or what it waits for."""
    desired = sources.kv.get(keys.desired(row.artifact.base))
    base = _bound(field, desired) or await _implementation(sources, field)
    if base is None:
        return f"waits for an implementation of {field.type.__name__}; bind one, or register a slice that implements it"
    if sources.kv.get(keys.desired(base)) is None:
        return f"waits for {base}, which is not deployed"
    return base


def _bound(field: FieldSpec, desired: DesiredRow | None) -> ArtifactBase | None:
    """What the blueprint binds: the name of the field's type, or of the field itself."""
    if desired is None or not isinstance(field.type, type):
        return None
    text = desired.bind.get(field.type.__name__) or desired.bind.get(field.name)
    return ArtifactBase.parse(text) if text else None


async def _implementation(sources: Sources, field: FieldSpec) -> ArtifactBase | None:
    wanted = contract_of(field.type)
    if wanted.artifact is not None:
        return wanted.artifact.base
    newest: dict[ArtifactBase, Contract] = {}
    for artifact in sources.classes.available():  # sorted: a later version replaces an earlier one
        newest[artifact.base] = contract_of(await sources.classes.load(artifact))
    found = implementations(field.type, newest.values())
    return found[0].artifact.base if found and found[0].artifact is not None else None
