"""A contract as plain data: what other nodes, other versions and other repositories may know of it.

Knows: methods, parameters, results and faults as JSON Schema; the schema hash of a method.
Never: code, values of running instances.
Holds: JSON and msgpack can spell it; the same contract gives the same description in every process, and everything in
       it can be checked (`read_description`) before it is believed.
"""

from __future__ import annotations

import hashlib
import json
import sys
import typing
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

import attrs

from aether.errors import BadInput
from aether.slice_api.annotations import bare, origin_of
from aether.slice_api.codec import Form
from aether.slice_api.contract import Contract, SliceOptions, contract_of
from aether.slice_api.faults import Fault, detail_of
from aether.slice_api.field_spec import FieldSpec
from aether.slice_api.http_plan import STREAMS, ParameterSpec
from aether.slice_api.marks import is_slice
from aether.slice_api.methods import MethodSpec
from aether.slice_api.option_description import plain_options, read_options, read_seconds
from aether.slice_api.plain_reader import PlainReader
from aether.slice_api.schema import ANNOTATIONS, AT, Schema, Schemas

FORMAT: Final = 1
HASH_CHARS: Final = 16
_READ: Final = PlainReader("malformed description of a contract")


@attrs.frozen(kw_only=True)
class ParameterDescription:
    """One parameter. schema  of the value, or of the items of a stream; default  in it, when there is one"""

    name: str
    schema: Schema
    required: bool = True
    keyword_only: bool = False
    stream: bool = False


@attrs.frozen(kw_only=True)
class MethodDescription:
    """One method. returns  schema of the result, or of the items of a stream; routes  (verb, template)"""

    name: str
    doc: str = ""
    parameters: tuple[ParameterDescription, ...] = ()
    returns: Schema
    stream: bool = False
    idempotent: bool = False
    deadline_s: float | None = None
    routes: tuple[tuple[str, str], ...] = ()

    def parameter(self, name: str) -> ParameterDescription | None:
        return next((p for p in self.parameters if p.name == name), None)


@attrs.frozen(kw_only=True)
class FaultDescription:
    """One Fault. schema  of its fields: an object"""

    name: str
    status: int
    title: str
    detail: str = ""
    schema: Schema


@attrs.frozen(kw_only=True)
class DependencyDescription:
    """A slice that another one calls. field  of the caller; name  of the type that it is annotated with

    artifact  of that type as the caller knows it, "" of a Protocol
    methods   that it may call -> names of their parameters
    required  False: the caller does without it, unless a blueprint binds it
    """

    field: str
    name: str
    artifact: str = ""
    methods: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict[str, tuple[str, ...]])
    required: bool = True


@attrs.frozen(kw_only=True)
class ContractDescription:
    """A whole contract. artifact  `group:artifact:version`, "" of a Protocol; definitions  of named types, by name

    dependencies  the slices that it calls; () of a Protocol
    options  what the slice says of itself; None of a Protocol, and where an earlier release wrote it
    """

    name: str
    artifact: str = ""
    doc: str = ""
    json_case: str = "snake"
    methods: Mapping[str, MethodDescription]
    faults: Mapping[str, FaultDescription]
    definitions: Mapping[str, Schema]
    dependencies: tuple[DependencyDescription, ...] = ()
    options: SliceOptions | None = None

    def hash_of(self, method: str) -> str:
        """The schema hash of one method: equal exactly when both sides spell its arguments and results alike."""
        return schema_hash(self.methods[method], self.definitions)

    def to_plain(self) -> dict[str, Any]:
        """As JSON or msgpack spell it."""
        methods = [
            {**attrs.asdict(m), "routes": [list(r) for r in m.routes], "hash": self.hash_of(m.name)}
            for m in self.methods.values()
        ]
        return {
            "format": FORMAT,
            "name": self.name,
            "artifact": self.artifact,
            "doc": self.doc,
            "json_case": self.json_case,
            "methods": methods,
            "faults": [attrs.asdict(fault) for fault in self.faults.values()],
            "definitions": dict(self.definitions),
            "dependencies": [attrs.asdict(dependency) for dependency in self.dependencies],
            **({} if self.options is None else {"options": plain_options(self.options)}),
        }


def describe(contract: Contract) -> ContractDescription:
    """The description of a contract. Made once; it is the same object afterwards."""
    made: ContractDescription | None = contract.__dict__.get("_description")
    if made is None:
        schemas = Schemas(Form.WIRE)
        methods = {spec.name: _method(spec, schemas) for spec in contract.methods.values()}
        faults = {cls.__name__: _fault(cls, schemas) for cls in declared_faults(contract)}
        made = contract.__dict__["_description"] = ContractDescription(
            name=contract.name,
            artifact=str(contract.artifact or ""),
            doc=contract.doc,
            json_case=contract.options.json_case,
            methods=methods,
            faults=faults,
            definitions=schemas.definitions,
            dependencies=tuple(_dependency(field) for field in contract.fields if field.kind == "dependency"),
            options=attrs.evolve(contract.options, artifact=None) if is_slice(contract.cls) else None,
        )
    return made


def declared_faults(contract: Contract) -> tuple[type[Fault], ...]:
    """The Faults that belong to a contract, sorted by name: those that the modules of its class, and of the Protocols
    and slices that it is based on, define or import.
    """
    found: dict[str, type[Fault]] = {}
    for base in reversed(contract.cls.__mro__):
        if base is object or base.__module__ in ("typing", "typing_extensions"):
            continue
        for value in list(vars(sys.modules.get(base.__module__, object)).values()):
            if isinstance(value, type) and issubclass(value, Fault) and value is not Fault:
                found[value.__name__] = value
    return tuple(found[name] for name in sorted(found))


def schema_hash(method: MethodDescription, definitions: Mapping[str, Schema]) -> str:
    """16 hexadecimal digits over parameters and result, as the wire spells them; texts for people do not count."""
    parameters = [[p.name, _bare(p.schema), p.required, p.stream] for p in method.parameters]
    schemas: list[object] = [[p.schema for p in method.parameters], method.returns]
    used = {name: _bare(definitions[name]) for name in sorted(references(schemas, definitions))}
    what = [sorted(parameters, key=lambda p: str(p[0])), _bare(method.returns), method.stream, used]
    text = json.dumps(what, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:HASH_CHARS]


def references(schema: object, definitions: Mapping[str, Schema]) -> set[str]:
    """Names of the definitions that `schema` uses, directly or by others."""
    found: set[str] = set()
    waiting = [schema]
    while waiting:
        for name in _named(waiting.pop()):
            if name not in found and name in definitions:
                found.add(name)
                waiting.append(definitions[name])
    return found


def read_description(plain: object) -> ContractDescription:
    """Inverse of `to_plain`, for data from outside. Raises BadInput that names the first part that does not fit."""
    whole = _READ.table(plain, "contract")
    if whole.get("format") != FORMAT:
        raise BadInput(f"a contract of format {whole.get('format')!r:.40}", (f"this release reads format {FORMAT}",))
    methods = [_read_method(part) for part in _READ.items(whole, "methods")]
    faults = [_read_fault(part) for part in _READ.items(whole, "faults")]
    definitions = _READ.table(whole.get("definitions"), "definitions")
    options, json_case = whole.get("options"), _READ.text(whole, "json_case")
    return ContractDescription(
        name=_READ.text(whole, "name"),
        artifact=_READ.text(whole, "artifact"),
        doc=_READ.text(whole, "doc"),
        json_case=json_case,
        methods={m.name: m for m in methods},
        faults={fault.name: fault for fault in faults},
        definitions={name: _READ.table(value, f"definitions.{name}") for name, value in definitions.items()},
        dependencies=tuple(map(_read_dependency, _READ.items({"dependencies": [], **whole}, "dependencies"))),
        options=None if options is None else read_options(options, json_case),
    )


# --- from a contract ------------------------------------------------------------------------------------------------


def _method(spec: MethodSpec, schemas: Schemas) -> MethodDescription:
    return MethodDescription(
        name=spec.name,
        doc=spec.doc,
        parameters=tuple(_parameter(p, schemas) for p in spec.parameters.values()),
        returns=schemas.of(spec.returns),
        stream=spec.stream,
        idempotent=spec.idempotent,
        deadline_s=spec.deadline_s,
        routes=spec.routes,
    )


def _parameter(p: ParameterSpec, schemas: Schemas) -> ParameterDescription:
    stream = origin_of(bare(p.type)) in STREAMS
    tp = typing.get_args(bare(p.type))[0] if stream else p.type
    schema = schemas.of(tp)
    if p.has_default:
        schema = {**schema, **schemas.default(tp, p.default)}
    return ParameterDescription(
        name=p.name, schema=schema, required=not p.has_default, keyword_only=p.keyword_only, stream=stream
    )


def _fault(cls: type[Fault], schemas: Schemas) -> FaultDescription:
    name = schemas.of(cls)["$ref"].removeprefix(AT)
    schema = schemas.definitions.pop(name)  # a Fault is raised, never a value inside another
    schema = {key: value for key, value in schema.items() if key not in ("title", "description")}
    return FaultDescription(name=cls.__name__, status=cls.status, title=cls.title, detail=detail_of(cls), schema=schema)


def _dependency(field: FieldSpec) -> DependencyDescription:
    contract = contract_of(field.type)
    return DependencyDescription(
        field=field.name,
        name=contract.name,
        artifact=str(contract.artifact or ""),
        methods={name: tuple(method.parameters) for name, method in contract.methods.items()},
        required=not (field.optional or field.has_default),
    )


def _bare(schema: object) -> object:
    """`schema` without what is meant for people."""
    if isinstance(schema, dict):
        named = cast("dict[str, object]", schema)
        return {
            key: {name: _bare(inner) for name, inner in cast("dict[str, object]", value).items()}
            if key == "properties" and isinstance(value, dict)  # else it stands in a default value
            else _bare(value)
            for key, value in named.items()
            if key not in ANNOTATIONS
        }
    return [_bare(item) for item in cast("list[object]", schema)] if isinstance(schema, list) else schema


def _named(schema: object) -> Iterator[str]:
    if isinstance(schema, dict):
        named = cast("dict[str, object]", schema)
        target = named.get("$ref")
        if isinstance(target, str):
            yield target.removeprefix(AT)
        for value in named.values():
            yield from _named(value)
    elif isinstance(schema, list):
        for item in cast("list[object]", schema):
            yield from _named(item)


# --- from outside ---------------------------------------------------------------------------------------------------


def _read_method(plain: object) -> MethodDescription:
    part = _READ.table(plain, "methods[]")
    deadline_s = part.get("deadline_s")
    return MethodDescription(
        name=_READ.text(part, "name"),
        doc=_READ.text(part, "doc"),
        parameters=tuple(_read_parameter(p) for p in _READ.items(part, "parameters")),
        returns=_READ.table(part.get("returns"), "returns"),
        stream=_READ.flag(part, "stream"),
        idempotent=_READ.flag(part, "idempotent"),
        deadline_s=None if deadline_s is None else read_seconds(deadline_s),
        routes=tuple(_route(route) for route in _READ.items(part, "routes")),
    )


def _read_parameter(plain: object) -> ParameterDescription:
    part = _READ.table(plain, "parameters[]")
    return ParameterDescription(
        name=_READ.text(part, "name"),
        schema=_READ.table(part.get("schema"), "schema"),
        required=_READ.flag(part, "required"),
        keyword_only=_READ.flag(part, "keyword_only"),
        stream=_READ.flag(part, "stream"),
    )


def _read_fault(plain: object) -> FaultDescription:
    part = _READ.table(plain, "faults[]")
    return FaultDescription(
        name=_READ.text(part, "name"),
        status=_READ.exact(part, "status", int),
        title=_READ.text(part, "title"),
        detail=_READ.text(part, "detail"),
        schema=_READ.table(part.get("schema"), "schema"),
    )


def _read_dependency(plain: object) -> DependencyDescription:
    part = _READ.table(plain, "dependencies[]")
    methods = _READ.table(part.get("methods"), "dependencies[].methods")
    return DependencyDescription(
        field=_READ.text(part, "field"),
        name=_READ.text(part, "name"),
        artifact=_READ.text(part, "artifact"),
        methods={name: tuple(map(str, _READ.items(methods, name))) for name in methods},
        required=_READ.flag({"required": True, **part}, "required"),
    )


def _route(plain: object) -> tuple[str, str]:
    match plain:
        case [str(verb), str(template)]:
            return verb, template
        case _:
            raise _READ.misfit("routes[]", "a verb and a template", plain)
