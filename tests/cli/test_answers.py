"""What a node, or something else that listens, answers, and what the user then reads."""

import http.server
import json
import threading

import pytest

from aether.cli.main import run
from aether.cli.options import user_name
from aether.node.tokens import published


class Listener(http.server.BaseHTTPRequestHandler):
    """Answers from the list that its server carries, in turn; remembers the tokens it was shown."""

    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append((self.path, json.loads(body or "null")))
        self.server.tokens.append(self.headers.get("Authorization"))
        self.server.hosts.append(self.headers["Host"])
        self.server.before_answer()
        status, body = self.server.answers.pop(0)
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def do_POST(self):
        self.do_GET()

    def log_message(self, *_):
        pass


@pytest.fixture
def listener(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("AETHER_TOKEN", raising=False)
    with http.server.HTTPServer(("127.0.0.1", 0), Listener) as server:
        server.tokens, server.asked, server.hosts, server.before_answer = [], [], [], lambda: None
        server.address = f"127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_the_token_of_a_node_that_is_just_starting_is_found(listener, capsys):
    """`aether node & aether deploy` in a script: the port answers a moment before the token lies where tools look."""
    left = published(listener.address, "t" * 32)
    listener.before_answer = lambda: listener.tokens == [None] and left.__enter__()
    listener.answers = [(401, {"detail": "no token"}), (200, {"status": "undeployed", "artifact": "a:b"})]

    assert run(["undeploy", "a:b", "-c", listener.address]) == 0
    assert listener.tokens == [None, f"Bearer {'t' * 32}"]
    left.__exit__(None, None, None)


def test_a_token_that_a_node_left_goes_to_the_address_where_that_node_listens(listener, capsys):
    """`localhost` may be ::1 first, where another user listens on the same port."""
    _, _, port = listener.address.rpartition(":")
    left = published(listener.address, "t" * 32)
    listener.before_answer = lambda: listener.tokens == [None] and left.__enter__()
    listener.answers = [(401, {"detail": "no token"}), (200, {"status": "undeployed", "artifact": "a:b"})]

    assert run(["undeploy", "a:b", "-c", f"localhost:{port}"]) == 0
    assert list(zip(listener.tokens, listener.hosts, strict=True)) == [
        (None, f"localhost:{port}"),
        (f"Bearer {'t' * 32}", f"127.0.0.1:{port}"),
    ]
    left.__exit__(None, None, None)


def test_a_wrong_token_is_shown_once(listener, capsys):
    listener.answers = [(401, {"detail": "wrong"})]

    assert run(["undeploy", "a:b", "--token", "x", "-c", listener.address]) == 4
    assert listener.tokens == ["Bearer x"]


def test_the_port_of_the_routes_is_told_apart_from_the_management_port(listener, capsys):
    """The two ports are neighbours, and the wrong one answers politely."""
    listener.answers = [(404, {"detail": "no route 'GET /status'", "kind": "route"})]

    assert run(["status", "-c", listener.address]) == 1
    assert "management port" in capsys.readouterr().err


def test_members_that_do_not_answer_are_shown(listener, capsys):
    """Whoever asks for the nodes after an outage looks for the one that is missing."""
    listener.answers = [(200, {"members": [{"id": "node-2", "state": "UNREACHABLE", "isLeader": False}]})]

    assert run(["nodes", "-c", listener.address]) == 0
    assert "UNREACHABLE" in capsys.readouterr().out


def test_health_says_what_is_missing(listener, capsys):
    """Every refusal for want of a majority sends people to this command."""
    answer = {"status": "degraded", "quorum": True, "problems": ["node node-3 is not reachable from here"]}
    listener.answers = [(200, answer), (200, answer)]

    assert run(["health", "-c", listener.address]) == 0
    assert "node node-3 is not reachable from here" in capsys.readouterr().out.splitlines()
    assert run(["health", "-o", "json", "-c", listener.address]) == 0
    assert json.loads(capsys.readouterr().out) == answer


def test_undeploying_what_nobody_wanted_says_so_beside_the_answer(listener, capsys):
    """A misspelt name must not look like a success; scripts go on."""
    done = {"status": "undeployed", "artifact": "a:b", "revision": 1}
    listener.answers = [(200, {**done, "wasWanted": False}), (200, {**done, "wasWanted": True})]

    assert run(["undeploy", "a:b", "-c", listener.address]) == 0
    assert "nobody wanted a:b" in capsys.readouterr().err
    assert run(["undeploy", "a:b", "-c", listener.address]) == 0
    assert capsys.readouterr().err == ""


def test_a_route_that_never_answers_says_whose_does(listener, capsys):
    route = {"method": "GET", "path": "/a", "artifact": "x:y", "sliceMethod": "m"}
    listener.answers = [(200, {"routes": [route, {**route, "artifact": "z:z", "shadowedBy": "x:y"}]})]

    assert run(["routes", "-c", listener.address]) == 0
    assert "SHADOWEDBY" in capsys.readouterr().out


def test_a_blueprint_without_a_text_has_no_time(listener, capsys):
    """`app` of an opening process was never applied; 1970 would be a lie."""
    row = {"id": "app", "number": 0, "slices": ["a:b:1.0.0"], "appliedBy": "", "appliedAt": 0.0}
    listener.answers = [(200, {"blueprints": [row]})]

    assert run(["blueprint", "list", "-c", listener.address]) == 0
    assert "1970" not in capsys.readouterr().out


def test_the_time_of_a_blueprint_can_be_read(listener, capsys):
    row = {"id": "app", "number": 1, "slices": [], "appliedBy": "admin", "appliedAt": 1_700_000_000.25}
    listener.answers = [(200, {"blueprints": [row]}), (200, {"blueprints": [row]})]

    run(["blueprint", "list", "-c", listener.address])
    assert "2023-11-1" in capsys.readouterr().out
    run(["blueprint", "list", "-o", "json", "-c", listener.address])
    assert json.loads(capsys.readouterr().out)["blueprints"] == [row]


def test_a_first_blueprint_is_written_whole_or_not_at_all(capsys):
    """Its output is usually a file: half a blueprint there would be applied some day."""
    assert run(["blueprint", "init", "--app", "no_such_module"]) == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("command", "path"),
    [
        ("show", "/blueprints/a%2Fb%3F%23"),
        ("history", "/blueprints/a%2Fb%3F%23/history"),
        ("rollback", "/blueprints/a%2Fb%3F%23/rollback"),
        ("delete", "/blueprints/a%2Fb%3F%23/delete"),
    ],
)
def test_an_odd_id_of_a_blueprint_reaches_the_node_as_typed(listener, capsys, command, path):
    """It must not become another path, or a query: the node says what is wrong with it."""
    listener.answers = [(404, {"detail": "no blueprint 'a/b?#'"})]

    assert run(["blueprint", command, "a/b?#", "-c", listener.address, "--token", "t"]) == 1
    assert [asked for asked, _ in listener.asked] == [path]


# --- members ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["members"], ["members", "list"]])
def test_the_members_are_listed_with_their_kind(listener, capsys, words):
    member = {"id": "node-2", "kind": "WORKER", "state": "ON_DUTY", "isLeader": False, "clusterAddress": "h:1"}
    listener.answers = [(200, {"members": [member | {"leaving": False}, member | {"id": "node-3", "leaving": True}]})]

    assert run([*words, "-c", listener.address]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0][:3] == ["ID", "KIND", "STATE"]
    assert [line[:3] for line in lines[1:]] == [["node-2", "WORKER", "ON_DUTY"], ["node-3", "WORKER", "LEAVING"]]


@pytest.mark.parametrize(("option", "said"), [((), {}), (("-n", "3"), {"instances": 3})])
def test_deploy_says_a_count_only_when_it_was_given_one(listener, option, said):
    """A count that nobody typed would outweigh the class, and what was scaled before."""
    listener.answers = [(200, {"status": "deployed", "artifact": "a:b:1.0.0"})]

    assert run(["deploy", "a:b:1.0.0", *option, "--token", "x", "-c", listener.address]) == 0

    assert listener.asked == [("/deploy", {"artifact": "a:b:1.0.0", **said})]


@pytest.mark.parametrize(
    ("arguments", "path", "body"),
    [
        (["add", "n4", "h:1"], "add", {"node": "n4", "address": "h:1"}),
        (["remove", "n4"], "remove", {"node": "n4"}),
        (["promote", "n4"], "promote", {"node": "n4"}),
        (["demote", "n4"], "demote", {"node": "n4"}),
        (["transfer-leader", "n4"], "transfer-leader", {"node": "n4"}),
        (["transfer-leader"], "transfer-leader", {}),
    ],
)
def test_each_change_of_the_membership_is_one_request(listener, capsys, arguments, path, body):
    listener.answers = [(200, {"status": "done", "node": "n4", "pending": ["n4 is not yet there"], "revision": 7})]

    assert run(["members", *arguments, "--wait", "5", "-c", listener.address]) == 0
    assert listener.asked == [(f"/members/{path}?wait=5", body)]
    assert "n4 is not yet there" in capsys.readouterr().out


def test_a_change_that_is_not_through_in_time_ends_with_its_own_code(listener, capsys):
    listener.answers = [(504, {"detail": "after 5 s not all is as wanted: n4 is not yet a voter"})]

    assert run(["members", "promote", "n4", "--wait", "5", "-c", listener.address]) == 5
    assert "not yet a voter" in capsys.readouterr().err


U = {
    "updateId": "r1", "artifact": "shop:pricing", "oldVersion": "1.0.0", "newVersion": "2.0.0", "strategy": "ROLLING",
    "routing": "1:3", "step": 0, "paused": False, "reason": "", "waitsFor": "", "oldActive": 1, "newActive": 3,
    "oldInstances": 1, "newInstances": 3, "updatedAt": 0.0, "health": {},
}  # fmt: skip
BY_ME = {"by": user_name()}


@pytest.mark.parametrize(
    ("arguments", "path", "body"),
    [
        (
            "rollout start shop:pricing 2.0.0 -s canary --steps 5,50",
            "/rollouts/start",
            {"artifact": "shop:pricing", "version": "2.0.0", "strategy": "canary", "steps": "5,50", **BY_ME},
        ),
        (
            "update start shop:pricing 2.0.0 -n 3 --latency 500 --manual-approval --cleanup grace_period",
            "/rolling-update/start",
            {
                "artifact": "shop:pricing", "version": "2.0.0", "instances": 3, "maxLatencyMs": 500.0,
                "requireManualApproval": True, "cleanupPolicy": "GRACE_PERIOD", **BY_ME,
            },
        ),
        ("update routing r1 -r 1:3", "/rollouts/r1/routing", {"routing": "1:3"}),
        ("rollout rollback shop:pricing", "/rollouts/shop%3Apricing/rollback", BY_ME),
        ("rollout approve", "/rollouts/current/approve", {}),
        ("rollout status --watch", "/rollouts/current", None),
    ],
)  # fmt: skip
def test_a_word_about_an_update_is_asked_as_written(listener, capsys, arguments, path, body):
    listener.answers = [(200, U | {"state": "COMPLETED"})]
    assert run([*arguments.split(), "-c", listener.address, "--token", "t"]) == 0
    assert listener.asked == [(path, body)]
    assert "COMPLETED" in capsys.readouterr().out


@pytest.mark.parametrize("status", [400, 404, 409])
def test_what_is_refused_about_an_update_is_read_and_fails(listener, capsys, status):
    """0:0, an unknown id, complete before routed: the answer's own words."""
    listener.answers = [(status, {"title": "no", "status": status, "detail": "0:0 gives nobody any traffic"})]
    assert run(["rollout", "routing", "r1", "-r", "0:0", "-c", listener.address, "--token", "t"]) in (1, 4)
    assert "0:0 gives nobody any traffic" in capsys.readouterr().err


SNAPSHOT = {
    "artifact": "shop:pricing:1.0.0", "method": "quote", "count": 3, "failureCount": 1, "inFlight": 0,
    "p50DurationNs": 10_000_000, "p95DurationNs": 2e7, "p99DurationNs": 2e7, "p999DurationNs": 2.5e7,
    "slowInvocations": 2, "recent": {"requestsPerSecond": 0.5},
}  # fmt: skip


def test_how_calls_go_is_a_table(listener, capsys):
    listener.answers = [(200, {"snapshots": [SNAPSHOT]})]

    assert run(["invocation-metrics", "list", "--method", "quote", "-c", listener.address]) == 0
    assert listener.asked == [("/invocation-metrics?method=quote", None)]
    head, row = capsys.readouterr().out.splitlines()
    assert head.split()[-5:] == ["P50MS", "P95MS", "P99MS", "P999MS", "SLOWINVOCATIONS"]
    assert row.split() == ["shop:pricing:1.0.0", "quote", "3", "1", "0", "0.5", "10.0", "20.0", "20.0", "25.0", "2"]


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        ("fixed", {"type": "fixed"}),
        ("fixed 250", {"type": "fixed", "thresholdMs": 250}),
        ("adaptive", {"type": "adaptive"}),
        ("adaptive 5 500 --multiplier 4", {"type": "adaptive", "minMs": 5, "maxMs": 500, "multiplier": 4}),
        ("per-method 50 --for a=1", {"type": "perMethod", "defaultMs": 50, "methods": {"a": 1}}),
        (
            "composite 5 --for g:a/m=1",
            {
                "type": "composite",
                "strategies": [{"type": "perMethod", "methods": {"g:a/m": 1}}, {"type": "adaptive", "minMs": 5}],
            },
        ),
    ],
)
def test_a_strategy_for_slow_calls_is_typed_as_in_the_original_and_more(listener, capsys, typed, sent):
    answer = {"status": "strategy_set", "strategy": sent, "revision": 7}
    listener.answers = [(200, answer)]

    assert run(["invocation-metrics", "strategy", *typed.split(), "-c", listener.address]) == 0
    assert listener.asked == [("/invocation-metrics/strategy", sent)]
    assert "strategy_set" in capsys.readouterr().out


@pytest.mark.parametrize(
    "typed",
    ["slowest", "fixed -1", "fixed 1 2", "adaptive 1 2 3", "fixed --for a=1", "fixed --multiplier 2",
     "per-method --for a", "per-method --for =3", "--for a=1"],
)  # fmt: skip
def test_a_strategy_that_cannot_be_is_refused_before_anybody_is_asked(listener, capsys, typed):
    assert run(["invocation-metrics", "strategy", *typed.split(), "-c", listener.address]) == 2
    assert not listener.asked


def test_the_table_of_slices_says_what_finds_no_place_and_why(listener, capsys):
    """An operator looks there first; a line without a reason sends him on a search."""
    short = {"missing": 2, "reason": "no node has the label disk=ssd"}
    one = {"instance": "i1", "nodeId": "n1", "state": "ACTIVE", "reason": ""}
    answer = {
        "slices": [
            {"artifact": "a:none:1.0.0", "state": "PENDING", "instances": [], "unsatisfied": short},
            {"artifact": "a:some:1.0.0", "state": "DEGRADED", "instances": [one], "unsatisfied": short},
            {"artifact": "a:rests:1.0.0", "state": "IDLE", "instances": []},
        ]
    }
    listener.answers = [(200, answer)]

    assert run(["slices", "-c", listener.address]) == 0
    lines = [line.split(maxsplit=4) for line in capsys.readouterr().out.splitlines()[1:]]
    why = "2 find no place: no node has the label disk=ssd"
    assert lines == [
        ["a:some:1.0.0", "i1", "n1", "ACTIVE", "-"],
        ["a:none:1.0.0", "-", "-", "PENDING", why],
        ["a:some:1.0.0", "-", "-", "PENDING", why],
        ["a:rests:1.0.0", "-", "-", "IDLE", "-"],
    ]
