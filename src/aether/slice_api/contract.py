"""A class becomes a contract: its fields, methods, routes and faults, with every type known.

Knows: slices and Protocols; when each rule is checked: at decoration what the class shows, at registration
       what needs types.
Never: instances that run, injection, endpoints.
Holds: the decorated class is the same object; a contract is known by its artifact, its faults by their names.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import types
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TypeVar

import attrs

from aether.errors import ContractError
from aether.model.artifact import Artifact
from aether.model.hosts import IN_PROCESS
from aether.model.limits import CALL_DEADLINE_S, SLICE_CONCURRENCY_DEFAULT, SLICE_QUEUE_DEFAULT
from aether.model.route import Route
from aether.model.scale import Scale
from aether.slice_api import names, rules
from aether.slice_api.annotations import NoCodec, TypeOf
from aether.slice_api.codec import Form, codec_of
from aether.slice_api.coordinates import coordinates
from aether.slice_api.faults import Fault, FaultPlain, decode_fault_as, fault_class, fault_classes
from aether.slice_api.field_spec import FieldSpec, compile_field, field_of
from aether.slice_api.fields import SPEC, MapSpec
from aether.slice_api.maps import Map, MemoryMap
from aether.slice_api.marks import SLICE, STANDS_FOR, is_protocol, is_slice, marks_of
from aether.slice_api.methods import MethodSpec, method_spec
from aether.slice_api.routes import routes_of
from aether.slice_api.scope import Scope, Unresolved

T = TypeVar("T")
_NOTHING_KNOWN: Final[Mapping[str, type]] = types.MappingProxyType({})


@attrs.frozen
class SliceOptions:
    """The arguments of `@aether.slice`, as written. memory_mb  None = no limit of its own

    singleton  at most one instance in the cluster at any time
    scale  what `instances` said as bounds; `instances` is then how many are wanted at first
    """

    artifact: str | None = None
    instances: int = 1
    concurrency: int = SLICE_CONCURRENCY_DEFAULT
    queue: int = SLICE_QUEUE_DEFAULT
    json_case: Literal["snake", "camel"] = "snake"
    deadline_s: float = CALL_DEADLINE_S
    host: str = IN_PROCESS
    memory_mb: int | None = None
    scale: Scale | None = None
    singleton: bool = False


@attrs.frozen
class LifespanSpec:
    """The lifespan method: its name, and whether it takes `nursery`."""

    name: str
    wants_nursery: bool


@attrs.frozen(eq=False, slots=False, kw_only=True)
class Contract:
    """What a slice class or Protocol offers and needs.

    artifact     None for a Protocol, unless aether.contract names it; name  of the class; options  as decorated
    fields       in the order of declaration; methods  by name; routes  of all methods
    lifespan     None when there is none; backgrounds  names of background methods
    """

    cls: type
    artifact: Artifact | None
    name: str
    options: SliceOptions
    fields: tuple[FieldSpec, ...]
    methods: Mapping[str, MethodSpec]
    routes: tuple[Route, ...]
    lifespan: LifespanSpec | None
    backgrounds: tuple[str, ...]
    doc: str

    @property
    def deadlines_s(self) -> Mapping[str, float]:
        """Deadlines of single methods, where they differ from the slice's."""
        return {name: spec.deadline_s for name, spec in self.methods.items() if spec.deadline_s is not None}

    @property
    def lifespan_name(self) -> str | None:
        return None if self.lifespan is None else self.lifespan.name

    @property
    def faults(self) -> Mapping[str, type[Fault]]:
        """Fault classes by name, as this contract sees them: its own module's first, then its package's, then any."""
        return {cls.__name__: found for cls in fault_classes() if (found := fault_class(cls.__name__, self.cls))}

    def decode_fault(self, plain: FaultPlain) -> Fault | None:
        """The Fault that `plain` stands for; None when this process has no class of that name and those fields."""
        found = fault_class(plain.name, self.cls)
        return None if found is None else decode_fault_as(found, plain)

    def compile(self) -> None:
        """Make every codec now. Raises ContractError with the path to each type that has none."""
        for method in self.methods.values():
            method.compile()
        for field in self.fields:
            compile_field(self.name, field)
        for cls in self.faults.values():
            if cls.__module__ == self.cls.__module__ and "<locals>" not in cls.__qualname__:
                _codec(cls.__name__, "", cls, Form.JSON)


class Definition:
    """What decoration leaves on a slice class; the contract follows when all its types are known."""

    def __init__(self, cls: type, options: SliceOptions, local: Mapping[str, Any]) -> None:
        self.cls = cls
        self.options = options
        self.local = local
        self._contract: Contract | None = None
        self._compiled = False

    def contract(self, known: Mapping[str, type] = _NOTHING_KNOWN) -> Contract:
        """The contract with all types known and all codecs made. Raises ContractError."""
        made = self.resolve(known)
        if not self._compiled:
            made.compile()
            self._compiled = True
        return made

    def resolve(self, known: Mapping[str, type] = _NOTHING_KNOWN) -> Contract:
        """The contract with all types known. Raises ContractError; Unresolved when a name is not known yet."""
        if self._contract is None:
            self._contract = _contract(self.cls, self.options, Scope(self.cls, self.local, known))
        return self._contract


def define_slice(cls: type[T], options: SliceOptions, frame: types.FrameType | None) -> type[T]:
    """Check `cls`, give it its constructor, and leave its Definition on it. `frame` is the decorator's caller."""
    if not isinstance(cls, type):  # pyright: ignore[reportUnnecessaryIsInstance] - decorators meet anything
        raise ContractError(f"aether.slice decorates a class, got {cls!r}")
    if is_protocol(cls):
        raise ContractError(f"{cls.__name__} is a Protocol; decorate the class that implements it")
    rules.check_class(cls)
    used = _annotation_names(cls)
    local = names.captured(used, cls.__qualname__, cls.__module__, frame)
    attrs.define(cls, slots=False, eq=False, kw_only=True, auto_attribs=True, field_transformer=_same_alias)
    rules.check_protocols(cls)
    rules.check_abstract(cls)
    for name, function in rules.methods(cls):
        rules.check_signature(f"{cls.__name__}.{name}", function)
    definition = Definition(cls, options, local)
    setattr(cls, SLICE, definition)
    with contextlib.suppress(Unresolved):  # defined later in the module, or registered later: contract_of looks again
        definition.resolve()
    return cls


def contract_of(cls: type, known: Mapping[str, type] = _NOTHING_KNOWN) -> Contract:
    """The contract of a decorated slice class or a Protocol, with all its codecs made.

    known  names of registered slices, for annotations that name one the module does not import

    Raises ContractError when `cls` is neither, a name is unknown, or a type has no codec.
    """
    if is_slice(cls):
        definition: Definition = cls.__dict__[SLICE]
        return definition.contract(known)
    if is_protocol(cls):
        return _protocol_contract(cls)
    name = getattr(cls, "__name__", None)
    if name is None:
        raise ContractError(f"{cls!r:.80} is an object; give the class of a slice, or a Protocol")
    raise ContractError(f"{name} is no slice; write @aether.slice above `class {name}`, or make it a Protocol")


def memory_map_for(owner: object, spec: MapSpec) -> Map[Any, Any]:
    """The map in memory that a plainly constructed slice gets for the field with `spec`."""
    cls = type(owner)
    definition: Definition = getattr(cls, SLICE)
    attribute = next(a for a in _attributes(cls) if a.metadata.get(SPEC) is spec)
    field = field_of(cls, attribute, Scope(definition.cls, definition.local, _NOTHING_KNOWN))
    return MemoryMap(
        field.key_type, field.value_type, name=spec.name, entries_max=spec.entries_max, bytes_max=spec.bytes_max
    )


@functools.lru_cache(maxsize=1024)
def _protocol_contract(cls: type) -> Contract:
    made = _contract(cls, SliceOptions(), Scope(cls, {}, _NOTHING_KNOWN))
    made.compile()
    return made


def _contract(cls: type, options: SliceOptions, scope: Scope) -> Contract:
    form = Form.CAMEL if options.json_case == "camel" else Form.JSON
    protocol = is_protocol(cls)
    if protocol:
        rules.check_protocol(cls)
    fields = () if protocol else tuple(field_of(cls, a, scope) for a in _attributes(cls))
    maps = [field.spec.name for field in fields if isinstance(field.spec, MapSpec)]
    if len(set(maps)) < len(maps):
        raise ContractError(
            f"{cls.__name__} names one map twice, of {', '.join(maps)}; give each field a map of its own"
        )
    methods = {name: _method(cls, name, function, scope, form) for name, function in rules.methods(cls)}
    return Contract(
        cls=cls,
        artifact=cls.__dict__.get(STANDS_FOR) if protocol else coordinates(cls, options.artifact),
        name=cls.__name__,
        options=options,
        fields=fields,
        methods=types.MappingProxyType(methods),
        routes=routes_of(cls.__name__, methods),
        lifespan=_lifespan(cls),
        backgrounds=_backgrounds(cls),
        doc=inspect.cleandoc(cls.__dict__.get("__doc__") or ""),
    )


def _method(cls: type, name: str, function: Callable[..., Any], scope: Scope, form: Form) -> MethodSpec:
    where = f"{cls.__name__}.{name}"
    signature = rules.check_signature(where, function)
    module = inspect.unwrap(function).__module__
    parameters = [
        p.replace(annotation=scope.evaluate(f"{where}: parameter {p.name!r}", p.annotation, module))
        for p in signature.parameters.values()
    ]
    returns = scope.evaluate(f"{where}: return", signature.return_annotation, module)
    resolved = signature.replace(parameters=parameters, return_annotation=returns)
    return method_spec(cls.__name__, name, function, marks_of(function), resolved, form)


def _codec(where: str, path: str, tp: TypeOf, form: Form) -> None:
    try:
        codec_of(tp, form)
    except NoCodec as error:
        raise ContractError(f"{where}{path}{error.path}: {error.reason}") from None


def _lifespan(cls: type) -> LifespanSpec | None:
    found = list(rules.marked_functions(cls, "lifespan"))
    if not found:
        return None
    name, function = found[-1]
    where = f"{cls.__name__}.{name}"
    if len(found) > 1:
        raise ContractError(f"{cls.__name__} has two lifespans, {found[0][0]} and {name}; keep one")
    if not inspect.isasyncgenfunction(function):
        raise ContractError(f"{where}: a lifespan is `async def {name}(self) -> AsyncIterator[None]` that yields once")
    parameters = list(inspect.signature(function).parameters)[1:]
    if parameters not in ([], ["nursery"]):
        raise ContractError(
            f"{where} takes {', '.join(parameters)}; a lifespan takes nothing, or `nursery: trio.Nursery`"
        )
    return LifespanSpec(name, bool(parameters))


def _backgrounds(cls: type) -> tuple[str, ...]:
    found = tuple(rules.marked_functions(cls, "background"))
    for name, function in found:
        if not inspect.iscoroutinefunction(function) or len(inspect.signature(function).parameters) != 1:
            raise ContractError(f"{cls.__name__}.{name}: a background method is `async def {name}(self) -> None`")
    return tuple(name for name, _ in found)


def _annotation_names(cls: type) -> frozenset[str]:
    sources: list[Any] = [cls, *(f for _, f in rules.methods(cls))]
    found: frozenset[str] = frozenset()
    return found.union(*(names.annotation_names(inspect.get_annotations(source)) for source in sources))


def _attributes(cls: Any) -> tuple[attrs.Attribute[Any], ...]:
    return tuple(attrs.fields(cls))


def _same_alias(cls: type, declared: list[attrs.Attribute[Any]]) -> list[attrs.Attribute[Any]]:
    return [a.evolve(alias=a.name) for a in declared]
