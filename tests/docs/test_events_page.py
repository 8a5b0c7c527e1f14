"""The page of events lists every type with its severity, and the runbook says what to do about each grave one."""

import re
from pathlib import Path

from aether.metrics.events import GRAVER, LOCAL_TYPES, EventType
from aether.metrics.thresholds import is_known
from aether.model.alerts import Severity

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "reference" / "events.md").read_text()
ROWS = re.findall(r"^\| `([A-Z_]+)` \| ([\w ]+) \| (.+) \|$", PAGE, re.M)


def test_every_type_is_on_the_page_once():
    assert sorted(name for name, *_ in ROWS) == sorted(EventType)


def test_each_has_the_severity_that_the_page_says():
    for name, severity, _ in ROWS:
        if severity != "that of the alert":
            assert GRAVER.get(EventType(name), Severity.INFO).value == severity, name


def test_those_of_one_node_stand_apart():
    ours = PAGE.partition("## Of one node")[2]
    assert set(re.findall(r"^\| `([A-Z_]+)`", ours, re.M)) == LOCAL_TYPES


def test_the_runbook_says_what_to_do_about_each_grave_one():
    """At three in the morning nobody derives it."""
    runbook = (DOCS / "operations" / "incident-response.md").read_text()
    first_cells = " ".join(re.findall(r"^\| ([^|]+) \|", runbook.partition("## Events")[2], re.M))
    missing = [kind.value for kind in GRAVER if f"`{kind.value}`" not in first_cells]
    assert missing == []


def test_the_runbook_names_figures_that_exist():
    runbook = (DOCS / "operations" / "incident-response.md").read_text()
    table = runbook.partition("## Alerts")[2].partition("## Events")[0]
    cells = re.findall(r"^\| (`[^|]+) \|", table, re.M)
    names = re.findall(r"`([a-z_.0-9]+)`", " ".join(cells))
    assert len(names) > 10
    assert [name for name in names if not is_known(name)] == []
