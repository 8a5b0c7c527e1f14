"""Where the code of slices comes from.

Knows: which artifacts this process can load, and their classes, or what those are when they are not imported.
Never: instances, where they run.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Protocol

from aether.errors import Conflict, NotFound
from aether.model.artifact import Artifact, ArtifactBase
from aether.model.limits import OPENAPI_BYTES_MAX
from aether.model.route import Route
from aether.model.rows import RouteRow
from aether.slice_api.contract import Contract, contract_of
from aether.slice_api.described import AnySlice, DescribedSlice, openapi_of, slice_of

_log = logging.getLogger("aether.deployment")


class SliceStore(Protocol):
    """A source of slice classes. Two implementations of one artifact in one process are never mixed."""

    def available(self) -> tuple[Artifact, ...]:
        """What `load` can give now, sorted. Published in this node's member row."""
        ...

    async def load(self, artifact: Artifact) -> type | DescribedSlice:
        """The decorated class, or what it is and where a worker process finds it. Whoever asks gives the answer to
        `slice_of`. Raises NotFound, or whatever importing it raised.
        """
        ...


class ClassStore:
    """Classes that the application registered: they are imported already, so loading never waits."""

    def __init__(self, classes: Iterable[type] = ()) -> None:
        self._classes: dict[Artifact, type] = {}
        for cls in classes:
            self.register(cls)

    def register(self, cls: type) -> Artifact:
        """Add one decorated class. Raises ContractError, and Conflict when another class has the same artifact."""
        artifact = contract_of(cls).artifact
        assert artifact is not None, "a slice class has an artifact; only Protocols have none"
        known = self._classes.setdefault(artifact, cls)
        if known is not cls:
            raise Conflict(
                str(artifact), f"both {_name(known)} and {_name(cls)} claim it; give one another artifact=..."
            )
        return artifact

    def available(self) -> tuple[Artifact, ...]:
        return tuple(sorted(self._classes))

    async def load(self, artifact: Artifact) -> type:
        cls = self._classes.get(artifact)
        if cls is None:
            offered = ", ".join(map(str, self.available())) or "nothing"
            raise NotFound("slice class", str(artifact), f"this process has {offered}")
        return cls


class ComposedStore:
    """Several stores as one: the first that has an artifact gives it."""

    def __init__(self, *stores: SliceStore) -> None:
        self._stores = stores

    def available(self) -> tuple[Artifact, ...]:
        return tuple(sorted({artifact for store in self._stores for artifact in store.available()}))

    async def load(self, artifact: Artifact) -> type | DescribedSlice:
        for store in self._stores:
            if artifact in store.available():
                return await store.load(artifact)
        offered = ", ".join(map(str, self.available())) or "nothing"
        raise NotFound("slice", str(artifact), f"this process has {offered}")


def contracts_of(slices: Iterable[type]) -> dict[Artifact, Contract]:
    """Of slice classes, by artifact; a class without one is left out."""
    return {c.artifact: c for c in map(contract_of, slices) if c.artifact is not None}


def route_claims(contracts: Iterable[Contract]) -> list[tuple[str, tuple[Route, ...]]]:
    """Who claims which routes, as `check_routes` takes it: versions of one slice, whatever their classes, are one."""
    names: dict[ArtifactBase, str] = {}
    return [
        (names.setdefault(c.artifact.base, c.name) if c.artifact is not None else c.name, c.routes) for c in contracts
    ]


def _name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


async def route_row(store: SliceStore, artifact: Artifact) -> RouteRow:
    """What callers may know of an artifact that this process can load. Raises what loading it raised."""
    contract = slice_of(await store.load(artifact))
    return RouteRow(
        artifact=artifact.base,
        routes=contract.routes,
        idempotent=tuple(sorted(name for name, method in contract.methods.items() if method.idempotent)),
        deadline_s=contract.options.deadline_s,
        deadlines_s=contract.deadlines_s,
        affinity={name: method.affinity for name, method in contract.methods.items() if method.affinity is not None},
        concurrency=contract.options.concurrency,
        queue=contract.options.queue,
        openapi=_openapi(contract),
        version=str(artifact.version),
        methods=tuple(sorted(contract.methods)),
    )


def _openapi(contract: AnySlice) -> str:
    text = openapi_of(contract)
    if len(text) > OPENAPI_BYTES_MAX:
        _log.warning("%s: %d bytes of OpenAPI are more than is published", contract.artifact, len(text))
        return ""
    return text
