"""Fuzz the parsers with atheris, guided by what their code covers: `nox -s fuzz -- --seconds 60 [target ...]`.

Each target runs in a process of its own (libFuzzer ends its process). A finding prints its traceback and its input.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path


def fuzz(name: str, seconds: int, corpus: Path) -> None:
    """Does not return: libFuzzer ends the process, with 0 when it found nothing."""
    import atheris

    with atheris.instrument_imports(include=["aether"]):
        from tests.fuzz.targets import TARGETS

    target = TARGETS[name]
    for number, seed in enumerate(target.seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    options = [
        f"-max_total_time={seconds}",
        "-max_len=4096",
        "-timeout=10",
        "-rss_limit_mb=2048",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus)], target.run)
    atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("targets", nargs="*", help="default: all")
    parser.add_argument("--seconds", type=int, default=20, help="for each target (default 20)")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="aether-fuzz-") as folder:
        if options.one:
            fuzz(options.one, options.seconds, Path(folder))
        from tests.fuzz.targets import TARGETS

        failed: list[str] = []
        for name in options.targets or TARGETS:
            line = [sys.executable, "-m", "tests.fuzz", "--one", name, "--seconds", str(options.seconds)]
            done = subprocess.run(line, capture_output=True, text=True, check=False)
            runs = [part.split()[-1] for part in done.stderr.splitlines() if "number_of_executed_units" in part]
            print(
                f"{name}: {runs[0] if runs else '?'} runs, {'FOUND' if done.returncode else 'no finding'}", flush=True
            )
            if done.returncode:
                print(done.stdout, done.stderr, sep="\n")
                failed.append(name)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
