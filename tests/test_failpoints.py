"""Failures that tests of real processes ask for by name."""

from __future__ import annotations

import errno
import random
import signal
import subprocess
import sys

import pytest

from aether.errors import BadInput
from aether.failpoints import Failpoints, Failure, from_environment, nothing, parse_plan

PLACES = {"wal.before_sync": "", "kv.before_answer": "", "snapshot.before_rename": ""}


def armed(text, **settings):
    return Failpoints(parse_plan(text, PLACES), random.Random(1), **settings)


def failures(points, place, times):
    """At which of `times` hits an error happened."""
    seen = []
    for hit in range(1, times + 1):
        try:
            points.reach(place)
        except OSError:
            seen.append(hit)
    return seen


def test_a_plan_is_read_term_by_term():
    """What a test writes into one environment variable."""
    plan = "wal.before_sync=crash@3; kv.before_answer=sleep(200)@%2.5;snapshot.before_rename=error(EIO)@2+"
    assert parse_plan(plan, PLACES) == (
        Failure("wal.before_sync", crash=True, hit=3),
        Failure("kv.before_answer", sleep_ms=200, percent=2.5),
        Failure("snapshot.before_rename", error=errno.EIO, hit=2, on=True),
    )


@pytest.mark.parametrize(
    ("plan", "why"),
    [
        ("wal.before_snc=crash", "no such place; there are kv.before_answer"),
        ("wal.before_sync", "PLACE=crash"),
        ("wal.before_sync=explode", "PLACE=crash"),
        ("wal.before_sync=crash@soon", "PLACE=crash"),
        ("wal.before_sync=error(ENOSUCH)", "an errno by name"),
        ("wal.before_sync=sleep(9999999)", "at most"),
    ],
)
def test_a_plan_that_cannot_come_true_is_refused(plan, why):
    """A test whose failure never happens would pass for the wrong reason."""
    with pytest.raises(BadInput, match=why):
        parse_plan(plan, PLACES)


def test_a_failure_happens_at_its_hit_and_not_before():
    """So that a test can let a node get going first."""
    assert failures(armed("wal.before_sync=error(EIO)@3"), "wal.before_sync", 5) == [3]
    assert failures(armed("wal.before_sync=error(EIO)@3+"), "wal.before_sync", 5) == [3, 4, 5]
    assert failures(armed("wal.before_sync=error(EIO)"), "kv.before_answer", 5) == []
    assert 10 < len(failures(armed("wal.before_sync=error(ENOSPC)@%20"), "wal.before_sync", 100)) < 40


def test_the_error_is_the_one_of_the_operating_system():
    """What stands behind it must not be able to tell."""
    with pytest.raises(OSError, match=r"wal\.before_sync") as raised:
        armed("wal.before_sync=error(ENOSPC)").reach("wal.before_sync")
    assert raised.value.errno == errno.ENOSPC


def test_the_log_tells_what_was_reached_even_when_the_process_did_not_live(tmp_path):
    """A long run proves by it that no place is dead."""
    log = tmp_path / "reached"
    script = (
        "import random; from aether.failpoints import Failpoints, parse_plan;"
        "p = {'a': '', 'b': ''};"
        f"f = Failpoints(parse_plan('b=crash', p), random.Random(), {str(log)!r});"
        "f.reach('a'); f.reach('a'); f.reach('b'); f.reach('never')"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -signal.SIGKILL
    assert log.read_text().split() == ["a", "b"]


def test_nothing_is_armed_by_default():
    """Production pays one call of an empty function."""
    assert from_environment({}, random.Random()) is nothing
    assert from_environment({"AETHER_FAILPOINTS_LOG": "/dev/null"}, random.Random()) is not nothing
