"""`python -m aether.testing.nemesis`: real nodes, real faults, a verdict. Linux only."""

from __future__ import annotations

import argparse
import sys
import tempfile
import traceback
from pathlib import Path

import trio

from aether.forge.socket_owner import is_supported
from aether.testing.nemesis.cluster import WELL_S
from aether.testing.nemesis.faults import FAULTS
from aether.testing.nemesis.run import NemesisPlan, run_nemesis
from aether.testing.nemesis.workloads import WORKLOADS


def main() -> int:
    """Exit code 0 good, 1 the cluster broke a promise, 3 the harness failed, 2 bad arguments."""
    parser = argparse.ArgumentParser(prog="python -m aether.testing.nemesis", description=__doc__)
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=60.0, help="under faults; starting and judging come on top")
    parser.add_argument("--seed", type=lambda text: int(text, 0), default=1, help="draws which fault comes when")
    parser.add_argument("--clients", type=int, default=12, help="per process of clients")
    parser.add_argument("--workers", type=int, default=1, help="processes of clients")
    parser.add_argument("--rate", type=float, default=300.0, help="operations per second, all clients; 0 = unbounded")
    parser.add_argument("--faults", default="", help=f"comma-separated; default all: {', '.join(FAULTS)}")
    parser.add_argument("--local-reads", action="store_true", help="reads are stale on purpose: must be found")
    parser.add_argument("--workload", choices=list(WORKLOADS), default="registers", help="default registers")
    parser.add_argument("--well", type=float, default=WELL_S, help="seconds in which a healed cluster must be well")
    parser.add_argument(
        "--namespaces", action="store_true", help="a network namespace per node: needs privilege and nft"
    )
    parser.add_argument("--folder", type=Path, help="keep data, logs and histories here")
    options = parser.parse_args()
    if not is_supported():
        parser.error("needs Linux: the faulty network asks /proc which node dials")
    plan = NemesisPlan(
        nodes=options.nodes,
        seconds=options.seconds,
        seed=options.seed,
        workers=options.workers,
        clients=options.clients,
        rate=options.rate,
        faults=tuple(filter(None, options.faults.split(","))),
        reads_locally=options.local_reads,
        in_namespaces=options.namespaces,
        workload=options.workload,
        well_s=options.well,
    )
    folder: Path = options.folder or Path(tempfile.mkdtemp(prefix="aether-nemesis-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        report = trio.run(run_nemesis, plan, folder, _say)
    except Exception:  # noqa: BLE001 - whatever breaks the harness is no verdict on the cluster
        traceback.print_exc()
        sys.stdout.write(f"HARNESS failed; kept in {folder}\n")
        return 3
    sys.stdout.write(f"{report}\nkept in {folder}\n")
    return report.exit_code


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
