"""`python -m benchmarks.soak --minutes 60`: 0 flat, 1 something grows or broke, 2 bad arguments, 3 too short.

With --virtual HOURS nothing is disturbed: three nodes in one process live through them in minutes (hours.py).
Writes samples and events into a folder of its own, and with --write the table and the plot into docs/operations.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from pathlib import Path

import trio

from aether.forge.socket_owner import is_supported
from benchmarks.soak import hours, report
from benchmarks.soak.run import EVENTS, SAMPLES, Event, Soaked, SoakPlan, fresh_folder, soak
from benchmarks.soak.samples import read_samples

PAGE = Path(__file__).parents[2] / "docs" / "operations" / "soak.md"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=30.0, help="requests per second (default 30)")
    parser.add_argument("--nodes", type=int, default=3, choices=(3, 5))
    parser.add_argument("--every", type=float, default=10.0, help="seconds between two looks (default 10)")
    parser.add_argument("--calm", type=float, default=45.0, help="seconds of rest between disturbances (default 45)")
    parser.add_argument("--deadline", type=float, default=20.0, help="seconds for a definite answer (default 20)")
    parser.add_argument("--folder", type=Path, help="keep data, logs and samples here")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name} and its picture")
    parser.add_argument("--again", type=Path, help="no run: report on the samples of an earlier one in this folder")
    parser.add_argument("--virtual", type=float, metavar="HOURS", help="in memory, in virtual time; takes --rate")
    options = parser.parse_args(arguments)
    if options.virtual is not None:
        if not 0 < options.virtual <= 24 or options.rate <= 0:
            parser.error("--virtual is 0 to 24 hours, --rate above zero")
        return hours.main(options.virtual, options.rate, _say)
    if not is_supported():
        parser.error("needs Linux: the faulty network asks /proc which node dials")
    if not 1 <= options.deadline <= 60:
        parser.error("--deadline is 1 to 60 seconds")
    if options.minutes <= 0 or options.rate <= 0 or options.every <= 0 or options.calm <= 0:
        parser.error("--minutes, --rate, --every and --calm are above zero")
    plan = SoakPlan(
        minutes=options.minutes,
        rate=options.rate,
        nodes=options.nodes,
        every_s=options.every,
        calm_s=options.calm,
        deadline_s=options.deadline,
    )
    began = time.monotonic()
    if options.again:
        soaked = kept(plan, options.again)
        minutes = max((s.at_s for s in soaked.samples), default=0.0) / 60
    else:
        folder: Path = options.folder or fresh_folder()
        folder.mkdir(parents=True, exist_ok=True)
        soaked = trio.run(soak, plan, folder, _say)
        minutes = (time.monotonic() - began) / 60
        (folder / "wrong.json").write_text(json.dumps(soaked.wrong))
        _say(f"kept in {folder}")
    rows = report.rows_of(soaked.samples)
    shown = [word for word in arguments if word != "--write"]
    written = report.text(soaked, f"nox -s soak -- {shlex.join(_portable(shown))}", minutes)
    _say(written)
    if options.write:
        report.put(PAGE, written)
        report.plot(soaked, PAGE.with_suffix(".png"))
    for wrong in soaked.wrong:
        _say(f"WRONG {wrong}")
    return report.exit_code(soaked, rows)


def kept(plan: SoakPlan, folder: Path) -> Soaked:
    """What an earlier run left."""
    events = [Event(**json.loads(line)) for line in (folder / EVENTS).read_text().splitlines()]
    wrong = folder / "wrong.json"
    return Soaked(
        plan,
        read_samples((folder / SAMPLES).read_text()),
        events,
        json.loads(wrong.read_text()) if wrong.exists() else ["the run did not end"],
    )


def _portable(words: list[str]) -> list[str]:
    """Without folders of one machine."""
    kept_words: list[str] = []
    is_folder = False
    for word in words:
        if not is_folder and not word.startswith(("--folder", "--again")):
            kept_words.append(word)
        is_folder = word in ("--folder", "--again")
    return kept_words


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
