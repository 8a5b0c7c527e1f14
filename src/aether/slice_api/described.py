"""A slice whose code is not imported here: what its node must know of it, as checked plain data.

Knows: options, fields, methods, routes and the contract of a slice; how they are spelt as JSON by who has imported the
       class, and read by who has not.
Never: code; processes; what a field is given.
Holds: whatever asks a Contract for its name, options, routes or facts of methods may ask a DescribedSlice instead; what
       needs the class itself (arguments, proxies, instances) does not get one.
"""

from __future__ import annotations

import json
import types
from collections.abc import Mapping
from typing import Any, Final, TypeAlias, cast, get_args

import attrs

from aether.errors import BadInput
from aether.model.artifact import Artifact
from aether.model.hosts import WORKER
from aether.model.limits import OPENAPI_BYTES_MAX, SLICE_DESCRIPTION_BYTES_MAX
from aether.model.route import Route, RouteKind
from aether.slice_api.carried_json import read_json
from aether.slice_api.contract import Contract, SliceOptions, contract_of
from aether.slice_api.description import ContractDescription, describe, read_description
from aether.slice_api.field_spec import FieldKind, FieldSpec
from aether.slice_api.fields import ConfigSpec, MapSpec, SecretSpec
from aether.slice_api.marks import is_slice
from aether.slice_api.methods import MethodSpec
from aether.slice_api.operations import operations_of
from aether.slice_api.plain_reader import PlainReader
from aether.slice_api.program import Program

FORMAT: Final = 1
_READ: Final = PlainReader("malformed description of a slice")
_KINDS: Final = frozenset(get_args(FieldKind))


@attrs.frozen(kw_only=True)
class Wanted:
    """What a dependency asks for.

    name       of the slice class or Protocol; full_name  `module:qualname`
    artifact   of a slice, or of a Protocol that `aether.contract` names; None = any implementation
    is_slice   it is a slice class, so nothing else stands for it unless it is bound
    """

    name: str
    full_name: str
    artifact: Artifact | None
    is_slice: bool
    contract: ContractDescription


@attrs.frozen(kw_only=True)
class DescribedField:
    """One field, as FieldSpec. key  of a configuration value or secret, or the name of a map; wants  of a dependency"""

    name: str
    kind: FieldKind
    optional: bool = False
    has_default: bool = False
    key: str = ""
    entries_max: int = 0
    bytes_max: int = 0
    wants: Wanted | None = None


@attrs.frozen(kw_only=True)
class DescribedMethod:
    """One method, as MethodSpec. reads_key  it keeps its own book of idempotency keys"""

    name: str
    stream: bool
    idempotent: bool
    deadline_s: float | None
    affinity: str | None
    reads_key: bool


@attrs.frozen(kw_only=True)
class DescribedSlice:
    """One slice, as Contract. program  where a worker finds it; bases  full names of what its class is based on"""

    program: Program
    artifact: Artifact
    contract: ContractDescription
    options: SliceOptions
    fields: tuple[DescribedField, ...]
    methods: Mapping[str, DescribedMethod]
    routes: tuple[Route, ...]
    bases: tuple[str, ...]
    openapi: str

    @property
    def name(self) -> str:
        return self.contract.name

    @property
    def deadlines_s(self) -> Mapping[str, float]:
        """Deadlines of single methods, where they differ from the slice's."""
        return {name: m.deadline_s for name, m in self.methods.items() if m.deadline_s is not None}


AnySlice: TypeAlias = Contract | DescribedSlice
AnyField: TypeAlias = FieldSpec | DescribedField
AnyMethod: TypeAlias = MethodSpec | DescribedMethod


def slice_of(found: type | DescribedSlice) -> AnySlice:
    """What a slice store gave, as what rooms ask for facts. Raises ContractError for a class that is no slice."""
    return found if isinstance(found, DescribedSlice) else contract_of(found)


def description_of(known: AnySlice) -> ContractDescription:
    """Its contract as plain data."""
    return known.contract if isinstance(known, DescribedSlice) else describe(known)


def openapi_of(known: AnySlice) -> str:
    """Its operations as JSON text, "" for a slice without routes. It may be longer than is published."""
    if isinstance(known, DescribedSlice):
        return known.openapi
    operations = operations_of(known)
    return json.dumps(operations, sort_keys=True, separators=(",", ":")) if operations else ""


def bases_of(known: AnySlice) -> tuple[str, ...]:
    """Full names of the class and of what it is based on."""
    if isinstance(known, DescribedSlice):
        return known.bases
    return tuple(full_name(base) for base in known.cls.__mro__ if base.__module__ not in ("builtins", "typing"))


def full_name(cls: type) -> str:
    return f"{cls.__module__}:{cls.__qualname__}"


def wanted_of(field: AnyField) -> Wanted:
    """What a dependency asks for."""
    if isinstance(field, DescribedField):
        assert field.wants is not None, f"{field.name} is {field.kind}"
        return field.wants
    cls = cast("type", field.type)
    contract = contract_of(cls)
    return Wanted(
        name=contract.name,
        full_name=full_name(cls),
        artifact=contract.artifact,
        is_slice=is_slice(cls),
        contract=describe(contract),
    )


# --- written by whoever has the class -----------------------------------------------------------------------------


def describe_slice(contract: Contract) -> str:
    """Everything that a node without the class needs, as JSON text. Raises BadInput: it is longer than a node reads."""
    openapi = openapi_of(contract)
    plain = {
        "format": FORMAT,
        "contract": describe(contract).to_plain(),
        "fields": [_plain_field(field) for field in contract.fields],
        "methods": {name: _plain_method(spec) for name, spec in contract.methods.items()},
        "routes": [_plain_route(route) for route in contract.routes],
        "bases": bases_of(contract),
        "openapi": openapi if len(openapi) <= OPENAPI_BYTES_MAX else "",
    }
    text = json.dumps(plain, separators=(",", ":"))
    if len(text) > SLICE_DESCRIPTION_BYTES_MAX:
        raise BadInput(
            f"{contract.name} takes {len(text)} bytes to describe; {SLICE_DESCRIPTION_BYTES_MAX} is the most"
        )
    return text


def _plain_field(field: FieldSpec) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "name": field.name,
        "kind": field.kind,
        "optional": field.optional,
        "has_default": field.has_default,
    }
    match field.spec:
        case ConfigSpec(key) | SecretSpec(key):
            plain["key"] = key
        case MapSpec(name, entries_max, bytes_max):
            plain |= {"key": name, "entries_max": entries_max, "bytes_max": bytes_max}
        case _:
            pass
    if field.kind == "dependency":
        wanted = wanted_of(field)
        plain["wants"] = {
            "name": wanted.name,
            "full_name": wanted.full_name,
            "artifact": str(wanted.artifact or ""),
            "is_slice": wanted.is_slice,
            "contract": wanted.contract.to_plain(),
        }
    return plain


def _plain_method(spec: MethodSpec) -> dict[str, Any]:
    return {"affinity": spec.affinity, "reads_key": spec.reads_key}


def _plain_route(route: Route) -> dict[str, Any]:
    return attrs.asdict(route) | {"kind": route.kind.value}


# --- read by whoever has not --------------------------------------------------------------------------------------


def read_slice(text: str, program: Program, artifact: Artifact) -> DescribedSlice:
    """Inverse of describe_slice, for text from a process that ran foreign code. Raises BadInput, which says where.

    artifact  that the text must be about
    """
    if len(text) > SLICE_DESCRIPTION_BYTES_MAX:
        raise BadInput(f"a description of {len(text)} bytes; {SLICE_DESCRIPTION_BYTES_MAX} is the most")
    whole = _READ.table(read_json(text, "a description"), "slice")
    if whole.get("format") != FORMAT:
        raise BadInput(f"a description of format {whole.get('format')!r:.40}; this release reads {FORMAT}")
    contract = read_description(whole.get("contract"))
    if contract.artifact != str(artifact):
        raise BadInput(f"the class is {contract.artifact!r:.200}, where {artifact} was looked for")
    options = contract.options
    if options is None:
        raise _READ.misfit("contract.options", "an object", None)
    facts = _READ.table(whole.get("methods"), "methods")
    methods = {name: _read_method(contract, name, facts.get(name)) for name in contract.methods}
    return DescribedSlice(
        program=program,
        artifact=artifact,
        contract=contract,
        options=attrs.evolve(options, host=WORKER),  # the one host where such a slice can live
        fields=tuple(_read_field(each) for each in _READ.items(whole, "fields")),
        methods=types.MappingProxyType(methods),
        routes=tuple(_read_route(each, contract) for each in _READ.items(whole, "routes")),
        bases=tuple(_READ.value(each, "bases", str) for each in _READ.items(whole, "bases")),
        openapi=_at_most(_READ.text(whole, "openapi"), OPENAPI_BYTES_MAX, "openapi"),
    )


def _read_method(contract: ContractDescription, name: str, plain: object) -> DescribedMethod:
    method, facts = contract.methods[name], _READ.table(plain, f"methods.{name}")
    affinity = facts.get("affinity")
    return DescribedMethod(
        name=name,
        stream=method.stream,
        idempotent=method.idempotent,
        deadline_s=method.deadline_s,
        affinity=None if affinity is None else _READ.text(facts, "affinity"),
        reads_key=_READ.flag(facts, "reads_key"),
    )


def _read_field(plain: object) -> DescribedField:
    part = _READ.table(plain, "fields[]")
    kind = part.get("kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise _READ.misfit("kind", "a kind of field", kind)
    return DescribedField(
        name=_READ.text(part, "name"),
        kind=cast("FieldKind", kind),
        optional=_READ.flag(part, "optional"),
        has_default=_READ.flag(part, "has_default"),
        key=_READ.text({"key": "", **part}, "key"),
        entries_max=_READ.count(part, "entries_max", 1) if kind == "map" else 0,
        bytes_max=_READ.count(part, "bytes_max", 1) if kind == "map" else 0,
        wants=_read_wanted(part.get("wants")) if kind == "dependency" else None,
    )


def _read_wanted(plain: object) -> Wanted:
    part = _READ.table(plain, "wants")
    artifact = _READ.value(part.get("artifact"), "wants.artifact", str)
    return Wanted(
        name=_READ.value(part.get("name"), "wants.name", str),
        full_name=_READ.value(part.get("full_name"), "wants.full_name", str),
        artifact=Artifact.parse(artifact) if artifact else None,
        is_slice=_READ.value(part.get("is_slice"), "wants.is_slice", bool),
        contract=read_description(part.get("contract")),
    )


def _read_route(plain: object, contract: ContractDescription) -> Route:
    part = _READ.table(plain, "routes[]")
    method, kind = _READ.text(part, "method"), str(part.get("kind"))
    if method not in contract.methods or kind not in RouteKind.__members__.values():
        raise BadInput("malformed description of a slice", (f"a route of method {method!r:.60}, kind {kind!r:.40}",))
    options = _READ.table(part.get("options"), "options")
    return Route(
        verb=_READ.text(part, "verb"),
        template=_READ.text(part, "template"),
        method=method,
        idempotent=_READ.flag(part, "idempotent"),
        kind=RouteKind(kind),
        input=_READ.text(part, "input"),
        options={name: _READ.value(value, f"options.{name}", str) for name, value in options.items()},
    )


def _at_most(text: str, chars_max: int, where: str) -> str:
    if len(text) > chars_max:
        raise _READ.misfit(where, f"at most {chars_max} characters", len(text))
    return text
