"""The end of .ci/run: who reads only that must see every failure, and everything that was left out."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / ".ci" / "summary.py"
spec = importlib.util.spec_from_file_location("ci_summary", TOOL)
summary = importlib.util.module_from_spec(spec)
sys.modules["ci_summary"] = summary
spec.loader.exec_module(summary)

SUITE = """<?xml version="1.0" encoding="utf-8"?><testsuites><testsuite name="pytest" time="{time}">{cases}</testsuite>
</testsuites>"""
PASSED = '<testcase classname="tests.a" name="test_one[x]" time="{seconds}" />'
SKIPPED = """<testcase classname="tests.a" name="test_two" time="0.0"><skipped type="pytest.skip"
 message="{why}">/a.py:1: why</skipped></testcase>"""
FAILED = """<testcase classname="tests.b" name="test_bad" time="1.0"><failure message="assert 1 == 2">long
text</failure></testcase>"""
ERROR = (
    '<testcase classname="tests.b" name="test_setup" time="1.0"><error message="failed on setup">x</error></testcase>'
)


ONE = PASSED.format(seconds=0.5)


def left(folder, cases=(ONE,), result="success", notes="", steps=""):
    """What a run leaves in its folder."""
    (folder / "unit.xml").write_text(SUITE.format(time=61.0, cases="".join(cases)))
    session = {"name": "tests", "result": result, "result_code": 1, "duration": 125.0, "reason": None}
    (folder / "nox.json").write_text(json.dumps({"result": 1, "sessions": [session]}))
    (folder / "steps.tsv").write_text(steps)
    (folder / "notes.txt").write_text(notes)
    return summary.read_run(folder)


def test_sessions_that_differ_in_a_parameter_are_told_apart(tmp_path):
    left(tmp_path)
    common = {"name": "wheel", "result": "success", "duration": 1.0}
    sessions = [{**common, "signatures": [f"wheel(requirements='{which}')"]} for which in ("newest", "lowest")]
    (tmp_path / "nox.json").write_text(json.dumps({"sessions": sessions}))
    text = summary.told(summary.read_run(tmp_path))

    assert "nox -s wheel(requirements='newest')" in text
    assert "nox -s wheel(requirements='lowest')" in text


def test_a_good_run_tells_counts_and_times(tmp_path):
    run = left(tmp_path, steps="demo\t0\t12.5\n")
    text = summary.told(run)

    assert run.is_good
    assert "nothing was skipped" in text
    assert text.splitlines()[-1] == "everything that ran passed"
    assert [line.split() for line in text.splitlines() if line.startswith("  unit")] == [
        ["unit", "1", "0", "0", "1m", "01s"]
    ]
    assert "nox -s tests" in text
    assert "2m 05s" in text
    assert "0m 12s" in text


def test_what_was_skipped_is_told_with_its_reason_and_how_often(tmp_path):
    why = "not privileged: needs CAP_NET_ADMIN"
    run = left(
        tmp_path, cases=[PASSED.format(seconds=1), *[SKIPPED.format(why=why)] * 3], notes="chromium is not there\n"
    )
    text = summary.told(run)

    assert run.is_good
    assert f"3 x {why}" in text
    assert "machine: chromium is not there" in text


@pytest.mark.parametrize("case", [FAILED, ERROR])
def test_a_failure_is_named_and_ends_the_run_with_1(tmp_path, case):
    run = left(tmp_path, cases=[PASSED.format(seconds=1), case])
    text = summary.told(run)

    assert not run.is_good
    assert "1 failed:" in text
    assert "tests.b::test_" in text
    assert text.splitlines()[-1].startswith("FAILED: tests.b::test_")


@pytest.mark.parametrize(
    "harm",
    [
        lambda folder: (folder / "nox.json").unlink(),
        lambda folder: (folder / "nox.json").write_text("{"),
        lambda folder: (folder / "unit.xml").unlink(),
        lambda folder: (folder / "unit.xml").write_text("<testsuites><testsuite"),
        lambda folder: (folder / "unit.xml").write_text("<testsuites/>"),
        lambda folder: (folder / "steps.tsv").write_text("demo\t1\t3.0\n"),
        lambda folder: (folder / "steps.tsv").write_text("demo\n"),
    ],
)
def test_a_run_that_left_half_of_its_results_is_not_good(tmp_path, harm):
    """A session that is killed must not look like one that passed."""
    left(tmp_path)
    harm(tmp_path)
    run = summary.read_run(tmp_path)

    assert not run.is_good
    assert summary.told(run).splitlines()[-1].startswith("FAILED: ")


def test_a_session_that_failed_although_its_tests_passed_is_not_good(tmp_path):
    """Type checkers and simulations leave no file of cases: their last words say what is wrong."""
    log = "nox > Running session check\nfine\nnox > Running session tests\nsource.py:3: error: no\nnox > failed\n"
    (tmp_path / "nox.log").write_text(f"{log}nox > Running session docs\nfine\n")
    run = left(tmp_path, result="failed", steps="aether demo --kill leader\t1\t3.0\n")
    (tmp_path / "aether demo --kill leader.log").write_text("ORDERS\n1 order was lost\n")
    lines = summary.told(summary.read_run(tmp_path)).splitlines()

    assert not run.is_good
    assert lines[-1] == "FAILED: nox -s tests; aether demo --kill leader"
    told = lines[lines.index("the last words of nox -s tests:") :]
    assert told[1:3] == ["  source.py:3: error: no", "  nox > failed"]
    assert "  1 order was lost" in told
    assert "  fine" not in told


def test_last_words_are_few_and_short(tmp_path):
    left(tmp_path, steps="demo\t1\t3.0\n")
    (tmp_path / "demo.log").write_text("".join(f"{n} {'x' * 10_000}\n\n" for n in range(1_000)))
    said = summary.read_run(tmp_path).steps[-1].said

    assert [line[:3] for line in said] == [str(n) for n in range(1_000 - summary.LAST_WORDS, 1_000)]
    assert max(map(len, said)) == summary.LINE_CHARS


def test_the_verdict_is_one_line_however_much_failed(tmp_path):
    text = summary.told(left(tmp_path, cases=[FAILED.replace("test_bad", f"test_{n}") for n in range(30)]))

    assert "30 failed:" in text
    assert text.splitlines()[-1].endswith("20 tests more")


def test_the_slowest_ten_come_slowest_first(tmp_path):
    run = left(tmp_path, cases=[PASSED.format(seconds=n) for n in range(30)])
    lines = summary.told(run).partition("the slowest 10:\n")[2].splitlines()[:10]

    assert [float(line.split()[0]) for line in lines] == [29.0 - n for n in range(10)]


def test_as_a_command(tmp_path):
    left(tmp_path, cases=[FAILED])
    done = subprocess.run([sys.executable, str(TOOL), str(tmp_path)], capture_output=True, text=True, check=False)

    assert done.returncode == 1, done.stderr
    assert "tests.b::test_bad  assert 1 == 2" in done.stdout


def test_pytest_s_own_file_is_understood(tmp_path):
    """What pytest writes is the truth about its format."""
    (tmp_path / "test_it.py").write_text(
        "import pytest\ndef test_a(): pass\n"
        "@pytest.mark.skip(reason='no disk')\ndef test_b(): pass\ndef test_c(): assert 0\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "--junitxml=unit.xml", "test_it.py"]
    subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    suite = summary.read_suite(tmp_path / "unit.xml")

    assert {(t.name.rpartition(":")[2], t.outcome) for t in suite.tests} == {
        ("test_a", "passed"),
        ("test_b", "skipped"),
        ("test_c", "failed"),
    }
    assert [t.reason for t in suite.tests if t.outcome == "skipped"] == ["no disk"]


SCRIPT = """
set -euo pipefail
results=$1
eval "$(sed -n '/^logged()/,/^}/p;/^step()/,/^}/p' "$2")"
leaves() { echo words of a function; (sleep 30 & echo $! >"$results/left"); return 3; }
logged nox false || echo "nox: $?"
logged echo echo words of a program
step "a step" leaves
step good true
"""


def test_the_script_keeps_what_steps_say_and_how_they_end(tmp_path):
    """Functions and programs alike; and whatever they leave behind, it waits for no process of theirs."""
    command = ["bash", "-c", SCRIPT, "-", str(tmp_path), str(TOOL.with_name("run"))]
    with (tmp_path / "out").open("wb") as out, (tmp_path / "err").open("wb") as err:
        code = subprocess.run(command, stdout=out, stderr=err, timeout=20, check=False).returncode
    os.kill(int((tmp_path / "left").read_text()), signal.SIGKILL)

    assert (code, (tmp_path / "err").read_text()) == (0, "")
    assert (tmp_path / "out").read_text() == "nox: 1\nwords of a program\nwords of a function\n"
    assert (tmp_path / "a step.log").read_text() == "words of a function\n"
    assert (tmp_path / "echo.log").read_text() == "words of a program\n"
    steps = summary.read_steps((tmp_path / "steps.tsv").read_text(), tmp_path)
    assert [(step.name, step.is_good, step.words) for step in steps] == [
        ("a step", False, "exit code 3"),
        ("good", True, "success"),
    ]
