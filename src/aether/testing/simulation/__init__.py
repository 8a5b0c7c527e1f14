"""A deterministic simulator of consensus: a whole cluster in one loop, from one seed.

Knows: the pure cores, small simulated disks, networks, clients and state machines; the rules that must always hold.
Never: a real clock, thread, socket or file.
Holds: the same seed gives the same trace, in any process.
"""

from aether.testing.simulation.report import Report
from aether.testing.simulation.runner import run

__all__ = ["Report", "run"]
