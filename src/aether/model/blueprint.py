"""A blueprint: which slices an application wants, how many, with which configuration.

Knows: the shape of a blueprint and what makes one valid.
Never: how it is spelt (blueprint_toml), which artifacts exist, who applies it.
Holds: no two wishes of one blueprint name the same `group:artifact`.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from typing import Final

import attrs

from aether.model.artifact import ArtifactBase
from aether.model.limits import DEPLOYMENT_S
from aether.model.placing import ANYWHERE, Placing
from aether.model.rollout import Strategy
from aether.model.version import Version, VersionRange

ADHOC: Final = "adhoc"
"""Owner of what `deploy` creates."""

APP: Final = "app"
"""Default id, and owner of what opening a cluster deploys."""

BACK: Final = "back to "
TAKEN_BACK: Final = " was taken back: "
"""How the reason of a number reads that brings an earlier text back: an operator said so, or an atomic apply failed."""

_ID = re.compile(r"[a-z][a-z0-9-]{0,62}")


def is_blueprint_id(text: str) -> bool:
    """Whether `text` may name a blueprint: lower-case letters, digits, `-`; a letter first; at most 63 characters."""
    return _ID.fullmatch(text) is not None


class Mode(enum.StrEnum):
    """What becomes of an apply that does not come off."""

    BEST_EFFORT = "best_effort"  # what runs stays, the rest is shown and tried again
    ATOMIC = "atomic"  # all of it, or the blueprint goes back to what it was


@attrs.frozen(kw_only=True)
class SliceWish:
    """One slice of a blueprint.

    versions      an exact version or a range; resolved against what members offer when the blueprint is applied
    instances     how many; None leaves it to the slice's own default
    instances_min, instances_max  bounds of that default and of every override; a min of 0 lets it scale to zero
    idle_s        how long an instance serves nothing until it counts as idle
    min_available how many ACTIVE instances nobody may take away: a number or a percentage, "" = none
    max_per_node  hard limit when set; placing  where instances may live
    singleton     at most one instance at any time
    host, memory_mb  None leaves it to the slice (model.hosts)
    config        flat: dotted name -> text
    timeouts_s    seconds of loading, activating, deactivating, unloading; drain_s  of calls in flight
    """

    artifact: ArtifactBase
    versions: VersionRange
    instances: int | None = None
    instances_min: int | None = None
    instances_max: int | None = None
    idle_s: float | None = None
    min_available: str = ""
    max_per_node: int | None = None
    placing: Placing = ANYWHERE
    singleton: bool = False
    host: str | None = None
    memory_mb: int | None = None
    config: Mapping[str, str] = attrs.field(factory=dict[str, str])
    timeouts_s: Mapping[str, float] = attrs.field(factory=dict[str, float])
    drain_s: float | None = None

    def __str__(self) -> str:
        return f"{self.artifact}:{self.versions}"


@attrs.frozen(kw_only=True)
class Blueprint:
    """`id` owns the artifacts of `slices`; `version` is a label for people.

    bind       name of a Protocol -> `group:artifact` that implements it
    mode       what becomes of an apply that does not come off; timeout_s  by when all must be ACTIVE, if ATOMIC
    strategy   how the version of a running slice is changed
    security   `VERB /path` -> rule, against what the slices themselves say
    """

    id: str
    version: Version | None = None
    slices: tuple[SliceWish, ...] = ()
    bind: Mapping[str, str] = attrs.field(factory=dict[str, str])
    mode: Mode = Mode.BEST_EFFORT
    timeout_s: float = DEPLOYMENT_S
    strategy: Strategy = Strategy.ROLLING
    security: Mapping[str, str] = attrs.field(factory=dict[str, str])
