"""Asking a node's management port, and turning every way it can go wrong into an exit code.

Knows: httpx, problem details, where a node of this user left its admin token.
Never: tables.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, cast

import httpx
import outcome

from aether.cli.exits import CommandFailed, Exit, exit_of
from aether.cli.options import Settings
from aether.node.tokens import dialled, find_authorities, find_token
from aether.security.contexts_service import web_client
from aether.security.directory_service import AUTHORITIES

CONNECT_S = 3.0
REQUEST_S = 30.0
_OUT_OF_TIME = ("has expired", "not yet valid")  # in the words of OpenSSL
_SILENT = (
    "is it stopped, or very busy? `aether nodes -c HOST:PORT` of another node says whether the others still hear it"
)
_OTHER_PORT = "is that a management port? a node prints its own when it starts (8080 unless told otherwise)"


class Connection:
    """One node's management API.

    answer_s  how long to wait for it at most [3 s to connect, 30 s to answer]
    """

    def __init__(self, settings: Settings, *, answer_s: float | None = None) -> None:
        self._settings = settings
        self._connect_s, self._answer_s = (CONNECT_S, REQUEST_S) if answer_s is None else (answer_s, answer_s)
        self._verify: ssl.SSLContext | bool = False
        authorities = _authorities(settings)
        if authorities is not None:
            self._verify = web_client(authorities, settings.tls)
        self._scheme = "http" if authorities is None else "https"

    def get(self, path: str, **query: str) -> Any:
        return self._ask("GET", path, params=query)

    def post(
        self,
        path: str,
        body: object = None,
        *,
        toml: str | None = None,
        wait_s: float | None = None,
        answer_s: float = 0.0,
        query: Mapping[str, str] | None = None,
    ) -> Any:
        """POST JSON or TOML; with `wait_s` the node answers when the change is ACTIVE everywhere.

        answer_s  how long the node itself may take for the answer, above the usual
        """
        query = {**(query or {}), **({} if wait_s is None else {"wait": f"{wait_s:g}"})}
        read_s = self._answer_s + (wait_s or 0.0) + answer_s
        if toml is not None:
            headers = {"Content-Type": "application/toml"}
            return self._ask("POST", path, params=query, content=toml.encode(), headers=headers, read_s=read_s)
        return self._ask("POST", path, params=query, json=body, read_s=read_s)

    def put(self, path: str, content: bytes) -> Any:
        headers = {"Content-Type": "application/octet-stream"}
        return self._ask("PUT", path, content=content, headers=headers)

    def delete(self, path: str) -> Any:
        return self._ask("DELETE", path)

    def date(self) -> str:
        """What the node's clock says, as HTTP spells it; "" when it does not say. Needs no token."""
        return str(self._send("GET", "/health/live", None, self._answer_s, {}).headers.get("Date", ""))

    def stream(self, path: str, *, accept: str = "*/*", **query: str) -> Iterator[bytes]:
        """The body of a long answer, piece by piece. Raises CommandFailed also when it breaks off."""
        address = self._settings.connect
        headers = {"Accept": accept, **_authorization(self._token())}
        try:
            with (
                self._client(self._answer_s) as client,
                client.stream("GET", self._url() + path, params=query, headers=headers) as answer,
            ):
                if not answer.is_success:
                    answer.read()
                    _result(answer, address)
                yield from answer.iter_bytes()
        except httpx.HTTPError as error:
            raise _unreachable(error, address) from error

    def _ask(self, verb: str, path: str, *, read_s: float | None = None, **request: Any) -> Any:
        read_s = self._answer_s if read_s is None else read_s
        token = self._token()
        answer = self._send(verb, path, token, read_s, request)
        if answer.status_code in (401, 403) and token != (newer := self._token()):
            answer = self._send(
                verb, path, newer, read_s, request
            )  # a starting node listens before it leaves its token
        return _result(answer, self._settings.connect)

    def _client(self, read_s: float) -> httpx.Client:
        return httpx.Client(timeout=self._waits(read_s), trust_env=False, verify=self._verified())

    def _waits(self, read_s: float) -> httpx.Timeout:
        return httpx.Timeout(read_s, connect=self._connect_s)

    def _verified(self) -> ssl.SSLContext | bool:
        return self._verify or self._url().startswith("https:")  # True loads every authority of this machine: 30 ms

    def _token(self) -> str | None:
        return self._settings.token or find_token(self._settings.connect)

    def _url(self) -> str:
        """Asked when the token is known: the token that a node left goes to that node. TLS knows it by its name."""
        connect = self._settings.connect
        url = connect if "://" in connect else f"{self._scheme}://{connect}"
        return dialled(url) if url.startswith("http:") and not self._settings.token else url

    def _send(self, verb: str, path: str, token: str | None, read_s: float, request: dict[str, Any]) -> httpx.Response:
        request = {**request, "headers": {**request.get("headers", {}), **_authorization(token)}}
        try:
            if verb == "POST" and "wait" in request["params"]:
                import trio

                return trio.run(self._send_and_follow, path, read_s, request)
            with self._client(read_s) as client:
                return client.request(verb, self._url() + path, **request)
        except httpx.HTTPError as error:
            raise _unreachable(error, self._settings.connect) from error

    async def _send_and_follow(self, path: str, read_s: float, request: dict[str, Any]) -> httpx.Response:
        """Show how far the change is while the node lets us wait for its answer. Raises httpx.HTTPError."""
        import trio

        from aether.cli.progress import follow

        async with httpx.AsyncClient(timeout=self._waits(read_s), trust_env=False, verify=self._verified()) as client:

            async def ask() -> Any:
                try:
                    answer = await client.get(
                        f"{self._url()}/slices/status", headers=request["headers"], timeout=self._waits(self._answer_s)
                    )
                    return answer.json() if answer.is_success else None
                except (httpx.HTTPError, ValueError):
                    return None  # the change itself says what is wrong

            body = request.get("json")
            artifact = str(cast("dict[str, Any]", body).get("artifact") or "") if isinstance(body, dict) else ""
            async with trio.open_nursery() as nursery:
                nursery.start_soon(partial(follow, ask, artifact, color=self._settings.color))
                sent = await outcome.acapture(client.request, "POST", self._url() + path, **request)
                nursery.cancel_scope.cancel()
        return sent.unwrap()


def _unreachable(error: httpx.HTTPError, address: str) -> CommandFailed:
    if isinstance(error, httpx.ConnectError) and "CERTIFICATE_VERIFY_FAILED" in str(error):
        hint = "is --tls or --ca of this cluster, and is the host after -c in the certificate? `aether ca show` tells"
        if any(words in str(error) for words in _OUT_OF_TIME):
            hint = "are the clocks right? then `aether ca renew` makes the next one, and a running node takes it"
        return CommandFailed(Exit.CANNOT_CONNECT, f"{address} shows a certificate that is not accepted ({error})", hint)
    if isinstance(error, httpx.RemoteProtocolError | httpx.ReadError):
        return CommandFailed(
            Exit.CANNOT_CONNECT,
            f"{address}: {error}",
            f"does that port speak TLS? then give --tls or --ca; {_OTHER_PORT}",
        )
    if isinstance(error, httpx.ConnectError):
        return CommandFailed(
            Exit.CANNOT_CONNECT,
            f"no node answers at {address} ({error})",
            "is it running? `aether node` starts one; `-c HOST:PORT` names another management port",
        )
    if isinstance(error, httpx.TimeoutException):
        return CommandFailed(Exit.TIMED_OUT, f"{address} did not answer in time", _SILENT)
    return CommandFailed(Exit.CANNOT_CONNECT, f"{address}: {error}", _OTHER_PORT)


def _authorities(settings: Settings) -> Path | None:
    """Whom to believe; None = the port is plain."""
    if settings.ca is not None:
        return settings.ca
    return find_authorities(settings.connect) if settings.tls is None else settings.tls / AUTHORITIES


def _authorization(token: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


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
    kind = str(fields.get("type", "")).rpartition(":")[2]
    raise CommandFailed(exit_of(answer.status_code, kind), message, _next(answer.status_code, kind, fields))


def _next(status: int, kind: str, fields: Mapping[str, Any]) -> str:
    """What the user can do about a refusal."""
    if kind in ("no-token", "bad-token"):
        return "give --token, or AETHER_TOKEN, or run it as the user who started the node"
    if fields.get("kind") == "route":
        return _OTHER_PORT
    if kind == "no-quorum":
        return "`aether health` says what is missing, `aether nodes` who does not answer"
    if status == 412:
        return "look at it again, and say the number that it has now"
    if status in (429, 503):
        return f"try again in {fields['retryAfterS']:g} s" if "retryAfterS" in fields else "try again in a moment"
    return ""
