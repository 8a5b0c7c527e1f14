"""The soak runs, sees, and tells what it saw; whether anything grows takes an hour, and is not looked at here."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.soak import hours, report
from benchmarks.soak.__main__ import main
from benchmarks.soak.flatness import Finding, Trend
from benchmarks.soak.load import Placed, Tally, rows_of
from benchmarks.soak.run import CUSTOMERS, EVENTS, SAMPLES, Event, Soaked, SoakPlan
from benchmarks.soak.samples import CLUSTER, WATCHED, Sample, directory_figures, points, read_samples, write_sample

ROOT = Path(__file__).parents[2]
MIB = 2**20


def sample(at_s, node="node-1", life="1", **seen):
    return Sample(at_s=at_s, node=node, life=life, seen=seen)


def customers(at_s, **seen):
    told = {"requests": 10.0, "failed": 0.0, "asked_again": 0.0, "held": 0.0, "p50": 0.01, "p99": 0.1}
    return sample(at_s, CUSTOMERS, "run", **(told | seen))


def hour(rss_at=lambda t: 50.0):
    """One node that is looked at each half minute for an hour."""
    times = [30.0 * n for n in range(121)]
    return [sample(t, rss=rss_at(t) * MIB) for t in times] + [customers(t) for t in times]


def test_a_leak_is_told_and_ends_with_1():
    soaked = Soaked(SoakPlan(), hour(lambda t: 50 + t / 60))
    rows = report.rows_of(soaked.samples)

    assert [row.finding.trend for row in rows] == [Trend.GROWS]
    assert rows[0].finding.per_hour == pytest.approx(60, rel=0.01)
    assert report.exit_code(soaked, rows) == 1
    assert "**Grows: rss of node-1.**" in report.text(soaked, "nox", 60)


def test_a_flat_hour_ends_with_0_and_one_that_broke_a_promise_with_1():
    soaked = Soaked(SoakPlan(), hour())
    rows = report.rows_of(soaked.samples)
    assert report.exit_code(soaked, rows) == 0
    assert "| rss | node-1 | 1 | 50 MiB | 50 MiB | 50 MiB | +0.0 MiB | 40 min |" in report.text(soaked, "nox", 60)

    soaked.wrong.append("an order was lost")
    assert report.exit_code(soaked, rows) == 1
    assert "an order was lost" in report.text(soaked, "nox", 60)


def test_what_was_watched_for_a_minute_is_never_called_flat():
    soaked = Soaked(SoakPlan(), hour()[:3])
    rows = report.rows_of(soaked.samples)

    assert report.exit_code(soaked, rows) == 3
    assert report.exit_code(Soaked(SoakPlan()), []) == 3
    assert "too short" in report.text(soaked, "nox", 1)


def test_clients_are_summed_up():
    seen = report.clients_of([customers(1), customers(2, failed=2.0, p99=0.5), customers(3, requests=0.0)])

    assert (seen.requests, seen.failed) == (20, 2)
    assert (seen.p99_s, seen.p99_worst_s) == (pytest.approx(0.3), 0.5)


def test_samples_survive_the_file_and_are_told_apart_by_life(tmp_path):
    with (tmp_path / SAMPLES).open("w") as file:
        for each in (sample(1.0, rss=1.0 * MIB), sample(2.0, life="2", rss=2.0 * MIB, segments=3.0)):
            write_sample(each, file)
    samples = read_samples((tmp_path / SAMPLES).read_text())
    rss, segments = (next(figure for figure in WATCHED if figure.name == name) for name in ("rss", "segments"))

    assert [(p.value, p.life) for p in points(samples, rss, "node-1")] == [(1.0, "1"), (2.0, "2")]
    assert [(p.value, p.life) for p in points(samples, segments, "node-1")] == [(3.0, "run")]
    assert points(samples, rss, CLUSTER) == []


def test_a_process_that_lived_shortly_says_nothing_of_memory_and_the_witness_says_it_for_all():
    """What fills by number, such as the log that is held, fills in every new life."""
    others = [
        sample(t, node="node-2", life=str(t // 600), rss=(50.0 + t % 600 / 60) * MIB)
        for t in map(float, range(0, 3_600, 10))
    ]
    soaked = Soaked(SoakPlan(), samples=[*hour(), *others])
    rows = report.rows_of(soaked.samples)

    assert {row.node: row.finding.trend for row in rows if row.figure.name == "rss"} == {
        "node-1": Trend.FLAT,
        "node-2": Trend.TOO_SHORT,
    }
    assert report.exit_code(soaked, rows) == 0


def test_every_figure_can_be_called_flat_and_grown():
    for figure in WATCHED:
        assert 0 < figure.bound.per_hour < math.inf
        assert figure.bound.slack > 0


def test_a_directory_is_measured_by_what_it_takes(tmp_path):
    (tmp_path / "wal").mkdir()
    (tmp_path / "snapshots").mkdir()
    (tmp_path / "wal" / "1.wal").write_bytes(b"x" * 100_000)
    (tmp_path / "snapshots" / "1.snapshot").write_bytes(b"x" * 50_000)
    seen = directory_figures(tmp_path)

    assert seen["segments"] == 1
    assert 50_000 <= seen["snapshots"] < 100_000 <= seen["disk"] - seen["snapshots"] < 150_000


def test_every_row_of_an_order_is_deleted_when_it_is_old():
    order = Placed(0.0, "k", "ORD-0a1b2c3d", ("RES-0a1b2c3d-ABC123",))

    assert rows_of(order) == [
        "maps/orders/ORD-0a1b2c3d",
        "maps/inventory/reservation%2FORD-0a1b2c3d%2FPROD-ABC123",
    ]


def test_a_tally_of_nothing_has_figures():
    assert set(Tally().figures().values()) == {0.0}


def test_a_page_keeps_its_own_words(tmp_path):
    page = tmp_path / "soak.md"
    page.write_text("# Soak\n\nbefore\n")
    soaked = Soaked(SoakPlan(), hour(), [Event(at_s=60.0, words="kill -9 of node-2", well_s=3.0)])
    for minutes in (10, 20):
        report.put(page, report.text(soaked, "nox -s soak", minutes))
        page.write_text(page.read_text().rstrip() + "\n\nafter\n" if minutes == 10 else page.read_text())

    text = page.read_text()
    assert text.startswith("# Soak\n\nbefore\n")
    assert text.rstrip().endswith("after")
    assert text.count("nox -s soak`") == 2
    assert "20 minutes of" in text
    assert "| 1.0 min | kill -9 of node-2 | 3.0 s |" in text


REFUSED = [["--minutes", "0"], ["--nodes", "4"], ["--deadline", "600"], ["--virtual", "0"], ["--virtual", "25"]]


@pytest.mark.parametrize("arguments", REFUSED)
def test_what_cannot_be_run_is_refused(arguments):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)


@pytest.mark.timeout(180)
def test_a_minute_in_virtual_time_serves_every_request_and_is_too_short_to_say():
    """In a process of its own: it looks at every object sixty times, and those of all tests are many."""
    command = [sys.executable, "-m", "benchmarks.soak", "--virtual", "0.02", "--rate", "4"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=150, check=False)

    assert done.returncode == 3, done.stdout + done.stderr
    assert "WRONG" not in done.stdout
    assert "objects: too short" in done.stdout


@pytest.mark.parametrize(
    ("trends", "is_wrong", "code"),
    [
        ((Trend.FLAT, Trend.FLAT), False, 0),
        ((Trend.FLAT, Trend.FLAT), True, 1),
        ((Trend.TOO_SHORT, Trend.GROWS), False, 1),
        ((Trend.FLAT, Trend.TOO_SHORT), False, 3),
    ],
)
def test_hours_in_virtual_time_end_like_a_soak(trends, is_wrong, code):
    findings = {name: Finding(trend=trend) for name, trend in zip(hours.BOUNDS, trends, strict=True)}
    assert hours.told(findings, is_wrong, lambda line: None) == code


@pytest.mark.alone
@pytest.mark.process
@pytest.mark.timeout(400)
def test_a_short_soak_disturbs_and_measures_a_real_cluster(tmp_path, capsys):
    """Two disturbances in half a minute; every figure is seen, and nothing goes wrong."""
    options = ["--minutes", "0.5", "--calm", "3", "--every", "3", "--rate", "8", "--deadline", "60"]
    code = main([*options, "--folder", str(tmp_path)])
    told = capsys.readouterr().out
    events = [json.loads(line) for line in (tmp_path / EVENTS).read_text().splitlines()]
    samples = read_samples((tmp_path / SAMPLES).read_text())
    seen = {name for each in samples for name in each.seen}

    assert json.loads((tmp_path / "wrong.json").read_text()) == [], told
    assert code in (0, 3), told  # nothing can grow so much in so short a time; nor be called flat
    assert events
    assert not [event for event in events if event["wrong"]]
    assert {figure.name for figure in WATCHED} <= seen
    assert sum(each.seen["requests"] for each in samples if each.node == CUSTOMERS) > 10
