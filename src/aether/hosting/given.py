"""What the fields of one instance were given, as values that can travel to where it lives.

Knows: three kinds of values, their plain spelling, and the constructor's arguments that they become.
Never: who resolves them (injection), configuration, the store.
Holds: the same values give an equal object in this process and in a worker process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, cast

import attrs

from aether.errors import BadInput
from aether.invocation.proxy import Caller, bind_proxy
from aether.model.artifact import ArtifactBase
from aether.slice_api.contract import Contract, contract_of
from aether.slice_api.field_spec import FieldSpec
from aether.slice_api.fields import MapSpec
from aether.slice_api.maps import Map, MapBackend


@attrs.frozen
class Bound:
    """A dependency: whom its proxy calls. None = an optional one that nobody implements"""

    base: ArtifactBase | None


@attrs.frozen
class Text:
    """A configuration value or a secret, as it was written; never shown."""

    text: str = attrs.field(repr=False)


@attrs.frozen
class Shared:
    """A replicated map, whose limits are set already."""

    map_name: str


Given: TypeAlias = Bound | Text | Shared


def constructed(
    contract: Contract, given: Mapping[str, Given], caller: Caller, backend: Callable[[str], MapBackend]
) -> dict[str, Any]:
    """Keyword arguments for the class; fields that were given nothing are left to their defaults.

    caller  carries the calls of proxies; backend  the bytes of a map, by its name. Raises BadInput for a text that does
    not fit its field, or a value that fits no field.
    """
    fields = {field.name: field for field in contract.fields}
    values: dict[str, Any] = {}
    for name, value in given.items():
        field = fields.get(name)
        if field is None or not _fits(field, value):
            raise BadInput(f"{contract.name} has no field {name!r} that takes {type(value).__name__}")
        match value:
            case Bound(None):
                values[name] = None
            case Bound(base):
                assert base is not None
                values[name] = bind_proxy(contract_of(cast("type", field.type)), base, caller)
            case Text(text):
                values[name] = int(text) if field.kind == "token" else field.read(text)
            case Shared(map_name):
                values[name] = Map[Any, Any](field.key_type, field.value_type, backend(map_name), name=map_name)
    return values


def _fits(field: FieldSpec, value: Given) -> bool:
    match value:
        case Bound():
            return field.kind == "dependency"
        case Text():
            return field.kind in ("config", "secret", "token")
        case Shared(map_name):
            return isinstance(field.spec, MapSpec) and field.spec.name == map_name


def encode_given(given: Mapping[str, Given]) -> list[list[str]]:
    """`[field, kind, text]` each, plain data for msgpack."""
    found: list[list[str]] = []
    for name, value in given.items():
        match value:
            case Bound(base):
                found.append([name, "bound", "" if base is None else str(base)])
            case Text(text):
                found.append([name, "text", text])
            case Shared(map_name):
                found.append([name, "shared", map_name])
    return found


def decode_given(plain: list[Any]) -> dict[str, Given]:
    """Inverse of encode_given. Raises BadInput; it shows no text."""
    found: dict[str, Given] = {}
    for entry in plain:
        match entry:
            case [str(name), "bound", str(text)]:
                found[name] = Bound(ArtifactBase.parse(text) if text else None)
            case [str(name), "text", str(text)]:
                found[name] = Text(text)
            case [str(name), "shared", str(text)]:
                found[name] = Shared(text)
            case _:
                raise BadInput("what a field was given has an unknown shape")
    return found
