"""Asking a node's management port, and turning every way it can go wrong into an exit code.

Knows: httpx, problem details, where a node of this user left its admin token.
Never: tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import httpx

from aether.cli.exits import CommandFailed, Exit
from aether.cli.options import Settings
from aether.node.tokens import find_token

CONNECT_S = 3.0
REQUEST_S = 30.0
_OTHER_PORT = "is that a management port? a node prints its own when it starts (8080 unless told otherwise)"


class Connection:
    """One node's management API."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._url = _url(settings.connect)

    def get(self, path: str, **query: str) -> Any:
        return self._ask("GET", path, params=query)

    def post(self, path: str, body: object = None, *, toml: str | None = None, wait_s: float | None = None) -> Any:
        """POST JSON or TOML; with `wait_s` the node answers when the change is ACTIVE everywhere."""
        query = {} if wait_s is None else {"wait": f"{wait_s:g}"}
        read_s = REQUEST_S if wait_s is None else REQUEST_S + wait_s
        if toml is not None:
            headers = {"Content-Type": "application/toml"}
            return self._ask("POST", path, params=query, content=toml.encode(), headers=headers, read_s=read_s)
        return self._ask("POST", path, params=query, json=body, read_s=read_s)

    def stream(self, path: str, **query: str) -> Iterator[bytes]:
        """The body of a long answer, piece by piece. Raises CommandFailed also when it breaks off."""
        address = self._settings.connect
        try:
            with (
                httpx.Client(timeout=httpx.Timeout(REQUEST_S, connect=CONNECT_S), trust_env=False) as client,
                client.stream("GET", self._url + path, params=query, headers=_authorization(self._token())) as answer,
            ):
                if not answer.is_success:
                    answer.read()
                    _result(answer, address)
                yield from answer.iter_bytes()
        except httpx.HTTPError as error:
            raise _unreachable(error, address) from error

    def _ask(self, verb: str, path: str, *, read_s: float = REQUEST_S, **request: Any) -> Any:
        token = self._token()
        answer = self._send(verb, path, token, read_s, request)
        if answer.status_code in (401, 403) and token != (newer := self._token()):
            answer = self._send(
                verb, path, newer, read_s, request
            )  # a starting node listens before it leaves its token
        return _result(answer, self._settings.connect)

    def _token(self) -> str | None:
        return self._settings.token or find_token(self._settings.connect)

    def _send(self, verb: str, path: str, token: str | None, read_s: float, request: dict[str, Any]) -> httpx.Response:
        request = {**request, "headers": {**request.get("headers", {}), **_authorization(token)}}
        try:
            with httpx.Client(timeout=httpx.Timeout(read_s, connect=CONNECT_S), trust_env=False) as client:
                return client.request(verb, self._url + path, **request)
        except httpx.HTTPError as error:
            raise _unreachable(error, self._settings.connect) from error


def _unreachable(error: httpx.HTTPError, address: str) -> CommandFailed:
    if isinstance(error, httpx.ConnectError):
        return CommandFailed(
            Exit.CANNOT_CONNECT,
            f"no node answers at {address} ({error})",
            "is it running? `aether node` starts one; `-c HOST:PORT` names another management port",
        )
    if isinstance(error, httpx.TimeoutException):
        return CommandFailed(Exit.TIMED_OUT, f"{address} did not answer in time")
    return CommandFailed(Exit.CANNOT_CONNECT, f"{address}: {error}", _OTHER_PORT)


def _authorization(token: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


def _url(connect: str) -> str:
    if "://" in connect:
        return connect.rstrip("/")
    if connect.isdigit():
        connect = f"127.0.0.1:{connect}"
    host, _, port = connect.rpartition(":")
    if not host or not port.isdigit():
        raise CommandFailed(Exit.USAGE, f"--connect {connect}: write HOST:PORT, such as 127.0.0.1:8080")
    return f"http://{connect}"


def _result(answer: httpx.Response, where: str) -> Any:
    try:
        body = answer.json()
    except ValueError as error:
        message = f"{where} answered {answer.status_code} without JSON; is that a management port?"
        raise CommandFailed(Exit.FAILED, message) from error
    if answer.is_success:
        return body
    fields = cast("dict[str, Any]", body) if isinstance(body, dict) else {"detail": str(body)}
    detail = str(fields.get("detail") or fields.get("error") or fields)
    problems = [str(problem) for problem in fields.get("problems") or ()]
    message = "\n  ".join([detail, *(problem for problem in problems if problem not in detail)])
    if answer.status_code in (401, 403):
        needs_token = str(fields.get("type", "")).endswith("no-token")
        hint = "give --token, or AETHER_TOKEN, or run it as the user who started the node" if needs_token else ""
        raise CommandFailed(Exit.REFUSED, message, hint)
    if answer.status_code == 504:
        raise CommandFailed(Exit.TIMED_OUT, message)
    raise CommandFailed(Exit.FAILED, message, _OTHER_PORT if fields.get("kind") == "route" else "")
