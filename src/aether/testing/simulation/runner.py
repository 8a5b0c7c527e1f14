"""Runs one seed: faults first, then healing, then the audit.

Knows: the order of the phases.
Never: what they do.
"""

from __future__ import annotations

from typing import Final

from aether.consensus.core import RaftCore
from aether.testing.simulation.faults import Faults
from aether.testing.simulation.machine import SessionMachine
from aether.testing.simulation.node import MakeCore, MakeMachine
from aether.testing.simulation.report import Report
from aether.testing.simulation.world import World

STEPS_DEFAULT: Final = 3_000


def run(
    seed: int,
    steps: int = STEPS_DEFAULT,
    *,
    faults: Faults | None = None,
    core: MakeCore = RaftCore,
    machine: MakeMachine = SessionMachine,
) -> Report:
    """Simulate one cluster: `steps` events under the faults that `seed` draws, then heal and audit.

    core, machine  what is simulated; tests pass broken ones, to see that they are found
    Never raises for a broken rule: it stands in the report. Other exceptions pass, with the seed as a note.
    """
    world = World(seed, faults if faults is not None else Faults.draw(seed), core, machine)
    violation = None
    try:
        world.run_events(steps)
        world.heal()
    except AssertionError as broken:
        violation = str(broken) or repr(broken)
    except Exception as error:
        error.add_note(f"in the simulation of seed {seed}, {steps} steps")
        raise
    return Report(
        seed=seed,
        trace=tuple(world.loop.trace),
        trace_hash=world.loop.trace_hash(),
        violation=violation,
        counts=dict(world.loop.counts),
    )
