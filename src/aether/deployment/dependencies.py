"""Which further slices a blueprint's slices need, in the order in which they load.

Knows: dependencies as contracts describe them, `[bind]`, what is wanted and offered already.
Never: how contracts are read; how many instances (one) a dependency gets.
Holds: what another blueprint owns is used, not taken; a circle is named and no mistake, for nobody waits at start for
       a slice to be ACTIVE; a slice whose contract nobody knows is expanded no further.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import attrs

from aether.model.artifact import Artifact, ArtifactBase
from aether.model.rows import DesiredRow
from aether.slice_api.description import ContractDescription, DependencyDescription

Contracts = Callable[[Artifact], ContractDescription | None]
"""The contract of a version, None when this node does not know it."""


@attrs.frozen(kw_only=True)
class Expansion:
    """order     every slice of the blueprint, dependencies before who needs them
    added     those that no wish names, in that order
    cycles    such as `a:x -> b:y -> a:x`
    problems  dependencies that nobody offers
    unknown   slices whose contract is not known
    """

    order: tuple[Artifact, ...] = ()
    added: tuple[Artifact, ...] = ()
    cycles: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    unknown: tuple[Artifact, ...] = ()


def expand(
    named: Mapping[ArtifactBase, Artifact],
    bind: Mapping[str, str],
    contracts: Contracts,
    offered: Iterable[Artifact],
    desired: Mapping[ArtifactBase, DesiredRow],
    blueprint: str,
) -> Expansion:
    """The slices `named` by blueprint `blueprint`, and all that they need."""
    walk = _Walk(named, bind, contracts, tuple(sorted(offered)), desired, blueprint)
    for artifact in named.values():
        walk.visit(artifact)
    return Expansion(
        order=tuple(walk.order),
        added=tuple(a for a in walk.order if a.base not in named),
        cycles=tuple(dict.fromkeys(walk.cycles)),
        problems=tuple(dict.fromkeys(walk.problems)),
        unknown=tuple(walk.unknown),
    )


def needed_by(
    rows: Iterable[DesiredRow], contracts: Contracts, desired: Mapping[ArtifactBase, DesiredRow]
) -> dict[ArtifactBase, list[DesiredRow]]:
    """Of each slice, which of `rows` need it, directly; as far as their contracts are known."""
    found: dict[ArtifactBase, list[DesiredRow]] = {}
    wanted = sorted(row.artifact for row in desired.values())
    for row in rows:
        contract = contracts(row.artifact)
        for need in _required(contract, row.bind):
            base = implementation(need, row.bind, contracts, wanted)
            if base is not None and base != row.artifact.base:
                found.setdefault(base, []).append(row)
    return found


def implementation(
    need: DependencyDescription, bind: Mapping[str, str], contracts: Contracts, candidates: Sequence[Artifact]
) -> ArtifactBase | None:
    """The slice behind a dependency: as bound, else as named, else the only candidate with those methods."""
    bound = bind.get(need.name) or bind.get(need.field)
    if bound:
        return ArtifactBase.parse(bound)
    if need.artifact:
        return Artifact.parse(need.artifact).base
    fitting = {a.base for a in candidates if (known := contracts(a)) is not None and _offers(known, need)}
    return fitting.pop() if len(fitting) == 1 else None


def _required(contract: ContractDescription | None, bind: Mapping[str, str]) -> Iterator[DependencyDescription]:
    """What must be there; optional ones count once the blueprint binds them."""
    for need in () if contract is None else contract.dependencies:
        if need.required or need.name in bind or need.field in bind:
            yield need


def _offers(contract: ContractDescription, need: DependencyDescription) -> bool:
    return bool(need.methods) and all(
        name in contract.methods and set(parameters) <= {p.name for p in contract.methods[name].parameters}
        for name, parameters in need.methods.items()
    )


@attrs.define
class _Walk:
    """Depth first: a slice comes after all that it needs."""

    named: Mapping[ArtifactBase, Artifact]
    bind: Mapping[str, str]
    contracts: Contracts
    offered: Sequence[Artifact]
    desired: Mapping[ArtifactBase, DesiredRow]
    blueprint: str
    order: list[Artifact] = attrs.field(factory=list[Artifact])
    cycles: list[str] = attrs.field(factory=list[str])
    problems: list[str] = attrs.field(factory=list[str])
    unknown: list[Artifact] = attrs.field(factory=list[Artifact])
    _path: list[ArtifactBase] = attrs.field(factory=list[ArtifactBase])
    _seen: set[ArtifactBase] = attrs.field(factory=set[ArtifactBase])

    def visit(self, artifact: Artifact) -> None:
        base = artifact.base
        if base in self._path:
            circle = [*self._path[self._path.index(base) :], base]
            self.cycles.append(" -> ".join(map(str, circle)))
            return
        if base in self._seen:
            return
        self._seen.add(base)
        self._path.append(base)
        contract = self.contracts(artifact)
        if contract is None:
            self.unknown.append(artifact)
        for need in _required(contract, self.bind):
            wanted = implementation(need, self.bind, self.contracts, self.offered)
            if wanted is not None:
                self._need(artifact, wanted, need)
        self._path.pop()
        self.order.append(artifact)

    def _need(self, by: Artifact, base: ArtifactBase, need: DependencyDescription) -> None:
        row = self.desired.get(base)
        if base in self.named:
            self.visit(self.named[base])
        elif row is not None and row.blueprint != self.blueprint:
            return  # its owner looks after it, and after what it needs
        elif row is not None:
            self.visit(row.artifact)
        elif (newest := self._newest(base, need)) is not None:
            self.visit(newest)
        else:
            self.problems.append(f"{base}: {by} needs it ({need.field}), and no member offers it")

    def _newest(self, base: ArtifactBase, need: DependencyDescription) -> Artifact | None:
        """The version that the caller knows, if it is there; else the newest."""
        same = [a for a in self.offered if a.base == base]
        known = [a for a in same if str(a) == need.artifact]
        return known[0] if known else same[-1] if same else None
