"""What one simulated run was.

Knows: the seed, the trace, what was violated, how much happened.
Never: how it was run.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs


@attrs.frozen(kw_only=True)
class Report:
    """trace  one line per event; trace_hash  SHA-256 of them, in hex: equal for equal seeds, in any process.

    violation  the rule that broke, in words; None when all held
    counts     how often things happened: elections, crashes, commits, ...
    """

    seed: int
    trace: tuple[str, ...]
    trace_hash: str
    violation: str | None
    counts: Mapping[str, int]

    def __str__(self) -> str:
        counts = " ".join(f"{name}={count}" for name, count in sorted(self.counts.items()))
        verdict = f"VIOLATED: {self.violation}" if self.violation else "all rules held"
        return f"seed {self.seed}: {verdict}; {len(self.trace)} events, {counts}; trace {self.trace_hash[:16]}"
