"""The page of the scenarios lists every scenario, invents none, and says of each what its body says."""

import re

import pytest
from tests.scenarios.registry import COUNTS, MODULES, ORDINARY, all_scenarios
from tests.scenarios.report import NOT_RUN, PAGE, ROW, Figures, measured, on_page, page, with_measured

TEXT = PAGE.read_text()
FIGURE = re.compile(rf"(\d+\.\d s|failed), 20\d\d-\d\d-\d\d|{NOT_RUN}")


def kind_of(name):
    return name.partition(".")[0]


def test_all_eighty_are_there_in_twelve_classes():
    kinds = [kind_of(each.name) for each in all_scenarios()]

    assert len(MODULES) == 12
    assert {kind: kinds.count(kind) for kind in kinds} == COUNTS


def test_thirty_of_all_classes_run_on_processes_every_time():
    assert len(ORDINARY) == 30
    assert {each.name for each in all_scenarios()} >= ORDINARY
    assert {kind_of(name) for name in ORDINARY} == set(COUNTS)


def test_the_page_is_what_the_registry_says():
    run = next((line for line in TEXT.splitlines() if line.startswith("Last report: ")), "")

    assert page(all_scenarios(), on_page(TEXT), run) == TEXT


@pytest.mark.parametrize("name", [each.name for each in all_scenarios()])
def test_every_scenario_has_its_figures(name):
    seen = on_page(TEXT)[name]

    assert FIGURE.fullmatch(seen.memory)
    assert FIGURE.fullmatch(seen.processes)


def test_figures_come_from_reports_and_those_that_did_not_run_keep_theirs(tmp_path):
    report = tmp_path / "r.xml"
    report.write_text(
        '<testsuites><testsuite timestamp="2026-01-02T03:04:05" time="9">'
        '<testcase name="test_on_processes[A.b]" time="4.26"/>'
        '<testcase name="test_on_processes[A.c]" time="1"><failure/></testcase>'
        '<testcase name="test_in_memory[A.d]" time="1"><skipped/></testcase>'
        '<testcase name="test_of_something_else" time="1"/></testsuite></testsuites>'
    )
    before = {"A.b": Figures("0.1 s, 2026-01-01", "5.0 s, 2026-01-01"), "A.d": Figures()}

    assert with_measured(before, measured(report)) == {
        "A.b": Figures("0.1 s, 2026-01-01", "4.3 s, 2026-01-02"),
        "A.c": Figures(NOT_RUN, "failed, 2026-01-02"),
        "A.d": Figures(),
    }
    assert ROW.match("| `b` * | It is so. | not run | 4.3 s, 2026-01-02 |")["proves"] == "It is so."
