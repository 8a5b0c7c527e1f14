"""Seeds that failed once, each in a small file: they are run first, for ever.

Knows: the fields of such a file, TOML.
Never: which bug it was that is fixed now (the comment says it).
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

from aether.errors import BadInput
from aether.testing.simulation.plots import PLOTS
from aether.testing.simulation.report import Report

SIMULATOR: int = 2
"""Rises when seeds come to mean other runs: a grave of an older number is still worth running, as any seed is."""


@attrs.frozen(kw_only=True)
class Grave:
    """only  the faults that are needed, None for all of them; found  the violation, in words."""

    seed: int
    plot: str
    steps: int
    found: str
    only: tuple[str, ...] | None = None
    simulator: int = SIMULATOR

    @property
    def file_name(self) -> str:
        rule = self.found.partition(":")[0].lower().replace(" ", "-")
        return f"{rule}-{self.plot}-{self.seed:x}.toml"


def grave_of(report: Report) -> Grave:
    """What to keep of a failed run."""
    return Grave(
        seed=report.seed,
        plot=report.plot,
        steps=report.steps,
        found=report.violation or "",
        only=report.struck,
    )


def write_grave(grave: Grave) -> str:
    """The file's text."""
    lines = [
        f"seed = {grave.seed:#x}",
        f"plot = {json.dumps(grave.plot)}",
        f"steps = {grave.steps}",
        f"found = {json.dumps(grave.found[:400])}",
        f"simulator = {grave.simulator}",
    ]
    if grave.only is not None:
        lines += ["only = [", *(f"    {json.dumps(name)}," for name in grave.only), "]"]
    return "\n".join(lines) + "\n"


def read_grave(path: Path) -> Grave:
    """Raises BadInput."""
    try:
        row: dict[str, Any] = tomllib.loads(path.read_text())
        only = row.pop("only", None)
        grave = Grave(**row, only=None if only is None else tuple(only))
    except (OSError, ValueError, TypeError) as error:
        raise BadInput(f"{path} describes no failed run", (str(error),)) from error
    if grave.plot not in PLOTS:
        raise BadInput(f"{path} describes no failed run", (f"there is no plot {grave.plot!r}; {', '.join(PLOTS)} are",))
    return grave


def graves(directory: Path) -> Sequence[Path]:
    """All files, in order."""
    return sorted(directory.glob("*.toml"))
