"""docs/design/validation.md out of the registry and the figures of pytest: `python -m tests.scenarios.report JUNIT...`

What is not in these files of `--junitxml` keeps the figures that the page has. Exits with 1 when a scenario failed.
"""

from __future__ import annotations

import os
import re
import sys
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

import attrs
from tests.scenarios.registry import Scenario, all_scenarios

PAGE = Path(__file__).parents[2] / "docs" / "design" / "validation.md"
HARNESSES = {"test_in_memory": 0, "test_on_processes": 1}
NOT_RUN = "not run"
ROW = re.compile(r"^\| `(?P<name>\w+)`(?P<ordinary> \*)? \| (?P<proves>.+) \| (?P<memory>.+) \| (?P<processes>.+) \|$")
RUN = re.compile(r"^Last report: .*$", re.MULTILINE)

HEAD = """\
# Validation

Eighty scenarios say what operators will meet, in twelve classes. Each is one body that knows a cluster only by its HTTP
ports and by what is done to its nodes, and runs in two harnesses: **in memory** (whole nodes in virtual time:
`tests/scenarios/test_in_memory.py`), and on **processes** of the operating system (`tests/e2e/test_scenarios.py`).
There, partitions are cut by nftables between network namespaces where that is allowed, and by a proxy that stalls where
it is not. Nothing sleeps: a body waits for a condition, with a bound, and a failure shows the logs of all nodes.

```console
$ pytest tests/scenarios tests/e2e/test_scenarios.py -k leader_kill_spree
$ AETHER_SCENARIOS=all pytest tests/e2e/test_scenarios.py
$ nox -s e2e
```

Ordinary runs do all of them in memory, and those with a star on processes. `nox -s e2e` does all in both and writes the
figures below: the seconds that the test took, or `failed`, and the day. `tests/docs/test_validation.py` compares this
page with the scenarios: none is missing, none invented, and what one is said to prove is what its body says.
"""


@attrs.frozen
class Figures:
    """How the last run of each harness ended."""

    memory: str = NOT_RUN
    processes: str = NOT_RUN


def on_page(text: str) -> dict[str, Figures]:
    """The figures of each scenario, by its full name."""
    kind, found = "", dict[str, Figures]()
    for line in text.splitlines():
        if line.startswith("## "):
            kind = line.removeprefix("## ")
        elif row := ROW.match(line):
            found[f"{kind}.{row['name']}"] = Figures(row["memory"], row["processes"])
    return found


def measured(report: Path) -> dict[str, list[str]]:
    """Full name -> [in memory, on processes] of one file, "" for what did not run in it."""
    found: dict[str, list[str]] = {}
    for suite in ET.parse(report).getroot().iter("testsuite"):
        day = suite.get("timestamp", "")[:10]
        for case in suite.iter("testcase"):
            test, _, name = case.get("name", "").rstrip("]").partition("[")
            if test in HARNESSES and case.find("skipped") is None:
                failed = case.find("failure") is not None or case.find("error") is not None
                verdict = "failed" if failed else f"{float(case.get('time', '0')):.1f} s"
                found.setdefault(name, ["", ""])[HARNESSES[test]] = f"{verdict}, {day}"
    return found


def with_measured(figures: Mapping[str, Figures], found: Mapping[str, Sequence[str]]) -> dict[str, Figures]:
    merged = dict(figures)
    for name, (memory, processes) in found.items():
        before = merged.get(name, Figures())
        merged[name] = Figures(memory or before.memory, processes or before.processes)
    return merged


def page(scenarios: Sequence[Scenario], figures: Mapping[str, Figures], run: str) -> str:
    parts = [HEAD]
    if run:
        parts.append(f"\n{run}\n")
    for kind, group in groupby(scenarios, lambda each: each.name.partition(".")[0]):
        rows = list(group)
        body = rows[0].body.__module__.rpartition(".")[2]
        parts.append(f"\n## {kind}\n\nBodies: `tests/scenarios/{body}.py`.\n\n")
        parts.append("| scenario | what it proves | in memory | on processes |\n|---|---|---|---|\n")
        for each in rows:
            seen = figures.get(each.name, Figures())
            star = " *" if each.ordinary else ""
            name = each.name.partition(".")[2]
            parts.append(f"| `{name}`{star} | {each.proves} | {seen.memory} | {seen.processes} |\n")
    return "".join(parts)


def run_words(found: Mapping[str, Sequence[str]], total_s: float) -> str:
    memory = sum(bool(each[0]) for each in found.values())
    processes = sum(bool(each[1]) for each in found.values())
    return (
        f"Last report: {memory} in memory and {processes} on processes in {total_s / 60:.0f} minutes, on "
        f"{os.cpu_count()} cores with a load average of {os.getloadavg()[2]:.0f} over its last quarter of an hour."
    )


def main(reports: Sequence[str]) -> int:
    text = PAGE.read_text() if PAGE.exists() else ""
    found: dict[str, list[str]] = {}
    total_s = 0.0
    for name in reports:
        root = ET.parse(name).getroot()
        total_s += sum(float(suite.get("time", "0")) for suite in root.iter("testsuite"))
        for scenario, (memory, processes) in measured(Path(name)).items():
            before = found.get(scenario, ["", ""])
            found[scenario] = [memory or before[0], processes or before[1]]
    before_run = RUN.search(text)
    run = run_words(found, total_s) if found else before_run[0] if before_run else ""
    PAGE.write_text(page(all_scenarios(), with_measured(on_page(text), found), run))
    failed = sorted(name for name, each in found.items() if any(one.startswith("failed") for one in each))
    for name in failed:
        print(f"failed: {name}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
