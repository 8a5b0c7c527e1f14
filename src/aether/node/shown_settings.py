"""The settings of a running node, as people may see them.

Knows: every setting; that secrets have names that may be shown, and values that may not.
Never: which source wins.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

from aether.management.process_view import NodeSetting
from aether.node.config import NodeConfig
from aether.node.config_sources import SECRET_SHOWN
from aether.node.settings_table import FREE_SECTIONS, SETTINGS


def shown_settings(config: NodeConfig) -> tuple[NodeSetting, ...]:
    """Each setting with its value, and where it came from when that is known."""
    return tuple(_all(config))


def _all(config: NodeConfig) -> Iterator[NodeSetting]:
    for setting in SETTINGS:
        value = as_plain(getattr(config, setting.field))
        yield NodeSetting(name=setting.name, value=value, origin=config.origins.get(setting.name, ""))
    for section, field in FREE_SECTIONS.items():
        said: Mapping[str, str] = getattr(config, field)
        for key, value in said.items():
            name = f"{section}.{key}"
            shown = SECRET_SHOWN if section == "secrets" else value
            yield NodeSetting(name=name, value=shown, origin=config.origins.get(name, ""))


def as_plain(value: object) -> object:
    """As JSON has it."""
    if isinstance(value, Mapping):
        return {str(key): as_plain(each) for key, each in cast("Mapping[object, object]", value).items()}
    if isinstance(value, tuple | list):
        return [as_plain(each) for each in cast("list[object]", value)]
    return str(value) if isinstance(value, Path) else value
