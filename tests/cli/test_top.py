"""`aether top` and `aether artifact`: what is shown of the answers."""

import json

import pytest

from aether.cli.main import run
from aether.cli.top_command import busiest, node_row

FIGURES = {"cpu.usage": 0.514, "heap.used": 52_428_800.0, "loop.lag_s": 0.00123, "raft.role": 2.0, "calls.rate": 3.14}


def snapshot(method, rate, count=10):
    return {
        "artifact": "shop:pricing:1.0.0", "method": method, "count": count, "slowInvocations": 0, "inFlight": 1,
        "recent": {"requestsPerSecond": rate, "failureRate": 0.5, "p50Ms": 1.0, "p95Ms": 2.0, "p99Ms": 3.0},
    }  # fmt: skip


@pytest.fixture
def measured(port):
    port.answers["/metrics"] = {"load": {"node-2": {}, "node-1": FIGURES}, "ageSeconds": {"node-1": 1, "node-2": 9.2}}
    port.answers["/invocation-metrics"] = {"snapshots": [snapshot("quote", 1.0), snapshot("busy", 9.0)]}
    return port


def test_a_node_is_shown_in_units_that_people_read():
    row = node_row("node-1", FIGURES, 1.0)

    assert (row["cpu"], row["memory"], row["loopLag"], row["role"]) == ("51 %", "50 MiB", "1.2 ms", "LEADER")
    assert row["age"] is None


def test_figures_that_are_stuck_say_their_age_and_unknown_ones_are_left_out():
    """A frozen figure looks like a calm node."""
    row = node_row("node-2", {}, 9.2)
    assert row["age"] == "9 s old"
    assert row["cpu"] is row["role"] is row["memory"] is None


def test_the_busiest_methods_come_first():
    answer = {"snapshots": [snapshot("a", 0.0, 5), snapshot("b", 7.0), snapshot("c", 0.0, 50)]}
    assert [row["method"] for row in busiest(answer, 2)] == ["b", "c"]


def test_one_picture(measured, capsys):
    assert run(["top", "--once", "-c", measured.address]) == 0
    printed = capsys.readouterr().out
    assert printed.index("LEADER") < printed.index("busy") < printed.index("quote")
    assert run(["top", "--once", "-n", "1", "-o", "json", "-c", measured.address]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [node["node"] for node in answer["nodes"]] == ["node-1", "node-2"]
    assert [method["method"] for method in answer["methods"]] == ["busy"]


def test_before_the_first_call(measured, capsys):
    measured.answers["/invocation-metrics"] = {"snapshots": []}
    assert run(["top", "--once", "-c", measured.address]) == 0
    assert "no calls" in capsys.readouterr().out


@pytest.mark.process
def test_it_is_live_on_a_terminal(measured, terminal):
    program = terminal("top", "--interval", "0.2", "-c", measured.address)
    program.wait_for("LEADER")
    measured.answers["/invocation-metrics"] = {"snapshots": [snapshot("fresh", 2.0)]}
    program.wait_for("fresh")
    program.press("\x03")
    assert program.ended() == 130


# --- the artifact repository ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "verb", "path"),
    [
        ("list", "GET", "/repository/artifacts"),
        ("versions shop.orders:place-order", "GET", "/repository/info/shop/orders/place-order"),
        (
            "deploy FILE -g shop.orders -a place-order -v 1.2.0",
            "PUT",
            "/repository/shop/orders/place-order/1.2.0/place.whl",
        ),
    ],
)
def test_a_release_without_a_repository_says_so(port, tmp_path, capsys, arguments, verb, path):
    """It is a command of the original: whoever types it shall learn how code reaches nodes now."""
    file = tmp_path / "place.whl"
    file.write_bytes(b"[]")
    port.answers[path] = (501, {"detail": "there is no artifact repository yet", "type": "urn:aether:no-repository"})

    words = [str(file) if word == "FILE" else word for word in arguments.split()]
    assert run(["artifact", *words, "-c", port.address]) == 1
    assert "no artifact repository yet" in capsys.readouterr().err
    assert [asked[:2] for asked in port.asked] == [(verb, path)]


@pytest.mark.parametrize(
    "arguments", ["versions shop", "versions ..:x", "versions a/b:c", "deploy /nowhere -g a -a b -v 1"]
)
def test_what_is_no_artifact_never_becomes_a_path(port, capsys, arguments):
    assert run(["artifact", *arguments.split(), "-c", port.address]) == 2
    assert port.asked == []
