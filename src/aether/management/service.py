"""The admin API as one handler of the web server.

Knows: access rules, the endpoint table, reads after a revision, waiting for instances.
Never: sockets, deployment decisions; it asks the operator and reads the rows.
Holds: an access rule is checked before anything of the request is read; a GET never changes anything.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from typing import Final

import trio

from aether.errors import BadInput, NotFound, TryAgain
from aether.management import table
from aether.management.access import TEXT_TYPE, TOML_TYPES, AccessRules
from aether.management.commands import Changed, unmet
from aether.management.openapi import PROBES, openapi_document
from aether.management.queries import Facts
from aether.management.schema import Schema
from aether.management.table import Endpoint
from aether.management.view import ClusterView, ConsensusFacts, LocalNode, Operator
from aether.model.ids import NodeId, Revision
from aether.web.problem import problem, wrong_verb
from aether.web.request import Request, Response, json_response
from aether.web.router import Match, Missing, WrongVerb

_log = logging.getLogger("aether.management")
FRESH_S: Final = 5.0  # how long a GET waits for a revision or for the majority
_READ_VERBS: Final = ("GET", "HEAD", "OPTIONS")
_HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class ManagementApi:
    """Answers the management port: `await api(request)`.

    view       the replicated rows as applied here
    consensus  this node's newest ConsensusStatus
    peers      connected peers, this node not among them
    local      facts about this process
    operator   carries out mutations
    access     Host names, admin token, insecure
    """

    def __init__(
        self,
        *,
        view: ClusterView,
        consensus: Callable[[], ConsensusFacts],
        peers: Callable[[], Collection[NodeId]],
        local: LocalNode,
        operator: Operator,
        access: AccessRules,
    ) -> None:
        self._view = view
        self._consensus = consensus
        self._peers = peers
        self._local = local
        self._operator = operator
        self._access = access
        self._router = table.router()
        self._probes: Mapping[str, Callable[[Request], Response]] = {
            "/health/live": self._live,
            "/health/ready": self._ready,
            "/openapi.json": self._openapi,
        }
        assert self._probes.keys() == PROBES.keys()

    async def __call__(self, request: Request) -> Response:
        """The answer. AetherErrors go up to the server, which shows them as problems."""
        refused = self._access.refuse_stranger(request)
        if refused is not None:
            return refused
        probe = self._probes.get(request.path.removeprefix("/api"))
        if probe is not None:
            is_read = request.verb in ("GET", "HEAD")
            return probe(request) if is_read else wrong_verb(request.verb, _READ_VERBS, request.request_id)
        found = self._router.match(request.verb, request.path)
        if isinstance(found, Missing):
            raise NotFound("path", request.path, "GET /openapi.json lists all")
        if isinstance(found, WrongVerb):
            return wrong_verb(request.verb, found.allow, request.request_id)
        if found.target.change is not None:
            return await self._change(request, found.target)
        return await self._read(request, found)

    # --- probes: no schema, no waiting ------------------------------------------------------------------------------

    def _live(self, request: Request) -> Response:
        return json_response({"status": "live", "nodeId": self._local.node}, headers=_HEADERS)

    def _ready(self, request: Request) -> Response:
        consensus = self._consensus()
        if not consensus.has_quorum:
            detail = "no majority of the voters answers; start the missing nodes"
        elif not self._local.ready:
            detail = "this node is still catching up"
        elif self._local.draining:
            detail = "this node is draining"
        else:
            return json_response({"status": "ready", "nodeId": self._local.node}, headers=_HEADERS)
        members = {"nodeId": self._local.node}
        return problem(503, detail, request.request_id, kind="not-ready", retry_after_s=1.0, members=members)

    def _openapi(self, request: Request) -> Response:
        return json_response(openapi_document(), headers=_HEADERS)

    # --- reads --------------------------------------------------------------------------------------------------------

    async def _read(self, request: Request, found: Match[Endpoint]) -> Response:
        endpoint = found.target
        assert endpoint.read is not None
        query = endpoint.query.read_query(request.query())
        await self._freshen(query)
        return json_response(endpoint.read(self._facts(), query, found.variables), headers=_HEADERS)

    async def _freshen(self, query: Mapping[str, object]) -> None:
        """Wait, at most FRESH_S, for what the reader asks to have been applied here. Raises TryAgain."""
        wanted = query.get("min_revision")
        with trio.move_on_after(FRESH_S) as scope:
            if query.get("consistent"):
                await self._view.barrier()
            if isinstance(wanted, int):
                await self._view.wait_applied(Revision(wanted))
        if scope.cancelled_caught:
            if isinstance(wanted, int) and wanted > self._view.revision:
                raise TryAgain(f"this node has applied revision {self._view.revision}, not yet {wanted}; ask again")
            raise TryAgain(f"the majority did not answer within {FRESH_S:g} s; ask again, or without consistent=true")

    def _facts(self) -> Facts:
        return Facts(self._view, self._consensus(), frozenset(self._peers()), self._local)

    # --- changes ------------------------------------------------------------------------------------------------------

    async def _change(self, request: Request, endpoint: Endpoint) -> Response:
        assert endpoint.change is not None
        refused = self._access.refuse_change(request, toml=endpoint.toml)
        if refused is not None:
            return refused
        query = endpoint.query.read_query(request.query())
        body = _body(request, endpoint.body, toml=endpoint.toml)
        by = "anonymous" if self._access.insecure else "admin"
        changed = await endpoint.change(self._operator, body, by)
        _log.info("%s by %s: %s (request %s)", endpoint.path, by, changed.answer, request.request_id)
        wait_s = query.get("wait")
        if isinstance(wait_s, int | float):
            missing = await self._wait(changed, float(wait_s))
            if missing:
                return _not_yet(request, changed, float(wait_s), missing)
        return json_response(changed.answer, headers=_HEADERS)

    async def _wait(self, changed: Changed, wait_s: float) -> list[str]:
        """What is still missing after at most `wait_s`; [] as soon as nothing is."""
        async with self._view.watch_instances() as changes:
            missing = unmet(self._view, changed.touched)
            with trio.move_on_after(wait_s):
                while missing:
                    await changes.changed()
                    missing = unmet(self._view, changed.touched)
        return missing


def _body(request: Request, schema: Schema, *, toml: bool) -> Mapping[str, object]:
    """The body by field name. A blueprint may come as TOML, even labelled JSON, as clients of the original send it."""
    is_text = request.content_type in TOML_TYPES or request.content_type == TEXT_TYPE
    if toml and (is_text or not request.body.lstrip().startswith(b"{")):
        try:
            return {"toml": request.body.decode()}
        except UnicodeDecodeError as error:
            raise BadInput("the body is no TOML", (f"it is not UTF-8: {error}",)) from error
    return schema.read_body(request.body)


def _not_yet(request: Request, changed: Changed, wait_s: float, missing: list[str]) -> Response:
    lines = "; ".join(missing)
    detail = f"applied at revision {changed.revision}, but after {wait_s:g} s not all is as wanted: {lines}"
    members = {"revision": changed.revision, "missing": missing}
    return problem(504, detail, request.request_id, kind="not-yet-active", members=members)
