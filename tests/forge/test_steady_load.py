"""A steady load against small servers on real sockets: what it counts, and what it does when connections end."""

import contextlib
import selectors
import socket
import threading

import pytest

from aether.forge.steady_load import SteadyLoad, _Connection, http_request

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


class Server:
    """Calls `serve(connection, number)` for each connection, in a thread of its own."""

    def __init__(self, serve):
        self.serve = serve
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.at = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.accepted = 0
        self.threads = [threading.Thread(target=self._accept)]
        self.threads[0].start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.accepted += 1
            self.threads.append(threading.Thread(target=self._run, args=(connection, self.accepted)))
            self.threads[-1].start()

    def _run(self, connection, number):
        with connection, contextlib.suppress(OSError):
            connection.settimeout(10)
            self.serve(connection, number)

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for thread in self.threads:
            thread.join(10)


@pytest.fixture
def served():
    servers = []

    def start(serve):
        servers.append(Server(serve))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def asked(connection):
    """Whether a request came, rather than the end."""
    return bool(connection.recv(65_536))


def always(connection, number):
    while asked(connection):
        connection.sendall(OK)


def load(server, *, requests=20, rate=400.0, repeatable=True):
    def make(number):
        return http_request("get", server.at, f"GET /{number}", repeatable=repeatable)

    return SteadyLoad(make, rate).run(requests / rate)


def test_each_request_is_answered_and_measured(served):
    seen = load(served(always))
    assert (seen.requests, seen.failed, seen.resent) == (20, 0, 0)
    assert len(seen.latencies) == 20
    assert 0 < seen.percentile(0.5) <= seen.percentile(1.0)


def test_an_answer_that_is_no_success_is_kept_with_its_words(served):
    def refuse(connection, number):
        while asked(connection):
            connection.sendall(b"HTTP/1.1 503 No\r\nContent-Length: 4\r\n\r\nfull")

    seen = load(served(refuse), requests=3)
    assert dict(seen.statuses) == {503: 3}
    assert [(failure.status, failure.answer) for failure in seen.failures] == [(503, "full")] * 3


def test_a_kept_connection_that_the_server_closed_costs_no_request(served):
    """Of three requests that share a connection the server answers two."""

    def twice(connection, number):
        for _ in range(2):
            if asked(connection):
                connection.sendall(OK)

    seen = load(served(twice), requests=30)
    assert (seen.requests, seen.failed) == (30, 0)


def test_what_must_not_be_repeated_is_not(served):
    def once(connection, number):
        if asked(connection):
            connection.sendall(OK)
        asked(connection)  # takes one more, and ends without a word

    seen = load(served(once), requests=4, rate=20.0, repeatable=False)
    assert (seen.requests, seen.failed, seen.resent) == (4, 2, 0)
    assert {failure.answer for failure in seen.failures} == {"the server ended the connection"}


def test_a_word_of_good_bye_is_no_answer_to_the_next_request(served):
    def leave(connection, number):
        if asked(connection):
            connection.sendall(OK)
        connection.sendall(b"HTTP/1.1 408 Slow\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        asked(connection)

    seen = load(served(leave), requests=5, rate=20.0)
    assert (seen.requests, seen.failed) == (5, 0)


def test_a_request_that_meets_one_dead_connection_after_another_is_sent_in_the_end(served):
    """A killed process leaves as many of them as there were clients at the same time."""
    server = served(always)
    load = SteadyLoad(lambda number: http_request("get", server.at, f"GET /{number}"), 100.0)
    dead = []
    for _ in range(400):
        ours, theirs = socket.socketpair()
        theirs.close()  # what is sent to it fails at once
        ours.setblocking(False)
        dead.append(_Connection(ours, server.at, is_open=True, has_served=True))
        load._selector.register(ours, selectors.EVENT_READ, dead[-1])
    load._idle[server.at] = [*dead]

    seen = load.run(0.05)
    assert (seen.requests, seen.failed) == (5, 0)
    assert all(connection.is_closed for connection in dead)


def test_nobody_who_listens_is_a_failure_of_each_request():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        at = f"127.0.0.1:{closed.getsockname()[1]}"
        seen = SteadyLoad(lambda number: http_request("get", at, "GET /"), 100.0).run(0.05)
    assert (seen.requests, seen.failed) == (5, 5)
    assert all(failure.status == 0 for failure in seen.failures)
