"""The picture in the README: three real nodes take orders, one is killed, and every answer is drawn.

    python -m benchmarks.picture [--rate 60] [--seconds 20] [--kill leader] [--out docs/node-killed.svg]

It is a run of the demo (`aether demo`): five slices on three processes with data directories, orders over HTTP to all
nodes, SIGKILL half-way, an audit of every node. A client repeats an order at another node when the one that it asked is
gone, as the demo's do; that is counted and said. Exit 1 when the demo did not succeed: then nothing is written.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import trio

from aether.cli.terminal import ProgressLines
from aether.forge.demo import DemoPlan, DemoResult, open_demo
from benchmarks.timeline import Answer, Timeline


async def _run(plan: DemoPlan) -> DemoResult:
    with tempfile.TemporaryDirectory(prefix="aether-picture-", ignore_cleanup_errors=True) as folder:
        async with open_demo(plan, Path(folder), ProgressLines()) as demo:
            return await demo.run()


def timeline(result: DemoResult, notes: Sequence[str]) -> Timeline:
    """What a run looks like; every number in it is counted from its outcomes."""
    outcomes, hit = result.outcomes, result.disturbance
    failed, again = sum(o.failed for o in outcomes), sum(o.repeats > 0 for o in outcomes)
    events: list[tuple[float, str]] = []
    if hit is not None:
        events.append((hit.killed_s, f"kill -9 of {hit.node}, {'which leads' if hit.was_leader else 'a follower'}"))
        if hit.healed_s is not None:
            events.append((hit.healed_s, f"its instances run elsewhere, {hit.heal_s:.2f} s later"))
    said = f"{len(outcomes):,} orders over HTTP, {result.plan.rate:g} a second: {failed:,} failed"
    said += f", {again:,} asked again by their client"
    clean = sum(audit.clean for audit in result.audits)
    return Timeline(
        title=f"{result.plan.nodes} nodes under load, one is killed",
        subtitle=f"{said}; the audit of {clean} nodes is clean",
        answers=[Answer(o.sent_s, o.latency_s, not o.failed) for o in outcomes],
        events=events,
        notes=notes,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rate", type=float, default=60.0, help="orders a second (default 60)")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long they are sent (default 20)")
    parser.add_argument("--kill", choices=("leader", "follower"), default="leader", help="whom SIGKILL hits")
    parser.add_argument("--out", type=Path, default=Path("docs/node-killed.svg"), help="the file that is written")
    options = parser.parse_args()
    before = os.getloadavg()[0]
    result = trio.run(_run, DemoPlan(rate=options.rate, seconds=options.seconds, kill=options.kill))
    if result.problems:
        print("nothing was written:", *result.problems, sep="\n  ", file=sys.stderr)
        return 1
    notes = [
        f"python -m benchmarks.picture --rate {options.rate:g} --seconds {options.seconds:g} --kill {options.kill}",
        dt.datetime.now(dt.UTC).date().isoformat(),
        f"CPython {platform.python_version()}, {os.cpu_count()} cores, load {before:.0f} before",
    ]
    options.out.write_text(timeline(result, notes).svg())
    print(f"wrote {options.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
