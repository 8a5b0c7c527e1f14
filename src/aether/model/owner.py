"""Who may own the count of instances that holds against a blueprint's.

Knows: the owners by name.
Never: what each of them wants, who wins.
"""

from __future__ import annotations

from typing import Final

OPERATOR: Final = "operator"
"""What people ask for by `scale`; an explicit count in a blueprint takes it back, and nobody else's."""

INGRESS: Final = "ingress"
"""The count of a slice that a call woke."""

SLEEP: Final = "sleep"
"""The count 0 of a slice that nobody called."""

CONTROLLER: Final = "controller"
"""What the control loop decided; it ends by itself unless the loop says it again."""
