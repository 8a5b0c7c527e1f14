"""What is shipped for Prometheus and Grafana speaks of metrics that exist, and promtool accepts it."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from aether.metrics.catalogue import METRICS, Kind

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "aether.rules.yml"
DASHBOARD = DEPLOY / "grafana" / "aether.json"
NAME = re.compile(r"(?<![\w:])aether_\w+(?!:)\b")
SUFFIXES = ("_bucket", "_sum", "_count")

needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool: Debian's package prometheus")


def promtool(*words):
    return subprocess.run(["promtool", *words], capture_output=True, text=True, timeout=120, check=False)


def sample_names():
    for metric in METRICS.values():
        if metric.kind is Kind.HISTOGRAM:
            yield from (metric.name + suffix for suffix in SUFFIXES)
        else:
            yield metric.name


def expressions(value):
    """Every query in a dashboard, wherever it stands."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in ("expr", "query") and isinstance(inner, str):
                yield inner
            yield from expressions(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from expressions(inner)


def labels_of(expression):
    """(metric, label) of each matcher."""
    for name, matchers in re.findall(r"(aether_\w+)\{([^}]*)\}", expression):
        for label in re.findall(r"(\w+)\s*(?:=~|!=|!~|=)", matchers):
            yield name.removesuffix("_bucket"), label


def test_every_metric_in_a_rule_exists():
    named = set(NAME.findall(RULES.read_text()))

    assert len(named) > 10
    assert named <= set(sample_names())


def test_every_metric_in_the_dashboard_exists_and_has_the_labels_that_it_is_asked_for():
    """A panel without data looks like a system without trouble."""
    queries = list(expressions(json.loads(DASHBOARD.read_text())))
    named = {name for query in queries for name in NAME.findall(query)}

    assert len(named) > 20
    assert named <= set(sample_names())
    for query in queries:
        for name, label in labels_of(query):
            assert label in METRICS[name].labels, f"{name} has no label {label}"


def test_every_kind_of_metric_is_on_the_dashboard():
    """What nobody looks at need not be told."""
    named = {name for query in expressions(json.loads(DASHBOARD.read_text())) for name in NAME.findall(query)}
    own = {name for name in sample_names() if not name.startswith("aether_node_") and not name.endswith(SUFFIXES[1:])}

    assert own <= named


def test_panels_do_not_cover_each_other():
    taken = {}
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        place = panel["gridPos"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert x < 24
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]


@needs_promtool
def test_promtool_accepts_the_rules():
    done = subprocess.run(
        ["promtool", "check", "rules", RULES], capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 0, done.stderr
    assert "SUCCESS" in done.stdout


@needs_promtool
def test_the_rules_fire_when_they_should_and_only_then():
    done = promtool("test", "rules", RULES.with_name("aether.rules_test.yml"))

    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
@pytest.mark.parametrize("query", sorted({*expressions(json.loads(DASHBOARD.read_text()))}))
def test_every_query_of_the_dashboard_is_one(query, tmp_path):
    """Grafana's own words are replaced by what it puts in their place."""
    if query.startswith("label_values") or "aether_" not in query:
        return
    written = query.replace("$__rate_interval", "1m").replace("$artifact", ".*")
    rules = {"groups": [{"name": "g", "rules": [{"record": "r", "expr": written}]}]}
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps(rules))
    done = promtool("check", "rules", file)

    assert done.returncode == 0, done.stderr
