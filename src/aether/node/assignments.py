"""Texts NAME=VALUE that were given at the command line, added to what the other sources say.

Knows: how they are written, which settings they change.
Never: the other sources.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from aether.errors import BadInput
from aether.node.config import NodeConfig


def set_values(config: NodeConfig, values: Sequence[str]) -> NodeConfig:
    """`config` with `NAME=VALUE` texts added to what slices read. Raises BadInput."""
    return attrs.evolve(config, settings={**config.settings, **_pairs("--set", values)})


def set_labels(config: NodeConfig, values: Sequence[str]) -> NodeConfig:
    """`config` with `NAME=VALUE` texts added to its labels, before those of the file. Raises BadInput."""
    changed = attrs.evolve(config, labels={**config.labels, **_pairs("--label", values)})
    changed.check()
    return changed


def _pairs(option: str, values: Sequence[str]) -> dict[str, str]:
    pairs = [(value, *value.partition("=")) for value in values]
    problems = [f"{option} {value}: write NAME=VALUE" for value, name, equals, _ in pairs if not (name and equals)]
    if problems:
        raise BadInput(f"bad {option}", problems)
    return {name: text for _, name, _, text in pairs}
