"""Coordinates `group:artifact:version` of a slice.

Knows: their grammar. A group has one or more dotted segments.
Never: where code is found.
"""

from __future__ import annotations

import functools
import re
from typing import Final

import attrs

from aether.errors import BadInput
from aether.model.version import Version

_GROUP = re.compile(r"[a-z][a-z0-9_-]*(?:\.[a-z][a-z0-9_-]*)*")
_ARTIFACT = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_KNOWN_MAX: Final = 4_096  # texts whose value is kept: a cluster has few, and every row and call names one


@attrs.frozen(order=True, cache_hash=True)
class ArtifactBase:
    """`group:artifact`: a slice without its version."""

    group: str
    name: str

    @classmethod
    def parse(cls, text: str) -> ArtifactBase:
        """Read `group:artifact`. Raises BadInput that shows `text` and the rule."""
        return _base(text)

    def at(self, version: Version) -> Artifact:
        return Artifact(self, version)

    def __str__(self) -> str:
        return f"{self.group}:{self.name}"


@functools.lru_cache(maxsize=_KNOWN_MAX)
def _base(text: str) -> ArtifactBase:
    parts = text.split(":")
    if len(parts) != 2 or _GROUP.fullmatch(parts[0]) is None or _ARTIFACT.fullmatch(parts[1]) is None:
        raise BadInput(
            f"{text!r} is no artifact", ("write group:artifact in lower case, such as shop.orders:place-order",)
        )
    return ArtifactBase(*parts)


@attrs.frozen(order=True, cache_hash=True)
class Artifact:
    """`group:artifact:version`: one exact slice."""

    base: ArtifactBase
    version: Version

    @classmethod
    def parse(cls, text: str) -> Artifact:
        """Read `group:artifact:version`. Raises BadInput that shows `text` and the rule."""
        return _exact(text)

    def __str__(self) -> str:
        return f"{self.base}:{self.version}"


@functools.lru_cache(maxsize=_KNOWN_MAX)
def _exact(text: str) -> Artifact:
    base, _, version = text.rpartition(":")
    if not base:
        raise BadInput(f"{text!r} is no artifact", ("write group:artifact:version, such as shop:pricing:1.2.0",))
    return Artifact(ArtifactBase.parse(base), Version.parse(version))
