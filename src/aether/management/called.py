"""Whoever calls methods of slices for the admin API, and what came of a call.

Knows: names as people give them.
Never: how calls travel.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import attrs

from aether.model.artifact import ArtifactBase
from aether.model.ids import Revision


@attrs.frozen(kw_only=True)
class Called:
    """What came of one call. fault  name, status, title, detail and fields, of one that ended so; result  else"""

    artifact: ArtifactBase
    method: str
    revision: Revision
    result: object = None
    fault: Mapping[str, object] | None = None


class Calls(Protocol):
    """Calls methods by name."""

    async def call(
        self, slice_name: str, method: str, arguments: Mapping[str, object], *, deadline_s: float, key: str = ""
    ) -> Called:
        """Raises NotFound (slice, method), BadInput (arguments, a stream, a name that several have), NoInstance,
        Overloaded, CallFailed, OutcomeUnknown, trio.TooSlowError.
        """
        ...
