"""`python -m aether.testing.simulation --seed N`: print the trace and the verdict of one seed."""

from __future__ import annotations

import argparse
import sys

from aether.testing.simulation.plots import PLOTS
from aether.testing.simulation.runner import STEPS_DEFAULT, run
from aether.testing.simulation.trace import HEADER


def main() -> int:
    """Exit code 0 when all rules held, 1 when one broke."""
    parser = argparse.ArgumentParser(prog="python -m aether.testing.simulation", description=__doc__)
    parser.add_argument("--seed", type=lambda text: int(text, 0), required=True)
    parser.add_argument("--plot", choices=sorted(PLOTS), help="default: the seed draws it")
    parser.add_argument("--steps", type=int, default=STEPS_DEFAULT, help="events under faults")
    parser.add_argument("--quiet", action="store_true", help="print the verdict alone")
    options = parser.parse_args()
    report = run(options.seed, options.steps, plot=options.plot)
    if not options.quiet:
        sys.stdout.writelines(f"{line}\n" for line in (HEADER, *report.trace.lines()))
    sys.stdout.write(f"{report}\n{report.trace_hash}\n")
    return 1 if report.violation else 0


if __name__ == "__main__":
    sys.exit(main())
