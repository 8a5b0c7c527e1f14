"""A port that answers as a node does, by path; terminals."""

import contextlib
import http.server
import json
import threading

import pytest
from tests.cli.terminals import Terminal

STATUS = {"nodeId": "node-1", "status": "running", "isLeader": True, "leader": "node-1", "nodeCount": 1, "revision": 7}
MEMBERS = [
    {"id": "node-1", "state": "ON_DUTY", "duty": "ON_DUTY", "isLeader": True, "zone": "a", "instances": 1},
    {"id": "node-2", "state": "UNREACHABLE", "duty": "JOINING", "isLeader": False, "zone": "b", "instances": 0},
]
PRICING = {
    "artifact": "shop:pricing:1.0.0", "state": "ACTIVE", "desiredInstances": 2, "activeInstances": 1,
    "instances": [
        {"instance": "i1", "nodeId": "node-1", "state": "ACTIVE", "reason": "", "attempt": 1},
        {"instance": "i2", "nodeId": "node-2", "state": "FAILED", "reason": "no [red] module", "attempt": 3},
    ],
}  # fmt: skip
ANSWERS = {
    "/status": STATUS,
    "/health": {"status": "unhealthy", "quorum": False},
    "/members": {"members": MEMBERS, "leader": "node-1"},
    "/slices": {"slices": [{"artifact": "shop:pricing:1.0.0", "state": "ACTIVE", "instances": 2}]},
    "/slices/status": {"slices": [PRICING]},
    "/blueprints": {"blueprints": [{"id": "app"}, {"id": "shop"}]},
    "/rollouts": {"updates": [{"updateId": "r-17"}]},
}


class Answering(http.server.BaseHTTPRequestHandler):
    """Answers what its server's `answers` have for the path: a body, (status, body), or a function of the body."""

    def do_GET(self):
        sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = self.path.partition("?")[0]
        self.server.asked.append((self.command, self.path, json.loads(sent or b"null")))
        self.server.tokens.append(self.headers.get("Authorization"))
        found = self.server.answers.get(path, (404, {"detail": f"no route {path}", "kind": "route"}))
        found = found() if callable(found) else found
        status, body = found if isinstance(found, tuple) else (200, found)
        self.send_response(status)
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # whoever asked has seen enough
            self.wfile.write(json.dumps(body).encode())

    def do_POST(self):
        self.do_GET()

    def do_PUT(self):
        self.do_GET()

    def do_DELETE(self):
        self.do_GET()

    def log_message(self, *_):
        pass


class Port(http.server.ThreadingHTTPServer):
    daemon_threads = False


@pytest.fixture
def port(monkeypatch, tmp_path):
    """`answers` by path, what was `asked`, `tokens`, `address`."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for name in ("AETHER_TOKEN", "AETHER_API_KEY", "AETHER_CONNECT"):
        monkeypatch.delenv(name, raising=False)
    with Port(("127.0.0.1", 0), Answering) as server:
        server.answers, server.asked, server.tokens = dict(ANSWERS), [], []
        server.address = f"127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def terminal(tmp_path):
    """Start `aether ARGUMENTS` in a terminal of its own."""
    with contextlib.ExitStack() as stack:

        def start(*arguments, **environment):
            environment = {"XDG_STATE_HOME": str(tmp_path / "state"), **environment}
            program = Terminal(arguments, environment)
            stack.callback(program.close)
            return program

        yield start
