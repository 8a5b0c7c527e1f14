"""The fields of a slice: what each is, how it is annotated, what it gets.

Knows: dependencies, configuration, secrets, maps, state, fencing tokens; the annotation that each needs.
Never: values that are injected, methods.
Holds: a field that nothing can fill, and that has no default, is refused.
"""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable
from typing import Any, Literal

import attrs

from aether.errors import ContractError
from aether.slice_api.annotations import NoCodec, TypeOf, bare, origin_of, type_name, without_none
from aether.slice_api.fields import SPEC, ConfigSpec, MapSpec, SecretSpec, Spec, StateSpec, TokenSpec
from aether.slice_api.maps import Map
from aether.slice_api.marks import is_protocol, is_slice
from aether.slice_api.scope import Scope
from aether.slice_api.settings import reader_of

FieldKind = Literal["dependency", "config", "secret", "map", "state", "token", "default"]


@attrs.frozen(eq=False, slots=False)
class FieldSpec:
    """One field of a slice.

    type         without `None` for a dependency; key_type, value_type  of a map
    optional     a dependency annotated `X | None`: None when nothing is bound
    has_default  the constructor may omit it; a dependency with a default is injected only when bound by name
    spec         what the specifier said, None for dependencies and defaults
    """

    name: str
    kind: FieldKind
    type: TypeOf
    optional: bool = False
    has_default: bool = False
    spec: Spec | None = None

    @property
    def key_type(self) -> TypeOf:
        return typing.get_args(self.type)[0]

    @property
    def value_type(self) -> TypeOf:
        return typing.get_args(self.type)[1]

    def read(self, text: str) -> Any:
        """The value of a config or secret field from its text. Raises BadInput; it never shows a secret."""
        return self._reader(text)

    def compile(self) -> None:
        """Make the reader now. Raises NoCodec."""
        _ = self._reader

    @functools.cached_property
    def _reader(self) -> Callable[[str], Any]:
        assert isinstance(self.spec, ConfigSpec | SecretSpec), f"{self.name} is {self.kind}, not configured"
        return reader_of(self.type, self.spec.key, secret=isinstance(self.spec, SecretSpec))


def field_of(cls: type, attribute: attrs.Attribute[Any], scope: Scope) -> FieldSpec:
    """The field that `attribute` declares. Raises ContractError."""
    name, where = attribute.name, f"{cls.__name__}.{attribute.name}"
    owner = next(base for base in cls.__mro__ if name in inspect.get_annotations(base))
    tp = scope.evaluate(where, attribute.type, owner.__module__)
    spec: Spec | None = attribute.metadata.get(SPEC)
    has_default = attribute.default is not attrs.NOTHING or not attribute.init
    if spec is not None:
        return FieldSpec(name, _specified(where, spec, tp), tp, has_default=has_default, spec=spec)
    inner, optional = without_none(tp)
    injected = origin_of(bare(inner)) or bare(inner)
    if is_slice(injected) or is_protocol(injected):
        return FieldSpec(name, "dependency", injected, optional=optional, has_default=has_default)
    if has_default:
        return FieldSpec(name, "default", tp, has_default=True)
    raise ContractError(
        f"{where}: {type_name(tp)} is neither a slice nor a Protocol, so nothing can be injected; decorate it with "
        "@aether.slice, or give the field a default, aether.config(...), aether.secret(...), aether.state(...), or "
        "aether.map(...) when it is to be remembered"
    )


def _specified(where: str, spec: Spec, tp: TypeOf) -> FieldKind:
    match spec:
        case ConfigSpec():
            return "config"
        case SecretSpec():
            return "secret"
        case StateSpec():
            return "state"
        case TokenSpec():
            if bare(tp) is not int:
                raise ContractError(f"{where} is annotated {type_name(tp)}; a fencing token is annotated `int`")
            return "token"
        case MapSpec():
            if origin_of(bare(tp)) is not Map or len(typing.get_args(bare(tp))) != 2:
                raise ContractError(f"{where} is annotated {type_name(tp)}; a map is annotated `aether.Map[K, V]`")
            return "map"


def compile_field(owner: str, field: FieldSpec) -> None:
    """Make its reader, or check its types, now. Raises ContractError that names it."""
    where = f"{owner}.{field.name}"
    try:
        if field.kind in ("config", "secret"):
            field.compile()
        elif field.kind == "map":
            Map.check_types(field.key_type, field.value_type)
    except NoCodec as error:
        raise ContractError(f"{where}{error.path}: {error.reason}") from None
