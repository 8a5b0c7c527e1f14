"""The admin API as one handler of the web server.

Knows: access rules, the endpoint table, reads after a revision, waiting for instances.
Never: sockets, deployment decisions; it asks the operator and reads the rows.
Holds: an access rule is checked before anything of the request is read; a GET never changes anything.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection, Mapping
from typing import Final

import trio

from aether.errors import BadInput, NotFound, TryAgain
from aether.kv.history import Compacted
from aether.management import rows_service, table
from aether.management.access import TEXT_TYPE, TOML_TYPES, AccessRules
from aether.management.actors import Actors
from aether.management.backup_source import BACKUP_TYPE, BackupSource
from aether.management.commands import Changed, unmet
from aether.management.endpoint import Endpoint
from aether.management.openapi import PROBES, openapi_document
from aether.management.queries import Facts
from aether.management.row_store import RowStore, Wanted
from aether.management.schema import Schema
from aether.management.view import ClusterView, ConsensusFacts, LocalNode
from aether.model.duty import Duty
from aether.model.ids import NodeId, Revision
from aether.web.problem import problem, wrong_verb
from aether.web.request import Request, Response, json_response
from aether.web.router import Match, Missing, WrongVerb

_log = logging.getLogger("aether.management")
LOOK_S: Final = 0.1
FRESH_S: Final = 5.0  # how long a GET waits for a revision or for the majority
_READ_VERBS: Final = ("GET", "HEAD", "OPTIONS")
_OUT_OF_WORK: Final = frozenset({Duty.DRAINING, Duty.DECOMMISSIONED, Duty.SHUTTING_DOWN})
_HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class ManagementApi:
    """Answers the management port: `await api(request)`.

    view       the replicated rows as applied here
    consensus  this node's newest ConsensusStatus
    peers      connected peers, this node not among them
    local      facts about this process
    actors     carry out mutations
    rows       the rows by the texts of their keys
    backups    makes backups
    access     Host names, admin token, insecure
    """

    def __init__(
        self,
        *,
        view: ClusterView,
        consensus: Callable[[], ConsensusFacts],
        peers: Callable[[], Collection[NodeId]],
        local: LocalNode,
        actors: Actors,
        rows: RowStore,
        backups: BackupSource,
        access: AccessRules,
    ) -> None:
        self._view = view
        self._consensus = consensus
        self._peers = peers
        self._local = local
        self._actors = actors
        self._rows = rows
        self._backups = backups
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
        if found.target.changes_something:
            return await self._change(request, found)
        if found.target.is_backup:
            return await self._backup(request, found.target)
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
        elif (duty := self._facts().duties().get(self._local.node)) in _OUT_OF_WORK:
            detail = f"this node is {duty}; others take its requests"
        else:
            return json_response({"status": "ready", "nodeId": self._local.node}, headers=_HEADERS)
        members = {"nodeId": self._local.node}
        return problem(503, detail, request.request_id, kind="not-ready", retry_after_s=1.0, members=members)

    def _openapi(self, request: Request) -> Response:
        return json_response(openapi_document(), headers=_HEADERS)

    # --- reads --------------------------------------------------------------------------------------------------------

    async def _read(self, request: Request, found: Match[Endpoint]) -> Response:
        endpoint = found.target
        query = endpoint.query.read_query(request.query())
        await self._freshen(query)
        if endpoint.look is not None:
            try:
                return json_response(await endpoint.look(self._rows, query), headers=_HEADERS)
            except Compacted as error:
                return _gone(error, request)
        if endpoint.ask is not None:
            return json_response(await endpoint.ask(self._actors, query, found.variables), headers=_HEADERS)
        assert endpoint.read is not None
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

    async def _backup(self, request: Request, endpoint: Endpoint) -> Response:
        """Unless told otherwise with everything that was acknowledged before. Whoever reads all needs the token."""
        if not self._access.insecure:
            refused = self._access.refuse_stranger_to_secrets(request, "a backup needs")
            if refused is not None:
                return refused
        query = endpoint.query.read_query(request.query())
        await self._freshen({"consistent": query.get("consistent", True)})
        backup = await self._backups.open()
        _log.info("backup at revision %d (request %s)", backup.revision, request.request_id)
        headers = {**_HEADERS, "X-Aether-Revision": str(backup.revision)}
        return Response(200, b"", BACKUP_TYPE, headers, parts=backup.parts)

    def _facts(self) -> Facts:
        return Facts(self._view, self._consensus(), frozenset(self._peers()), self._local)

    # --- changes ------------------------------------------------------------------------------------------------------

    async def _change(self, request: Request, found: Match[Endpoint]) -> Response:
        endpoint = found.target
        refused = self._access.refuse_change(request, toml=endpoint.toml)
        if refused is not None:
            return refused
        query = endpoint.query.read_query(request.query())
        body = _body(request, endpoint.body, toml=endpoint.toml)
        by = "anonymous" if self._access.insecure else "admin"
        if endpoint.wish is not None:
            return await self._write(request, endpoint.wish(body), body.get("force") is True, by)
        assert endpoint.change is not None
        changed = await endpoint.change(self._actors, {**body, **found.variables}, by)
        _log.info("%s by %s: %s (request %s)", endpoint.path, by, changed.answer, request.request_id)
        wait_s = query.get("wait")
        if isinstance(wait_s, int | float):
            missing = await self._wait(changed, float(wait_s))
            if missing:
                return _not_yet(request, changed, float(wait_s), missing)
            return json_response(changed.carried_out(), headers=_HEADERS)
        return json_response(changed.answer, headers=_HEADERS)

    async def _write(self, request: Request, wish: Wanted, forced: bool, by: str) -> Response:
        """A row of a user's map; another one only by force, and then with the token whatever `insecure` says."""
        if wish.is_forced:
            if not forced:
                detail = f"{wish.key.text} is a row that the cluster keeps itself: writing it can stop slices or nodes"
                fix = "; say `force` when you mean it (aether kv put --force)"
                return problem(403, detail + fix, request.request_id, kind="control-row")
            refused = self._access.refuse_stranger_to_secrets(request, "a row of the cluster's own needs")
            if refused is not None:
                return refused
        answer = await rows_service.put_row(self._rows, wish)
        _log.info("kv by %s: %s (request %s)", by, answer, request.request_id)
        return json_response(answer, headers=_HEADERS)

    async def _wait(self, changed: Changed, wait_s: float) -> list[str]:
        """What is still missing after at most `wait_s`; [] as soon as nothing is."""
        async with self._view.watch_instances() as changes:
            missing = self._missing(changed)
            look_s = math.inf if changed.touched else LOOK_S  # instances are rows; who votes and leads is none
            with trio.move_on_after(wait_s):
                while missing:
                    with trio.move_on_after(look_s):
                        await changes.changed()
                    missing = self._missing(changed)
        return missing

    def _missing(self, changed: Changed) -> list[str]:
        return [*unmet(self._view, changed.touched), *changed.missing()]


def _gone(error: Compacted, request: Request) -> Response:
    members = {"kept": error.kept}
    return problem(410, str(error), request.request_id, kind="compacted", title="Gone", members=members)


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
