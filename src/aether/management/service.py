"""The admin API as one handler of the web server.

Knows: access rules, the endpoint table, reads after a revision, waiting for instances.
Never: sockets, deployment decisions; it asks the operator and reads the rows.
Holds: an access rule is checked before anything of the request is read; a GET never changes anything; no answer that
       holds a secret is logged.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection, Mapping
from typing import Final

import attrs
import trio

from aether.errors import BadInput, NotFound, TryAgain
from aether.kv import keys
from aether.kv.escort import escorted
from aether.kv.history import Compacted
from aether.management import rows_service, table
from aether.management.access import (
    SUBPROTOCOL,
    TEXT_TYPE,
    TOML_TYPES,
    AccessRules,
    Caller,
    refuse_form,
    refuse_page,
    subprotocols,
)
from aether.management.actors import Actors
from aether.management.admission_service import Admission
from aether.management.backup_source import BACKUP_TYPE, BackupSource
from aether.management.change_escort import (
    ChangeEscort,
    Outdated,
    Recorder,
    Rehearsed,
    read_if_match,
    shown_rehearsal,
)
from aether.management.commands import Changed, unmet
from aether.management.dashboard_pages import PAGE, DashboardPages
from aether.management.dashboard_service import Dashboard
from aether.management.endpoint import DRY_RUN, Body, Endpoint
from aether.management.facts import Facts
from aether.management.lasting_service import lasting
from aether.management.openapi import PROBES, openapi_document
from aether.management.queries import no_majority
from aether.management.row_store import RowStore, Wanted
from aether.management.schema import Schema
from aether.management.view import ClusterView, ConsensusFacts, LocalNode
from aether.model.access import AuditRow, Role
from aether.model.duty import Duty
from aether.model.ids import NodeId, Revision
from aether.security.denials import Denials
from aether.web.leaving import Leaving
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
    access     who is who
    denials    where refusals are kept; recorder  makes the audit of changes, None: nobody keeps any
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
        denials: Denials | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        self._view = view
        self._consensus = consensus
        self._peers = peers
        self._local = local
        self._actors = actors
        self._rows = rows
        self._backups = backups
        self._access = access
        self._admission = Admission(access, denials or Denials(), access.wall)
        actors.live.name_of = self._admission.name_of
        self._recorder = recorder
        self._router = table.router()
        self._probes: Mapping[str, Callable[[Request], Response]] = {
            "/health/live": self._live,
            "/health/ready": self._ready,
            "/openapi.json": self._openapi,
            PAGE: DashboardPages(),
        }
        assert self._probes.keys() == PROBES.keys()
        self._dashboard = Dashboard(self._facts, actors, access, self)

    @property
    def leaving(self) -> Leaving:
        """For `WebServer(leaving=...)`: streams of events and WebSockets end when it begins."""
        return self._actors.live.leaving

    async def __call__(self, request: Request) -> Response:
        """The answer. AetherErrors go up to the server, which shows them as problems."""
        refused = self._access.refuse_stranger(request)
        if refused is not None:
            return refused
        path = request.path.removeprefix("/api")
        probe = self._probes.get(PAGE if path.startswith(f"{PAGE}/") else path)
        if probe is not None:
            is_read = request.verb in ("GET", "HEAD")
            return probe(request) if is_read else wrong_verb(request.verb, _READ_VERBS, request.request_id)
        found = self._router.match(request.verb, request.path)
        if isinstance(found, Missing):
            raise NotFound("path", request.path, "GET /openapi.json lists all")
        if isinstance(found, WrongVerb):
            return wrong_verb(request.verb, found.allow, request.request_id)
        refused = refuse_page(request) if found.target.changes_something else None
        caller = refused or self._admission.admit(request, found.target)
        if isinstance(caller, Response):
            return caller
        if found.target.changes_something:
            return await self._change(request, found, caller)
        if found.target.is_backup:
            return await self._backup(request, found.target, caller)
        answer = _agreed(request, await self._read(request, found))
        return lasting(answer, lambda: self._admission.may(request, found.target))

    # --- probes: no schema, no waiting ------------------------------------------------------------------------------

    def _live(self, request: Request) -> Response:
        return json_response({"status": "live", "nodeId": self._local.node}, headers=_HEADERS)

    def _ready(self, request: Request) -> Response:
        consensus = self._consensus()
        if not consensus.has_quorum:
            detail = no_majority(self._facts())
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
        if endpoint.is_dashboard:
            return self._dashboard.open(request)
        if endpoint.look is not None:
            try:
                return json_response(await endpoint.look(self._rows, query), headers=_HEADERS)
            except Compacted as error:
                return _gone(error, request)
        if endpoint.ask is not None:
            return json_response(await endpoint.ask(self._actors, query, found.variables), headers=_HEADERS)
        if endpoint.serve is not None:
            return await endpoint.serve(self._actors, request, query, found.variables)
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

    async def _backup(self, request: Request, endpoint: Endpoint, caller: Caller) -> Response:
        """Unless told otherwise with everything that was acknowledged before."""
        query = endpoint.query.read_query(request.query())
        await self._freshen({"consistent": query.get("consistent", True)})
        backup = await self._backups.open()
        _log.info("backup by %s at revision %d (request %s)", caller.name, backup.revision, request.request_id)
        headers = {**_HEADERS, "X-Aether-Revision": str(backup.revision)}
        return Response(200, b"", BACKUP_TYPE, headers, parts=backup.parts)

    def _facts(self) -> Facts:
        view = self._actors.figures.view
        return Facts(self._view, self._consensus(), frozenset(self._peers()), self._local, lambda: len(view.nodes()))

    # --- changes ------------------------------------------------------------------------------------------------------

    async def _change(self, request: Request, found: Match[Endpoint], caller: Caller) -> Response:
        endpoint = found.target
        refused = refuse_form(request, toml=endpoint.toml, bodiless=endpoint.deletes)
        if refused is not None:
            return refused
        query = endpoint.query.read_query(request.query())
        body = _body(request, endpoint.body, toml=endpoint.toml) | dict(found.variables)
        since = read_if_match(request)
        if since is not None and endpoint.is_act:
            raise BadInput("the header fields do not fit", ("If-Match: what is done here has no rows to compare",))
        if since is not None:
            await self._freshen({"min_revision": since})
        rehearses = query.get(DRY_RUN.name) is True
        audit = None if self._recorder is None or rehearses else self._recorder.row(caller, request, body)
        if endpoint.is_act and not rehearses:
            return await self._act(request, endpoint, body, caller, audit)
        try:
            with escorted(ChangeEscort(rows=self._rows, audit=audit, since=since, rehearses=rehearses)):
                if endpoint.wish is not None:
                    return await self._write(request, endpoint.wish(body), body.get("force") is True, caller)
                change = endpoint.rehearse if rehearses and endpoint.rehearse is not None else endpoint.change
                assert change is not None
                changed = await change(self._actors, body, caller.name)
        except Rehearsed as end:
            return json_response(shown_rehearsal(end.batch, self._view.revision), headers=_HEADERS)
        except Outdated as error:
            return problem(412, str(error), request.request_id, kind="outdated", members={"changed": error.changed})
        if rehearses:  # it came to no batch: there is nothing to write
            return json_response({**changed.answer, "dryRun": True}, headers=_HEADERS)
        answer: object = "(not shown)" if endpoint.is_secret else changed.answer
        _log.info("%s by %s: %s (request %s)", endpoint.path, caller.name, answer, request.request_id)
        return await self._waited(request, changed, query.get("wait"))

    async def _act(
        self, request: Request, endpoint: Endpoint, body: Body, caller: Caller, audit: AuditRow | None
    ) -> Response:
        """Nobody acts whose act could not be written down first."""
        if audit is not None:
            key = keys.audit(audit.id)
            await self._rows.put(key, key.encode(audit), None)
        assert endpoint.change is not None
        done = await endpoint.change(self._actors, body, caller.name)
        _log.info("%s by %s (request %s)", endpoint.path, caller.name, request.request_id)
        return json_response(done.answer, headers=_HEADERS)

    async def _waited(self, request: Request, changed: Changed, wait_s: object) -> Response:
        if not isinstance(wait_s, int | float):
            return json_response(changed.answer, headers=_HEADERS)
        missing = await self._wait(changed, float(wait_s))
        if missing:
            return _not_yet(request, changed, float(wait_s), missing)
        return json_response(changed.carried_out(), headers=_HEADERS)

    async def _write(self, request: Request, wish: Wanted, forced: bool, caller: Caller) -> Response:
        """A row of a user's map; another one only by force, and then by a known admin whatever `insecure` says."""
        if wish.is_forced:
            if not forced:
                detail = f"{wish.key.text} is a row that the cluster keeps itself: writing it can stop slices or nodes"
                fix = "; say `force` when you mean it (aether kv put --force)"
                return problem(403, detail + fix, request.request_id, kind="control-row")
            refused = self._admission.demand(request, caller, Role.ADMIN, "a row of the cluster's own")
            if refused is not None:
                return refused
        answer = await rows_service.put_row(self._rows, wish)
        _log.info("kv by %s: %s (request %s)", caller.name, answer, request.request_id)
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


def _agreed(request: Request, response: Response) -> Response:
    """A page that offers subprotocols, having no other way to bring its token, must be told which one is spoken."""
    if response.upgrade is None or SUBPROTOCOL not in subprotocols(request):
        return response
    return attrs.evolve(response, headers={"Sec-WebSocket-Protocol": SUBPROTOCOL, **response.headers})


def _gone(error: Compacted, request: Request) -> Response:
    members = {"kept": error.kept}
    return problem(410, str(error), request.request_id, kind="compacted", title="Gone", members=members)


def _body(request: Request, schema: Schema, *, toml: bool) -> dict[str, object]:
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
