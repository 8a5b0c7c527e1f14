"""Which implementation a Protocol gets, by rule.

Knows: explicit bindings, base classes, structural matches.
Never: configuration files; the blueprint's `[bind]` is turned into the same bindings.
Holds: none or two candidates is an error that names them and the line to add; nothing is decided at call time.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Generic, TypeVar, overload

import attrs
from typing_extensions import TypeForm

from aether.errors import ContractError
from aether.slice_api.annotations import type_name
from aether.slice_api.contract import Contract, contract_of
from aether.slice_api.marks import is_protocol, is_slice
from aether.slice_api.methods import MethodSpec

T = TypeVar("T")


@attrs.frozen
class Binding:
    """`implementation`, a slice class, stands for `protocol` wherever it is a dependency."""

    protocol: type
    implementation: type


@attrs.frozen
class Binder(Generic[T]):
    """`bind(Protocol)`; say `.to(Slice)`."""

    protocol: Any

    def to(self, implementation: type[T]) -> Binding:
        """Bind a slice class. Raises ContractError when it is no slice or does not offer the Protocol's methods."""
        if not is_slice(implementation):
            raise ContractError(f"bind(...).to({implementation!r}): give a class decorated with @aether.slice")
        reason = mismatch(contract_of(self.protocol), contract_of(implementation), types=False)
        if reason is not None:
            raise ContractError(f"{implementation.__name__} cannot stand for {self.protocol.__name__}: {reason}")
        return Binding(self.protocol, implementation)


@overload
def bind(protocol: type[T], /) -> Binder[T]: ...
@overload
def bind(protocol: TypeForm[T], /) -> Binder[T]: ...
def bind(protocol: Any, /) -> Binder[Any]:
    """Begin a binding: `bind(Pricing).to(ListPricing)`, for `Cluster.open(..., bind=[...])`.

    Raises ContractError when `protocol` is neither a Protocol nor a slice.
    """
    if not is_protocol(protocol) and not is_slice(protocol):
        raise ContractError(f"bind({protocol!r}): give a Protocol that slices depend on")
    return Binder(protocol)


@attrs.frozen
class Choice:
    """The contract that a dependency gets. structural  by rule (4): log it once at INFO"""

    contract: Contract
    structural: bool = False


def implementations(protocol: type | Contract, candidates: Iterable[Contract]) -> tuple[Contract, ...]:
    """The candidates for `protocol`: those that name it as a base class (rule 3), else those that match (rule 4)."""
    return _implementations(protocol, candidates)[0]


def choose(protocol: type, candidates: Iterable[Contract], bindings: Iterable[Binding] = ()) -> Choice | None:
    """The implementation of a dependency; None when there is no candidate at all.

    Raises ContractError for two bindings or two candidates, with the line to add.
    """
    among = tuple(candidates)
    if is_slice(protocol):
        own = [c for c in among if c.cls is protocol]
        bound = [b for b in bindings if b.protocol is protocol]
        if not bound:
            return Choice(own[0]) if own else None
    bound = [b for b in bindings if b.protocol is protocol]
    if len({b.implementation for b in bound}) > 1:
        names = " and ".join(b.implementation.__name__ for b in bound)
        raise ContractError(f"{protocol.__name__} is bound twice, to {names}; keep one aether.bind(...)")
    if bound:
        return Choice(contract_of(bound[0].implementation))
    found, structural = _implementations(protocol, among)
    if len(found) > 1:
        raise ContractError(ambiguous(protocol, found))
    return Choice(found[0], structural) if found else None


def ambiguous(protocol: type, found: Iterable[Contract]) -> str:
    """The message for two candidates."""
    names = [contract.name for contract in found]
    return (
        f"{protocol.__name__} has {len(names)} implementations, {', '.join(names)}; say which: "
        f"Cluster.open(..., bind=[aether.bind({protocol.__name__}).to({names[0]})])"
    )


def missing(protocol: type, candidates: Iterable[Contract]) -> str:
    """The message for no candidate: each slice that was looked at, with the reason why not."""
    view = contract_of(protocol)
    reasons = [f"{c.name}: {mismatch(view, c)}" for c in candidates if c.cls is not protocol]
    looked = f" ({'; '.join(reasons)})" if reasons else ""
    return (
        f"nothing implements {protocol.__name__}{looked}; open a slice that names it as its base, such as "
        f"`class My{protocol.__name__}({protocol.__name__})`, or bind one: aether.bind({protocol.__name__}).to(...)"
    )


def mismatch(protocol: Contract, candidate: Contract, *, types: bool = True) -> str | None:
    """Why `candidate` does not offer what `protocol` asks; None when it does. types=False compares names and kinds."""
    for name, wanted in protocol.methods.items():
        offered = candidate.methods.get(name)
        reason = f"no method {name!r}" if offered is None else _method_mismatch(wanted, offered, types)
        if reason is not None:
            return reason
    return None


def _implementations(protocol: type | Contract, candidates: Iterable[Contract]) -> tuple[tuple[Contract, ...], bool]:
    view = protocol if isinstance(protocol, Contract) else contract_of(protocol)
    among = tuple(candidates)
    named = tuple(c for c in among if view.cls in c.cls.__mro__)
    if named:
        return named, False
    return tuple(c for c in among if mismatch(view, c) is None), True


def _method_mismatch(wanted: MethodSpec, offered: MethodSpec, types: bool) -> str | None:
    name = wanted.name
    if wanted.stream is not offered.stream:
        return f"{name} is {'no ' if wanted.stream else 'a '}stream"
    for p in wanted.parameters.values():
        own = offered.parameters.get(p.name)
        if own is None:
            return f"{name} has no parameter {p.name!r}"
        if p.has_default and not own.has_default:
            return f"{name}: parameter {p.name!r} has no default"
        if types and own.type != p.type:
            return f"{name}: parameter {p.name!r} is {type_name(own.type)}, not {type_name(p.type)}"
    for own in offered.parameters.values():
        if own.name not in wanted.parameters and not own.has_default:
            return f"{name} needs a further parameter {own.name!r}"
    if types and wanted.returns != offered.returns:
        return f"{name} returns {type_name(offered.returns)}, not {type_name(wanted.returns)}"
    return None
