"""A blueprint: which slices an application wants, how many, with which configuration.

Knows: the shape of a blueprint and what makes one valid.
Never: how it is spelt (blueprint_toml), which artifacts exist, who applies it.
Holds: no two wishes of one blueprint name the same `group:artifact`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import attrs

from aether.model.artifact import ArtifactBase
from aether.model.version import Version, VersionRange

ADHOC: Final = "adhoc"
"""Owner of what `deploy` creates."""

APP: Final = "app"
"""Default id, and owner of what opening a cluster deploys."""

_ID = re.compile(r"[a-z][a-z0-9-]{0,62}")


def is_blueprint_id(text: str) -> bool:
    """Whether `text` may name a blueprint: lower-case letters, digits, `-`; a letter first; at most 63 characters."""
    return _ID.fullmatch(text) is not None


@attrs.frozen(kw_only=True)
class SliceWish:
    """One slice of a blueprint.

    versions      an exact version or a range; resolved against what members offer when the blueprint is applied
    instances     how many; None leaves it to the slice's own default
    max_per_node  hard limit when set
    host, memory_mb  None leaves it to the slice (model.hosts)
    config        flat: dotted name -> text
    """

    artifact: ArtifactBase
    versions: VersionRange
    instances: int | None = None
    max_per_node: int | None = None
    host: str | None = None
    memory_mb: int | None = None
    config: Mapping[str, str] = attrs.field(factory=dict[str, str])

    def __str__(self) -> str:
        return f"{self.artifact}:{self.versions}"


@attrs.frozen(kw_only=True)
class Blueprint:
    """`id` owns the artifacts of `slices`; `version` is a label for people.

    bind  name of a Protocol -> `group:artifact` that implements it
    """

    id: str
    version: Version | None = None
    slices: tuple[SliceWish, ...] = ()
    bind: Mapping[str, str] = attrs.field(factory=dict[str, str])
