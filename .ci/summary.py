"""What a run of .ci/run was: sessions, suites, what was left out and why, the slowest tests. `summary.py FOLDER`.

Reads FOLDER/*.xml (pytest's JUnit files), FOLDER/nox.json (nox's own report), FOLDER/steps.tsv (name, exit code,
seconds of steps outside nox), FOLDER/notes.txt (what this machine lacks) and, of what failed, the last words in
FOLDER/nox.log and FOLDER/STEP.log. Exit 1 when anything failed or left half of its results; never because something was
skipped, which is told. The last line names what failed: it may be all that somebody sees.
"""

from __future__ import annotations

import argparse
import json
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

SLOWEST = 10
FAILED_SHOWN = 50
REASON_CHARS = 160
NAMED = 10  # tests, in the line that names what failed
LAST_WORDS = 25  # lines, of a session or a step that failed
LINE_CHARS = 200


@dataclass(frozen=True)
class Test:
    """One case. outcome  passed, failed, error or skipped"""

    name: str
    seconds: float
    outcome: str
    reason: str = ""


@dataclass(frozen=True)
class Suite:
    """One JUnit file. problem  why it cannot be read, "" otherwise"""

    name: str
    tests: tuple[Test, ...] = ()
    seconds: float = 0.0
    problem: str = ""

    def count(self, outcome: str) -> int:
        return sum(test.outcome == outcome for test in self.tests)


@dataclass(frozen=True)
class Step:
    """A session of nox, or a step outside it. said  its last lines when it failed, as far as they were kept"""

    name: str
    is_good: bool
    seconds: float
    words: str
    said: tuple[str, ...] = ()


@dataclass(frozen=True)
class Run:
    suites: Sequence[Suite] = ()
    steps: Sequence[Step] = ()
    notes: Sequence[str] = ()
    problems: Sequence[str] = field(default=())

    @property
    def is_good(self) -> bool:
        """Nothing failed, everything can be read, and something ran."""
        broken = any(s.problem or s.count("failed") or s.count("error") or not s.tests for s in self.suites)
        return bool(self.steps) and not broken and not self.problems and all(step.is_good for step in self.steps)


def read_suite(path: Path) -> Suite:
    """The cases of one file; a file that cannot be read is a suite with a problem."""
    try:
        root = ET.parse(path).getroot()  # noqa: S314 - pytest of this run wrote it
    except (ET.ParseError, OSError) as error:
        return Suite(path.stem, problem=f"{path.name} cannot be read: {error}")
    tests = tuple(_test(case) for case in root.iter("testcase"))
    seconds = sum(float(suite.get("time", 0.0)) for suite in root.iter("testsuite"))
    return Suite(path.stem, tests, seconds)


def _test(case: ET.Element) -> Test:
    outcome, reason = "passed", ""
    for tag, told in (("skipped", "skipped"), ("failure", "failed"), ("error", "error")):
        found = case.find(tag)
        if found is not None:
            outcome, reason = told, found.get("message") or (found.text or "").strip().partition("\n")[0]
    name = f"{case.get('classname', '')}::{case.get('name', '')}"
    return Test(name, float(case.get("time", 0.0)), outcome, " ".join(reason.split())[:REASON_CHARS])


def read_sessions(path: Path, log: str = "") -> list[Step]:
    """The sessions of nox's report, with words of its log. Raises OSError, ValueError, KeyError when it is none."""
    steps: list[Step] = []
    for session in json.loads(path.read_text())["sessions"]:
        name = (session.get("signatures") or [session["name"]])[0]  # with the parameters, if it has any
        is_good = session["result"] == "success"
        words = " ".join(filter(None, (session["result"], session.get("reason"))))
        said = () if is_good else last_words(said_in_session(log, name))
        steps.append(Step(f"nox -s {name}", is_good, float(session.get("duration") or 0.0), words, said))
    return steps


def read_steps(text: str, folder: Path) -> list[Step]:
    """Lines of name, exit code and seconds, with tabs between. Raises ValueError for others."""
    steps: list[Step] = []
    for line in text.splitlines():
        name, code, seconds = line.split("\t")
        is_good = code == "0"
        said = () if is_good else last_words(_log(folder / f"{name}.log"))
        steps.append(Step(name, is_good, float(seconds), "success" if is_good else f"exit code {code}", said))
    return steps


def said_in_session(log: str, name: str) -> str:
    """What nox's log has between the beginning of a session and that of the next."""
    return log.partition(f"nox > Running session {name}\n")[2].partition("nox > Running session ")[0]


def last_words(text: str) -> tuple[str, ...]:
    lines = [line[:LINE_CHARS] for line in text.splitlines() if line.strip()]
    return tuple(lines[-LAST_WORDS:])


def _log(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""


def read_run(folder: Path) -> Run:
    """Everything that a run left in `folder`; what is missing is a problem."""
    steps: list[Step] = []
    problems: list[str] = []
    try:
        steps += read_sessions(folder / "nox.json", _log(folder / "nox.log"))
    except (OSError, ValueError, KeyError) as error:
        problems.append(f"nox left no report: {type(error).__name__} {error}")
    try:
        steps += read_steps(_log(folder / "steps.tsv"), folder)
    except ValueError as error:
        problems.append(f"steps.tsv cannot be read: {error}")
    notes = (folder / "notes.txt").read_text().splitlines() if (folder / "notes.txt").exists() else []
    suites = [read_suite(path) for path in sorted(folder.glob("*.xml"))]
    if not suites:
        problems.append("no suite left a result")
    return Run(suites, steps, [note for note in notes if note.strip()], problems)


def told(run: Run) -> str:
    """The summary, for a terminal and for a log."""
    parts = [_heading("SUMMARY"), *_steps(run.steps), "", *_suites(run.suites)]
    skipped = Counter(t.reason or "no reason given" for s in run.suites for t in s.tests if t.outcome == "skipped")
    parts += ["", "not run here, and why:" if skipped or run.notes else "nothing was skipped"]
    parts += [f"  {count:>4} x {reason}" for reason, count in skipped.most_common()]
    parts += [f"  machine: {note}" for note in run.notes]
    tests = [test for suite in run.suites for test in suite.tests]
    parts += ["", f"the slowest {SLOWEST}:"]
    parts += [f"  {t.seconds:7.1f} s  {t.name}" for t in sorted(tests, key=lambda t: -t.seconds)[:SLOWEST]]
    failed = [test for test in tests if test.outcome in ("failed", "error")]
    if failed:
        parts += ["", f"{len(failed)} failed:"]
        parts += [f"  {t.name}  {t.reason}" for t in failed[:FAILED_SHOWN]]
    problems = [*run.problems, *(s.problem for s in run.suites if s.problem)]
    problems += [f"suite {s.name} ran no test" for s in run.suites if not s.tests and not s.problem]
    for step in run.steps:
        if step.said:
            parts += ["", f"the last words of {step.name}:", *(f"  {line}" for line in step.said)]
    parts += [f"PROBLEM {problem}" for problem in problems]
    parts += ["", "everything that ran passed" if run.is_good else _verdict(run.steps, failed, problems)]
    return "\n".join(parts)


def _verdict(steps: Iterable[Step], failed: Sequence[Test], problems: Sequence[str]) -> str:
    """One line that names it all."""
    named = [step.name for step in steps if not step.is_good]
    named += [test.name for test in failed[:NAMED]]
    named += [f"{len(failed) - NAMED} tests more"] if len(failed) > NAMED else []
    return f"FAILED: {'; '.join([*named, *problems])}"


def _heading(text: str) -> str:
    return f"{' ' + text + ' ':=^100}"


def _steps(steps: Iterable[Step]) -> list[str]:
    return [f"  {step.name:<44} {_minutes(step.seconds):>9}  {step.words}" for step in steps]


def _suites(suites: Sequence[Suite]) -> list[str]:
    lines = [f"  {'suite':<28} {'passed':>8} {'failed':>8} {'skipped':>8} {'time':>10}"]
    for suite in suites:
        counts = suite.count("passed"), suite.count("failed") + suite.count("error"), suite.count("skipped")
        lines.append(f"  {suite.name:<28} {counts[0]:>8} {counts[1]:>8} {counts[2]:>8} {_minutes(suite.seconds):>10}")
    return lines


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}m {int(seconds) % 60:02}s"


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="summary.py", description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    run = read_run(parser.parse_args(arguments).folder)
    print(told(run), flush=True)
    return 0 if run.is_good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
