"""How nodes are doing, as people read it."""

import pytest

from aether.cli import metrics_commands
from aether.cli.main import run
from aether.cli.metrics_commands import curve

LOAD = {
    "node-1": {
        "cpu.usage": 0.255,
        "heap.used": 64 * 2**20,
        "heap.max": 2**30,
        "loop.lag_s": 0.0021,
        "raft.role": 2,
        "calls.rate": 120,
    }
}


@pytest.fixture
def answers(monkeypatch):
    """Of the node, by path; the queries that it was asked with."""
    found, asked = {}, []

    class Node:
        def __init__(self, _):
            pass

        def get(self, path, **query):
            asked.append((path, query))
            return found[path]

    monkeypatch.setattr(metrics_commands, "Connection", Node)
    found["asked"] = asked
    return found


def test_the_table_says_percent_milliseconds_and_who_leads(answers, capsys):
    answers["/metrics"] = {"load": LOAD, "deployments": {}}
    answers["/metrics/derived"] = {"nodes": {"node-1": {"healthScore": 0.987}}}

    assert run(["metrics"]) == 0
    _, line = capsys.readouterr().out.splitlines()
    assert line.split() == [
        *("node-1", "leader", "25.5", "%", "64/1024", "MiB", "2.1", "ms", "120", "-", "-", "-", "-", "-", "0.99")
    ]


def test_json_is_what_the_node_answered(answers, capsys):
    answers["/metrics"] = {"load": LOAD, "deployments": {}}

    assert run(["metrics", "-o", "json"]) == 0
    assert '"deployments": {}' in capsys.readouterr().out


def test_every_figure_of_one_node_has_its_unit_and_its_meaning(answers, capsys):
    answers["/metrics"] = {"load": LOAD, "deployments": {}}

    assert run(["metrics", "node", "node-1"]) == 0
    assert "how late the event loop ran at worst" in capsys.readouterr().out
    assert run(["metrics", "node", "node-7"]) == 2
    assert "there are those of node-1" in capsys.readouterr().err


def test_the_past_is_a_curve_of_blocks(answers, capsys):
    points = [{"timestamp": n, "metrics": {"cpu.usage": n / 10}} for n in range(11)]
    answers["/metrics/history"] = {"nodes": {"node-1": points, "node-2": []}}

    assert run(["metrics", "history", "cpu.usage", "--range", "1h"]) == 0
    assert "▁▂▂▃▄▅▆▆▇█" in capsys.readouterr().out
    assert answers["asked"] == [("/metrics/history", {"range": "1h", "metrics": "cpu.usage"})]


def test_minutes_may_be_those_of_one_node(answers, capsys):
    zeros = dict.fromkeys(("avgCpuUsage", "avgHeapUsage", "avgEventLoopLagMs", "totalInvocations", "errorRate"), 0)
    minute = {"minuteTimestamp": 0, "totalGcPauseMs": 0, "healthy": True, **zeros}
    minute |= dict.fromkeys(("latencyP50", "latencyP95", "latencyP99"), 1.5)
    answers["/metrics/comprehensive"] = {"minutes": {"node-1": [minute], "node-2": [minute]}}

    assert run(["metrics", "minutes", "--node", "node-2", "-n", "1"]) == 0
    assert capsys.readouterr().out.count("1.5 ms") == 3


def test_a_curve_shows_what_stands_out_however_narrow_it_is():
    assert curve([0.0] * 500 + [1.0] + [0.0] * 500, 1.0).count("█") == 1
    assert curve([0.0, 0.0], 0.0) == "  "
    assert curve([], 1.0) == ""
