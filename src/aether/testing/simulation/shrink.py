"""Makes a failing run small: fewer faults, fewer steps, the same rule broken.

Knows: how to leave out parts of a list while something stays true (delta debugging).
Never: what the faults are.
Holds: the result fails as the original did, by a run; at most `runs_max` runs.
Paper: Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input" (2002).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from aether.testing.simulation.report import Report

T = TypeVar("T")
Rerun = Callable[[Sequence[str], int], Report]
"""The same seed and plot with these faults only, and so many steps."""

RUNS_MAX = 300


def fewest(parts: Sequence[T], fails: Callable[[Sequence[T]], bool]) -> list[T]:
    """A small part of `parts` with which `fails` is true; it is with all. Leaves out ever smaller pieces."""
    left, pieces = list(parts), 2
    while left:
        length = -(-len(left) // pieces)
        for start in range(0, len(left), length):
            fewer = left[:start] + left[start + length :]
            if fails(fewer):
                left, pieces = fewer, max(pieces - 1, 2)
                break
        else:
            if length == 1:
                break
            pieces = min(2 * pieces, len(left))
    return left


def shrink(report: Report, rerun: Rerun, runs_max: int = RUNS_MAX) -> Report:
    """A run that breaks the same rule with as few faults as could be found."""
    best, runs = report, 0

    def fails(only: Sequence[str]) -> bool:
        nonlocal best, runs
        if runs >= runs_max:
            return False
        runs += 1
        tried = rerun(only, steps)
        if tried.rule != report.rule:
            return False
        best = tried
        return True

    steps = min(report.steps, report.events)
    if fails(report.struck):
        fewest(report.struck, fails)
    return best
