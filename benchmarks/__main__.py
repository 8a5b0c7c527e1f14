"""Every benchmark, each in a process of its own, and one table at the end.

    python -m benchmarks [--seconds 2] [--rounds 3] [names...] [options of the one that is named]

A figure stands beside its bare limit, measured in turns with it in the same run: figures of one sitting compare, those
of two machines do not. Ratios are compared with benchmarks/baseline.json, where that is: each round is a process of its
own, and what all rounds agree on beyond their noise is a regression. --write puts tables and a picture into
docs/operations/performance.md, --accept keeps the ratios as the new baseline: all of them, or those of the named ones.
Exit 1 when a goal was missed or a ratio got worse, 2 when a benchmark did not run.
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
from collections.abc import Mapping, Sequence
from importlib import metadata

from benchmarks import baseline, page
from benchmarks.figure import Figure, table

NAMES = (
    *("startup", "cli", "bare_call", "calls", "tls", "workers", "streams"),
    *("http", "replicated_log", "kv", "snapshots", "overload", "consensus", "reconcile", "figures", "management"),
)
WANTED = ("wide", "deploy", "updates")  # only by name: they take many minutes
ONE_SITTING = WANTED  # their rounds share what takes long to build up
HAVE_OPTIONS = ("consensus", "http", "calls", *WANTED)
VERSIONS = (
    *("aether-runtime", "trio", "msgpack", "httptools", "msgspec"),
    *("grpcio", "ray", "rpyc", "starlette", "fastapi", "uvicorn", "uvloop"),
)
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
    parser.add_argument("--write", action="store_true", help="write docs/operations/performance.md")
    parser.add_argument("--accept", action="store_true", help="keep the ratios as benchmarks/baseline.json")
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
    return report(options.names or NAMES, options, own)


def report(names: Sequence[str], options: argparse.Namespace, own: Sequence[str] = ()) -> int:
    """Run `names`, print the tables; the exit status."""
    began_s, load_before = time.monotonic(), os.getloadavg()[0]
    found: dict[str, list[list[Figure]]] = {name: [] for name in names}
    failed: list[str] = []
    for name in names:
        rounds, each = (1, options.rounds) if name in ONE_SITTING else (options.rounds, 1)
        for number in range(rounds):
            print(f"{time.monotonic() - began_s:6.1f} s  {name} {number + 1}", file=sys.stderr, flush=True)
            try:
                found[name].append(run_one(name, options.seconds, each, own))
            except (subprocess.SubprocessError, ValueError, IndexError) as error:
                print(f"{name} failed: {error}", file=sys.stderr, flush=True)
                failed.append(name)
                break
    by_benchmark = {name: baseline.middle(rounds) for name, rounds in found.items()}
    figures = [figure for each in by_benchmark.values() for figure in each]
    measured = {n: b for rounds in found.values() for n, b in baseline.bands(rounds).items()}
    print(table(figures))
    load = f"load {load_before:.1f} before, {os.getloadavg()[0]:.1f} after"
    where = {
        "measured": f"{time.strftime('%Y-%m-%d')}, medians of {options.rounds} rounds of {options.seconds:g} s, "
        f"{time.monotonic() - began_s:.0f} s in all",
        "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, {platform.machine()}, {load}",
        "versions": versions(),
    }
    print("\n" + "\n".join(f"{name}: {what}" for name, what in where.items()))
    compared = against_baseline(measured, [*found], names == NAMES)
    if options.write:
        command = f"nox -s bench -- {' '.join(word for word in sys.argv[1:] if word != '--accept')}"
        page.PAGE.write_text(
            page.put(page.PAGE.read_text(), page.text(by_benchmark, measured, compared, command, where))
        )
        page.PAGE.with_name(page.PICTURE).write_text(page.picture(figures, measured))
    if options.accept and not failed:
        others = baseline.read(baseline.PAGE.read_text()) if options.names and baseline.PAGE.exists() else {}
        baseline.PAGE.write_text(baseline.write({**others, **measured}, where))
    if failed:
        print(f"did not run: {', '.join(failed)}")
        return 2
    return 0 if all(figure.is_met for figure in figures) and not baseline.has_regressed(compared) else 1


def against_baseline(
    measured: Mapping[str, baseline.Band], ran: Sequence[str], is_all: bool
) -> list[baseline.Compared]:
    """What changed since the baseline; of a run of some benchmarks, only what they measured."""
    if not baseline.PAGE.exists():
        print(f"no {baseline.PAGE.name} to compare with; --accept makes it")
        return []
    kept = baseline.read(baseline.PAGE.read_text())
    compared = baseline.compare(kept if is_all else {n: b for n, b in kept.items() if n in measured}, measured)
    print(f"\nsince the baseline, in {len(ran)} benchmarks:\n{baseline.table(compared)}")
    return compared


def versions() -> str:
    """Of what is measured and what it is compared with, as far as it is installed."""
    found = [f"CPython {platform.python_version()}"]
    for name in VERSIONS:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


if __name__ == "__main__":
    sys.exit(main())
