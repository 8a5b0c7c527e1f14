"""HTTP routes as values.

Knows: verb, path template, the method behind it.
Never: matching (room web), parameters' types (room slice_api).
"""

from __future__ import annotations

import attrs


@attrs.frozen
class Route:
    """One route of a slice: `verb` in upper case, `template` such as `/api/orders/{id}`, `method` of the contract."""

    verb: str
    template: str
    method: str
    idempotent: bool = False
