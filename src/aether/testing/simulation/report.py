"""What one simulated run was.

Knows: the seed, the trace, what was violated, which faults struck, how much happened.
Never: how it was run.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from aether.testing.simulation.trace import Trace


@attrs.frozen(kw_only=True, eq=False)
class Report:
    """steps  events under faults; events  all that were carried out, healing included
    violation  the rule that broke, in words; None when all held
    struck     names of the faults that took place, in order: what a replay may leave out
    counts     how often things happened: elections, crashes, commits, ...
    """

    seed: int
    plot: str
    steps: int
    events: int
    violation: str | None
    struck: tuple[str, ...]
    counts: Mapping[str, int]
    trace: Trace

    @property
    def trace_hash(self) -> str:
        """SHA-256 of the trace's lines, in hex: equal for equal runs, in any process."""
        return self.trace.hash()

    @property
    def rule(self) -> str:
        """The first words of the violation: what kind of bug it is. "" when all held."""
        return (self.violation or "").partition(":")[0]

    def __str__(self) -> str:
        counts = " ".join(f"{name.replace(' ', '_')}={count}" for name, count in sorted(self.counts.items()))
        verdict = f"VIOLATED: {self.violation}" if self.violation else "all rules held"
        return f"seed {self.seed:#x} {self.plot}: {verdict}; {self.events} events, {len(self.struck)} faults, {counts}"
