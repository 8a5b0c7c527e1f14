"""Every benchmark, each in a process of its own, and one table at the end.

    python -m benchmarks [--seconds 2] [--rounds 3] [names...] [options of the one that is named]

A figure stands beside its bare limit, measured in turns with it in the same run: figures of one sitting compare, those
of two machines do not. Exit 1 when a goal was missed, 2 when a benchmark did not run.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence

from benchmarks.figure import Figure, table

NAMES = (
    *("startup", "bare_call", "calls", "workers", "streams"),
    *("http", "replicated_log", "kv", "snapshots", "overload", "consensus", "reconcile"),
)
WANTED = ("wide", "deploy", "updates")  # only by name: they take many minutes
HAVE_OPTIONS = ("consensus", "http", "calls", *WANTED)
PROCESS_S_MAX = 4 * 3_600.0  # of consensus, with everything that it can do; the others take minutes


def run_one(name: str, seconds: float, rounds: int, own: Sequence[str] = ()) -> list[Figure]:
    """The figures of one benchmark, measured by a process of its own. own  options that only this one knows."""
    command = [sys.executable, "-m", "benchmarks", "--one", name, "--seconds", str(seconds), "--rounds", str(rounds)]
    command += ["--own", json.dumps(own)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=PROCESS_S_MAX, check=True)
    return [Figure.from_plain(plain) for plain in json.loads(done.stdout.splitlines()[-1])]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "names", nargs="*", metavar="name", help=f"some of {', '.join(NAMES)} (default all), {', '.join(WANTED)}"
    )
    parser.add_argument("--seconds", type=float, default=2.0, help="how long each figure is measured (default 2)")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds, of which medians count (default 3)")
    parser.add_argument("--one", choices=(*NAMES, *WANTED), help=argparse.SUPPRESS)
    parser.add_argument("--own", type=json.loads, default=[], help=argparse.SUPPRESS)
    options, own = parser.parse_known_args()
    if options.one:
        measure = importlib.import_module(f"benchmarks.{options.one}").figures
        found = measure(options.seconds, options.rounds, *([options.own] if options.own else []))
        print(json.dumps([figure.to_plain() for figure in found]))
        return 0
    unknown = [name for name in options.names if name not in (*NAMES, *WANTED)]
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join((*NAMES, *WANTED))}")
    if own and (len(options.names) != 1 or options.names[0] not in HAVE_OPTIONS):
        parser.error(f"{' '.join(own)}: only one of {', '.join(HAVE_OPTIONS)}, named alone, has options of its own")
    return report(options.names or NAMES, options.seconds, options.rounds, own)


def report(names: Sequence[str], seconds: float, rounds: int, own: Sequence[str] = ()) -> int:
    """Run `names`, print the table; the exit status."""
    began_s, load_before = time.monotonic(), os.getloadavg()[0]
    figures: list[Figure] = []
    failed: list[str] = []
    for name in names:
        print(f"{time.monotonic() - began_s:6.1f} s  {name}", file=sys.stderr, flush=True)
        try:
            figures += run_one(name, seconds, rounds, own)
        except (subprocess.SubprocessError, ValueError, IndexError) as error:
            print(f"{name} failed: {error}", file=sys.stderr, flush=True)
            failed.append(name)
    print(table(figures))
    load = f"load {load_before:.1f} before, {os.getloadavg()[0]:.1f} after"
    print(f"\nmedians of {rounds} rounds of {seconds:g} s; {time.monotonic() - began_s:.0f} s in all")
    print(f"{time.strftime('%Y-%m-%d')}, CPython {platform.python_version()}, {os.cpu_count()} cores, {load}")
    if failed:
        print(f"did not run: {', '.join(failed)}")
        return 2
    return 0 if all(figure.is_met for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
