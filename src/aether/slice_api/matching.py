"""Which implementation a dependency gets, where code of one side or both is not imported here.

Knows: contracts as plain data; the rules of `binding`, in the same order.
Never: classes beyond their names.
Holds: what is ambiguous is refused, as among imported classes; a base class is known by its full name, a type by its
       schema.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, cast

from aether.errors import ContractError
from aether.slice_api.binding import Binding, choose
from aether.slice_api.contract import Contract, contract_of
from aether.slice_api.described import (
    AnyField,
    AnySlice,
    Wanted,
    bases_of,
    description_of,
    full_name,
    wanted_of,
)
from aether.slice_api.description import ContractDescription, MethodDescription, references
from aether.slice_api.field_spec import FieldSpec

_FOR_PEOPLE: Final = frozenset({"title", "description", "default", "examples"})


def choose_slice(
    field: AnyField, candidates: Iterable[AnySlice], bindings: Iterable[Binding] = ()
) -> tuple[AnySlice, bool] | None:
    """The implementation of a dependency, and whether its methods alone say so; None when there is no candidate.

    Raises ContractError for two bindings or two candidates, with the line to add.
    """
    among, bound = tuple(candidates), tuple(bindings)
    imported = [each for each in among if isinstance(each, Contract)]
    if isinstance(field, FieldSpec) and len(imported) == len(among):
        choice = choose(cast("type", field.type), imported, bound)
        return None if choice is None else (choice.contract, choice.structural)
    return _choose(wanted_of(field), among, bound)


def _choose(wanted: Wanted, among: Sequence[AnySlice], bindings: Sequence[Binding]) -> tuple[AnySlice, bool] | None:
    bound = {b.implementation for b in bindings if full_name(b.protocol) == wanted.full_name}
    if len(bound) > 1:
        names = " and ".join(sorted(each.__name__ for each in bound))
        raise ContractError(f"{wanted.name} is bound twice, to {names}; keep one aether.bind(...)")
    if bound:
        return contract_of(bound.pop()), False
    if wanted.is_slice:
        return next(((each, False) for each in among if wanted.full_name in bases_of(each)), None)
    found, structural = [each for each in among if wanted.full_name in bases_of(each)], False
    if not found:
        found, structural = [e for e in among if mismatch(wanted.contract, description_of(e)) is None], True
    if len(found) > 1:
        raise ContractError(_ambiguous(wanted, found))
    return (found[0], structural) if found else None


def _ambiguous(wanted: Wanted, found: Sequence[AnySlice]) -> str:
    names = [f"{each.name} ({each.artifact})" for each in found]
    base = found[0].artifact and found[0].artifact.base
    return (
        f"{wanted.name} has {len(names)} implementations, {', '.join(names)}; say which in the blueprint: "
        f'bind = {{ {wanted.name} = "{base}" }}'
    )


def mismatch(wanted: ContractDescription, offered: ContractDescription) -> str | None:
    """Why `offered` does not have what `wanted` asks; None when it does."""
    for name, method in wanted.methods.items():
        own = offered.methods.get(name)
        reason = f"no method {name!r}" if own is None else _method_mismatch(method, own, wanted, offered)
        if reason is not None:
            return reason
    return None


def _method_mismatch(
    wanted: MethodDescription, own: MethodDescription, asks: ContractDescription, has: ContractDescription
) -> str | None:
    name = wanted.name
    if wanted.stream is not own.stream:
        return f"{name} is {'no ' if wanted.stream else 'a '}stream"
    for p in wanted.parameters:
        other = own.parameter(p.name)
        if other is None:
            return f"{name} has no parameter {p.name!r}"
        if not p.required and other.required:
            return f"{name}: parameter {p.name!r} has no default"
        if p.stream is not other.stream or _shape(p.schema, asks) != _shape(other.schema, has):
            return f"{name}: parameter {p.name!r} has another type"
    for other in own.parameters:
        if wanted.parameter(other.name) is None and other.required:
            return f"{name} needs a further parameter {other.name!r}"
    return None if _shape(wanted.returns, asks) == _shape(own.returns, has) else f"{name} returns another type"


def _shape(schema: object, contract: ContractDescription) -> object:
    """`schema` with all the definitions that it uses, without what is meant for people."""
    used = sorted(references(schema, contract.definitions))
    return [_bare(schema), {name: _bare(contract.definitions[name]) for name in used}]


def _bare(schema: object) -> object:
    if isinstance(schema, Mapping):
        named = cast("Mapping[str, object]", schema)
        return {
            key: {name: _bare(inner) for name, inner in cast("Mapping[str, object]", value).items()}
            if key == "properties"
            else _bare(value)
            for key, value in named.items()
            if key not in _FOR_PEOPLE
        }
    if isinstance(schema, list | tuple):
        return [_bare(item) for item in cast("Sequence[object]", schema)]
    return schema
