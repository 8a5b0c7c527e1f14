"""Gates of updates by name.

Knows: the names, and what each of them lets pass.
Never: judges a version (deployment.gates); plans of updates.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from aether.errors import BadInput
from aether.model.rollout import Gates


@attrs.frozen
class Preset:
    """Gates by name. manual_approval  health alone never lets an update go on"""

    gates: Gates
    manual_approval: bool = False


PRESETS: Final[Mapping[str, Preset]] = {
    "default": Preset(Gates(error_rate=0.01, p99_ms=500.0)),
    "strict": Preset(Gates(error_rate=0.001, p99_ms=200.0)),
    "relaxed": Preset(Gates(error_rate=0.05, p99_ms=1000.0)),
    "manual_only": Preset(Gates(), manual_approval=True),
}


def preset(name: str) -> Preset:
    """The gates of that name, however it is spelt (`STRICT`, `manual-only`). Raises BadInput."""
    found = PRESETS.get(name.strip().lower().replace("-", "_"))
    if found is None:
        raise BadInput(f"{name!r:.40} names no gates", (f"gates: there are {', '.join(PRESETS)}",))
    return found
