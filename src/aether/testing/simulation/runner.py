"""Runs one seed: faults first, then healing, then the audit.

Knows: what counts as a broken rule, and what as a defect of the simulator itself.
Never: what the phases do.
"""

from __future__ import annotations

import traceback
from collections.abc import Collection
from pathlib import Path
from typing import Final

from aether.consensus.core import RaftCore
from aether.testing.simulation.faults import Faults
from aether.testing.simulation.machine import SessionMachine
from aether.testing.simulation.node import MakeCore, MakeMachine
from aether.testing.simulation.plots import PLOTS, plot_of
from aether.testing.simulation.report import Report
from aether.testing.simulation.schedule import Schedule
from aether.testing.simulation.world import World

STEPS_DEFAULT: Final = 3_000
_OWN: Final = Path(__file__).parent


def run(
    seed: int,
    steps: int = STEPS_DEFAULT,
    *,
    plot: str | None = None,
    faults: Faults | None = None,
    only: Collection[str] | None = None,
    core: MakeCore = RaftCore,
    machine: MakeMachine = SessionMachine,
) -> Report:
    """Simulate one cluster: `steps` events under the faults that `seed` draws, then heal and audit.

    plot    draws the faults; None: the one that the seed draws itself. faults  in place of both
    only    names of the faults that may strike, of an earlier report of the same seed; None: all
    core, machine  what is simulated; tests pass broken ones, to see that they are found
    Never raises for a broken rule: it stands in the report, and so does an exception out of the simulated system.
    Those of the simulator itself pass, with the seed as a note.
    """
    plot = plot or plot_of(seed)
    schedule = Schedule(None if only is None else frozenset(only))
    world = World(seed, faults if faults is not None else PLOTS[plot](seed), core, machine, schedule)
    violation = None
    try:
        world.run_events(steps)
        world.heal()
    except AssertionError as broken:
        violation = str(broken) or repr(broken)
    except Exception as error:
        if _is_ours(error):
            error.add_note(f"in the simulation of seed {seed:#x}, {plot}, {steps} steps")
            raise
        violation = f"Exception: {type(error).__name__}: {error}"
    return Report(
        seed=seed,
        plot=plot if faults is None else "given",
        steps=steps,
        events=world.loop.events,
        violation=violation,
        struck=tuple(schedule.struck),
        counts=dict(world.loop.counts),
        trace=world.loop.trace,
    )


def _is_ours(error: Exception) -> bool:
    """Whether the simulator raised it, and not what it simulates."""
    frames = traceback.extract_tb(error.__traceback__)
    return Path(frames[-1].filename).parent == _OWN
