"""Is a history of concurrent operations explained by some order of them, one at a time? Linearizability, decided.

Knows: operations with their times and outcomes, sequential models, the search for an order.
Never: who recorded the history (the simulator, or clients of real nodes), clocks, I/O.
Holds: bounded effort: beyond it a key is undecided with its reason, never guessed; a violation is shown with the
       operations that it needs and no others.
Paper: Herlihy & Wing 1990 (linearizability, locality); Wing & Gong 1993 and Lowe 2017 (the search and its memory).
"""

from __future__ import annotations

from aether.testing.linearizability.check import STEPS_MAX, Undecided, Verdict, check
from aether.testing.linearizability.explain import Violation
from aether.testing.linearizability.facts import NO_FACTS, Facts
from aether.testing.linearizability.history import BadHistory, read_history, write_operation
from aether.testing.linearizability.models import Counter, Model, Register
from aether.testing.linearizability.operation import Operation, Outcome

__all__ = [
    "NO_FACTS",
    "STEPS_MAX",
    "BadHistory",
    "Counter",
    "Facts",
    "Model",
    "Operation",
    "Outcome",
    "Register",
    "Undecided",
    "Verdict",
    "Violation",
    "check",
    "read_history",
    "write_operation",
]
