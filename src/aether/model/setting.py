"""What may be changed while a cluster runs, and holds on every node.

Knows: the row of one setting.
Never: what a setting means: whoever reads it checks it again.
"""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class SettingRow:
    """One setting by its name, such as `controller`. Key `settings/{name}`.

    value  JSON text
    by, at who set it and when, in seconds since the epoch
    """

    value: str
    by: str = ""
    at: float = 0.0
