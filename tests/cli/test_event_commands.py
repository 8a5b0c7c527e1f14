"""`aether events`, `alerts` and `thresholds`, as an operator types them: on a real node."""

from __future__ import annotations

import json
import os
import sys

import pytest
import trio

import aether
from aether.cli.event_stream import Received, follow, read_events
from aether.cli.exits import CommandFailed, Exit
from aether.cli.main import run


async def aether_run(address, *words):
    line = [sys.executable, "-m", "aether", *words]
    environment = {**os.environ, "AETHER_CONNECT": address}
    done = await trio.run_process(line, capture_stdout=True, capture_stderr=True, check=False, env=environment)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


async def test_a_threshold_is_set_listed_and_removed_and_its_events_are_there(tmp_path):
    async with aether.Cluster.open(name="a", management=0) as cluster:
        address = cluster.addresses.management_address
        code, _, said = await aether_run(address, "thresholds", "set", "my.queue", "-w", "5", "-c", "9")
        assert code == 0, said
        assert "no node tells a figure called my.queue" in said
        code, out, _ = await aether_run(address, "thresholds", "-o", "json")
        assert code == 0
        assert json.loads(out)["my.queue"]["critical"] == 9
        code, _, said = await aether_run(address, "thresholds", "set", "my.queue", "-w", "9", "-c", "5")
        assert code == 1
        assert "warning 9 lies above critical 5" in said
        assert (await aether_run(address, "thresholds", "remove", "my.queue"))[0] == 0
        code, out, _ = await aether_run(address, "events", "--type", "THRESHOLD_SET", "--since", "10m", "-o", "jsonl")
        assert code == 0
        assert [json.loads(line)["subject"] for line in out.splitlines()] == ["my.queue"]
        code, out, _ = await aether_run(address, "alerts")
        assert (code, out.split()[:3]) == (0, ["AT", "STATUS", "SEVERITY"])
        code, out, _ = await aether_run(address, "alerts", "sinks", "--no-log", "-o", "json")
        assert (code, json.loads(out)["log"]) == (0, False)
        hooks = tmp_path / "hooks.txt"
        hooks.write_text("https://hooks.example.com/s3cr3t\n\n")
        code, out, _ = await aether_run(address, "alerts", "sinks", "--webhooks", str(hooks))
        assert code == 0
        assert "https://hooks.example.com/..." in out
        assert "s3cr3t" not in out
        assert (await aether_run(address, "alerts", "sinks", "--webhooks", str(tmp_path / "none")))[0] == 2
        assert (await aether_run(address, "alerts", "clear"))[0] == 0


@pytest.mark.parametrize("since", ["yesterday", "n1:i:3"])
def test_since_that_is_nothing_is_a_usage_error(since, capsys):
    assert run(["events", "--since", since]) == 2
    assert "is no id, span or time" in capsys.readouterr().err


def test_a_stream_is_read_however_it_is_cut():
    text = b'retry: 1000\n\n:\n\nid: 7.0\ndata: {"a":1}\n\nevent: truncated\r\ndata: {}\r\n\r\ndata: half'
    for size in (1, 2, 3, 7, 1000):
        parts = [text[at : at + size] for at in range(0, len(text), size)]
        assert list(read_events(parts)) == [
            Received(id="7.0", data='{"a":1}'),
            Received(name="truncated", data="{}"),
        ]


class Broken:
    """Streams that break off, one after the other."""

    def __init__(self, *streams):
        self.streams, self.asked = list(streams), []

    def stream(self, path, *, accept, **query):
        self.asked.append(query)
        yield from self.streams.pop(0)
        raise CommandFailed(Exit.CANNOT_CONNECT, "it broke off")


def test_a_stream_that_breaks_is_taken_up_behind_the_last_id():
    connection, clock = Broken([b"id: 7.0\ndata: 1\n\ndata: 2\n\n"], [], [b"id: 8.0\ndata: 3\n\n"], []), [0.0]

    def sleep(seconds):
        clock[0] += 10 * seconds

    following = follow(connection, {"type": "X"}, sleep=sleep, now=lambda: clock[0])
    assert [next(following) for _ in range(3)] == [("", 1), ("", 2), ("", 3)]
    assert connection.asked[:3] == [{"type": "X"}, {"type": "X", "since": "7.0"}, {"type": "X", "since": "7.0"}]


def test_a_quiet_cluster_is_followed_through_a_restart_of_its_node():
    """Nothing may have happened for an hour, or at all, before the node goes away for a moment."""
    clock = [0.0]

    class Quiet(Broken):
        def stream(self, path, *, accept, **query):
            clock[0] += 3_600
            yield from super().stream(path, accept=accept, **query)

    def sleep(seconds):
        clock[0] += seconds

    connection = Quiet([b":\n\n"], [b"id: 8.0\ndata: 3\n\n"])
    assert next(follow(connection, {}, sleep=sleep, now=lambda: clock[0])) == ("", 3)
    nothing_yet = Broken([], [b"id: 8.0\ndata: 3\n\n"])
    assert next(follow(nothing_yet, {}, answered=True, sleep=sleep, now=lambda: clock[0])) == ("", 3)


def test_a_node_that_stays_away_is_given_up():
    connection, clock = Broken(*([] for _ in range(100))), [0.0]

    def sleep(seconds):
        clock[0] += seconds

    with pytest.raises(CommandFailed):
        next(follow(connection, {}, answered=True, sleep=sleep, now=lambda: clock[0]))
    assert 30 <= clock[0] <= 32


def test_a_node_that_never_answered_is_not_waited_for():
    with pytest.raises(CommandFailed):
        next(follow(Broken([]), {}, sleep=lambda _: None, now=lambda: 0.0))
