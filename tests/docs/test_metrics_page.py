"""The page of metrics says what the code shows: every metric, its kind, its labels, what it is about."""

import re
from pathlib import Path

from aether.metrics.catalogue import LE_S, METRICS
from aether.metrics.slow_calls import DEFAULT, LEARNING_CALLS, Adaptive, show_strategy

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "metrics.md").read_text()
ROW = re.compile(r"^\| `(aether_\w+)` \| (\w+) \| (.*?) \| (.+) \|$", re.M)


def test_every_metric_has_its_row_and_every_row_its_metric():
    rows = {name: (kind, re.findall(r"`(\w+)`", labels), about) for name, kind, labels, about in ROW.findall(PAGE)}

    assert rows == {m.name: (m.kind.value, list(m.labels), m.about) for m in METRICS.values()}


def test_the_default_strategy_is_the_one_that_is_told():
    assert Adaptive(0.01, 1.0, 3.0) == DEFAULT
    assert "`adaptive` (the default: 10 ms, 1 s, 3 times)" in PAGE
    assert LEARNING_CALLS == 10
    assert "for the first ten calls" in PAGE
    for kind in ("fixed", "adaptive", "perMethod", "composite"):
        assert f"| `{kind}`" in PAGE
    assert show_strategy(DEFAULT)["type"] == "adaptive"


def test_bounds_of_the_histogram_grow():
    assert list(LE_S) == sorted(set(LE_S))
