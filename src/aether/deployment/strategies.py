"""Placement strategies that slices name, found once each.

Knows: names in use, the plugins.
Never: places.
Holds: a name that nobody has is looked for once; its slices are reported, and the others go on.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from aether.deployment.placement import Placement
from aether.deployment.plugins import PLACEMENT, load_plugin

_log = logging.getLogger("aether.deployment")


class Strategies:
    """By name; grows as slices name them."""

    def __init__(self) -> None:
        self._known: dict[str, Placement] = {}
        self._unknown: set[str] = set()

    def of(self, names: Iterable[str]) -> Mapping[str, Placement]:
        """Those of `names` that exist."""
        for name in {*names} - {"", *self._known} - self._unknown:
            try:
                self._known[name] = load_plugin(PLACEMENT, name)
            except Exception as error:  # noqa: BLE001 - an import of a third party's may raise anything
                self._unknown.add(name)
                _log.warning("placement strategy %r is not used: %s", name, error)
        return self._known
