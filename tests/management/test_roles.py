"""Every path of the admin API against every role and every kind of caller: what is not said is denied."""

from __future__ import annotations

import logging

import attrs
import pytest

from aether.management.access import SUBPROTOCOL, SUBPROTOCOL_TOKEN
from aether.management.dashboard_service import Dashboard
from aether.management.endpoint import DRY_RUN
from aether.management.openapi import PROBES
from aether.management.service import ManagementApi
from aether.management.table import ENDPOINTS
from aether.model.access import Role
from aether.model.limits import DENIALS_KEPT_MAX, DENIED_PER_MINUTE_MAX, RIGHT_STALE_S
from aether.web.request import Response

REMOTE = "198.51.100.7"
PATHS = [pytest.param(e, verb, id=f"{verb} {e.path}") for e in ENDPOINTS for verb in e.verbs]


def target(endpoint):
    return endpoint.path.replace("{", "x").replace("}", "x")


@pytest.fixture
def keyed(world):
    """A world with a token of each role, one that has expired, and one of another cluster."""
    tokens = {role: world.tokens.add(f"t-{role.word}", role, 1_000.0) for role in Role}
    expired = world.tokens.add("old", Role.ADMIN, 10.0)
    stranger = world.tokens.add("stranger", Role.ADMIN)
    del world.tokens.kept["stranger"]
    world.access = attrs.evolve(world.access, tokens=world.tokens.find, wall=lambda: 100.0)
    return world, tokens, expired, stranger


@pytest.fixture
def gate(monkeypatch):
    """What is behind admission answers 200, whatever it was asked."""

    async def passed(*_):
        return Response(200)

    for behind in ("_read", "_change", "_backup"):
        monkeypatch.setattr(ManagementApi, behind, passed)
    monkeypatch.setattr(Dashboard, "open", lambda *_: Response(200))


async def status(world, endpoint, verb, **caller):
    return (await world.ask(verb, target(endpoint), **caller)).status


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda e: e.path)
def test_every_path_asks_for_a_role(endpoint):
    """NOBODY is for probes, which are no part of the table."""
    assert endpoint.role in (Role.VIEWER, Role.PROPOSER, Role.OPERATOR, Role.ADMIN)
    assert endpoint.role > Role.VIEWER or not endpoint.changes_something, "a viewer changes nothing"


@pytest.mark.parametrize(("endpoint", "verb"), PATHS)
async def test_each_role_gets_as_far_as_the_path_says(keyed, gate, endpoint, verb):
    world, tokens, expired, stranger = keyed
    for role, token in tokens.items():
        wanted = 200 if role >= endpoint.role else 403
        assert await status(world, endpoint, verb, token=token) == wanted, role
        assert await status(world, endpoint, verb, token=token, client=REMOTE) == wanted, role
    assert await status(world, endpoint, verb, token=None) == (200 if endpoint.role <= Role.VIEWER else 401)
    assert await status(world, endpoint, verb, token=None, client=REMOTE) == 401
    assert await status(world, endpoint, verb, token=None, client="") == 401
    for wrong in (expired, stranger, "nonsense", "aether_old_00", expired + "0"):
        assert await status(world, endpoint, verb, token=wrong) == 401
    assert await status(world, endpoint, verb) == 200, "the token of the data directory is an admin"


@pytest.mark.parametrize(("endpoint", "verb"), PATHS)
async def test_insecure_lets_anybody_do_all_but_what_wants_a_name(keyed, gate, endpoint, verb):
    """An open door is not for a passer-by to make his own."""
    world, _, expired, _ = keyed
    world.access = attrs.evolve(world.access, insecure=True)

    for client in ("127.0.0.1", REMOTE, ""):
        assert await status(world, endpoint, verb, token=None, client=client) == (401 if endpoint.needs_name else 200)
    assert await status(world, endpoint, verb, token=expired) == 401


@pytest.mark.parametrize("path", PROBES)
@pytest.mark.parametrize("prefix", ["", "/api"])
async def test_probes_are_open_to_all(keyed, path, prefix):
    """A load balancer has no token."""
    world, _, expired, _ = keyed
    for token in (None, expired):
        assert (await world.ask("GET", prefix + path, token=token, client=REMOTE)).status == 200


CHANGES = [e for e in ENDPOINTS if e.changes_something and e.role > Role.PROPOSER]


@pytest.mark.parametrize("endpoint", CHANGES, ids=lambda e: e.path)
async def test_a_proposer_rehearses_what_can_be_rehearsed_and_nothing_else(keyed, gate, endpoint):
    world, tokens, _, _ = keyed
    verb, path = endpoint.verbs[0], target(endpoint)
    can = DRY_RUN in endpoint.query.fields

    def ask(query, role):
        return world.ask(verb, f"{path}?{query}", token=tokens[role])

    assert (await ask("dry_run=true", Role.PROPOSER)).status == (200 if can else 403)
    assert (await ask("dryRun=true", Role.PROPOSER)).status == (200 if can else 403)
    assert (await ask("dry_run=false", Role.PROPOSER)).status == 403
    assert (await ask("", Role.PROPOSER)).status == 403
    assert (await ask("dry_run=true", Role.VIEWER)).status == 403


async def test_a_refusal_says_which_role_is_needed(keyed):
    world, tokens, _, _ = keyed

    answer = await world.ask("POST", "/deploy", {}, token=tokens[Role.VIEWER])

    assert (answer.status, answer.json["needs"]) == (403, "operator")
    assert "t-viewer is viewer" in answer.json["detail"]
    assert "WWW-Authenticate" not in answer.response.headers
    proposer = await world.ask("POST", "/deploy", {}, token=tokens[Role.PROPOSER])
    assert "dry_run" in proposer.json["detail"]
    nobody = await world.ask("POST", "/deploy", {}, token=None)
    assert (nobody.status, nobody.json["needs"]) == (401, "operator")


async def test_an_unknown_name_and_a_wrong_secret_look_the_same(keyed):
    world, tokens, _, _ = keyed
    wrong = tokens[Role.ADMIN][:-1] + ("0" if tokens[Role.ADMIN][-1] != "0" else "1")

    answers = [await world.ask("GET", "/status", token=t) for t in (wrong, wrong.replace("t-admin", "nobody"))]

    assert answers[0].json == answers[1].json
    assert 'error="invalid_token"' in answers[0].response.headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    "headers",
    [
        {"x-api-key": "{}"},
        {"authorization": "bEaReR {}"},
        {"sec-websocket-protocol": f"{SUBPROTOCOL}, {SUBPROTOCOL_TOKEN}{{}}"},
        {"authorization": "Bearer {}", "x-api-key": "{}"},
    ],
    ids=lambda headers: " ".join(headers),
)
async def test_a_token_may_stand_in_any_of_these_fields(keyed, headers):
    """X-API-Key for the original's later clients; a subprotocol for pages that open a WebSocket."""
    world, tokens, _, _ = keyed
    given = {name: value.format(tokens[Role.ADMIN]) for name, value in headers.items()}

    assert (await world.ask("GET", "/tokens", token=None, headers=given)).status == 200


async def test_two_tokens_in_one_request_are_none(keyed):
    """Which of them was meant would be a guess."""
    world, tokens, _, _ = keyed
    headers = {"x-api-key": tokens[Role.ADMIN]}

    assert (await world.ask("GET", "/status", token=tokens[Role.VIEWER], headers=headers)).status == 401


@pytest.mark.parametrize("name", ["token", "access_token", "api_key", "authorization"])
async def test_no_path_reads_a_token_from_its_address(keyed, name):
    world, tokens, _, _ = keyed

    answer = await world.ask("GET", f"/tokens?{name}={tokens[Role.ADMIN]}", token=None)

    assert answer.status == 401
    assert (await world.ask("GET", f"/tokens?{name}={tokens[Role.ADMIN]}")).status == 400


@pytest.mark.parametrize(
    ("client", "here"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:198.51.100.7", False),
        ("198.51.100.7", False),
        ("fe80::1%lo", False),
        ("::", False),
        ("0.0.0.0", False),
        ("localhost", False),
        ("", False),
    ],
)
async def test_looking_without_a_name_is_for_this_machine_alone(world, client, here):
    assert (await world.ask("GET", "/status", token=None, client=client)).status == (200 if here else 401)


async def test_a_flood_of_refusals_is_slowed_counted_and_not_logged(keyed, caplog, autojump_clock):
    """A log that anybody can fill hides what matters, and then fills the disk."""
    from aether.management.admission_service import Admission
    from aether.security.denials import Denials
    from aether.web.request import Request

    world, tokens, _, _ = keyed
    denials = Denials()
    admission = Admission(world.access, denials, lambda: 5.0)
    endpoint = next(e for e in ENDPOINTS if e.path == "/deploy")

    def ask(client="198.51.100.7", token="wrong"):
        headers = (("authorization", f"Bearer {token}"),)
        return admission.admit(Request(verb="POST", path="/deploy", headers=headers, client=client), endpoint)

    with caplog.at_level(logging.DEBUG):
        answers = [ask() for _ in range(2_000)]
        same_network = [ask(f"2001:db8::{n:x}").status for n in range(100)]

    assert [a.status for a in answers[:DENIED_PER_MINUTE_MAX]] == [401] * DENIED_PER_MINUTE_MAX
    assert {a.status for a in answers[DENIED_PER_MINUTE_MAX:]} == {429}
    assert int(answers[-1].headers["Retry-After"]) >= 1
    assert same_network.count(401) == DENIED_PER_MINUTE_MAX, "a client with many addresses is one client"
    assert denials.uncounted == 2_100
    assert len(denials.kept) == DENIALS_KEPT_MAX
    assert caplog.records == []
    assert ask("203.0.113.9").status == 401, "others are not slowed"
    assert ask(token=tokens[Role.OPERATOR]).role is Role.OPERATOR, "nor is whoever brings what is needed"


async def test_the_identity_of_a_certificate_is_a_caller(world):
    """Where a token and a certificate come together, the token counts: it was chosen for this request."""
    from aether.management.access import Caller
    from aether.web.request import Request

    rules = attrs.evolve(
        world.access, identify=lambda identity: Caller(identity, Role.OPERATOR) if identity == "ops" else None
    )

    def caller(identity, *headers):
        return rules.caller(Request(verb="GET", path="/", headers=headers, client=REMOTE, identity=identity))

    assert caller("ops") == Caller("ops", Role.OPERATOR)
    assert "may not use" in caller("somebody").about
    assert caller("ops", ("authorization", "Bearer t0ken")).role is Role.ADMIN


async def test_tokens_are_made_listed_and_revoked(keyed):
    world, _, _, _ = keyed
    made = await world.ask("POST", "/tokens", {"role": "operator", "name": "ci", "lifeSeconds": 60, "roles": ["clerk"]})
    listed = await world.ask("GET", "/tokens")
    gone = await world.ask("DELETE", "/tokens/ci", content_type=None)

    assert made.json["token"].startswith("aether_ci_")
    assert "aether_" not in str(listed.json)
    assert "digest" not in str(listed.json)
    assert (gone.status, "ci" in world.tokens.kept) == (200, False)
    for body in ({"role": "king"}, {"role": "viewer", "roles": "clerk"}, {"role": "viewer", "lifeSeconds": 0}):
        assert (await world.ask("POST", "/tokens", body)).status == 400


async def test_the_text_of_a_new_token_is_in_no_log(keyed, caplog):
    world, _, _, _ = keyed
    with caplog.at_level(logging.DEBUG):
        made = await world.ask("POST", "/tokens", {"role": "operator", "name": "ci"})

    assert made.json["token"] not in caplog.text
    assert "/tokens by admin" in caplog.text


async def test_rows_of_tokens_and_of_the_audit_are_not_touched_by_kv(world):
    """Not even by force: a digest put there by hand would be a back door, an audit that is rewritten is none."""
    world.stored.change("routes/a:b", b"\x01")
    world.stored.change("tokens/a", b"\x01")
    world.stored.change("tokens/b", b"\x01")
    world.stored.change("traffic/a:b", b"\x01")

    for limit in (1, 2, 3, 4):
        page = (await world.ask("GET", f"/kv?limit={limit}")).json
        assert [row["key"] for row in page["rows"]] == ["routes/a:b", "traffic/a:b"][:limit]
    assert (await world.ask("GET", "/kv?prefix=tokens/")).json["rows"] == []
    assert (await world.ask("GET", "/kv/row?key=tokens/a")).status == 404
    changes = (await world.ask("GET", "/kv/changes?since=1")).json["changes"]
    assert {change["key"] for change in changes} == {"routes/a:b", "traffic/a:b"}
    for key in ("tokens/a", "audit/a", "denials/1"):
        body = {"key": key, "value": {}, "force": True}
        assert (await world.ask("POST", "/kv/put", body)).status == 400
        assert (await world.ask("POST", "/kv/delete", {"key": key, "force": True})).status == 400


@pytest.mark.parametrize(("endpoint", "verb"), PATHS)
async def test_a_node_without_a_majority_lets_tokens_only_look(keyed, gate, endpoint, verb):
    """A token may have been revoked meanwhile, and nobody told this node. Its own file is no row, and holds."""
    world, tokens, _, _ = keyed
    for silent_s, cut_off in ((RIGHT_STALE_S - 1, False), (RIGHT_STALE_S + 1, True)):
        world.access = attrs.evolve(world.access, silent_s=lambda silent_s=silent_s: silent_s)
        for role in Role:
            given = await status(world, endpoint, verb, token=tokens[role])
            if role >= endpoint.role > Role.VIEWER and cut_off:
                assert given == 503
            else:
                assert (given == 200) is (role >= endpoint.role)
        assert await status(world, endpoint, verb, token=world.access.token) == 200


@pytest.mark.parametrize("endpoint", [e for e in ENDPOINTS if DRY_RUN in e.query.fields], ids=lambda e: e.path)
async def test_a_node_without_a_majority_lets_no_token_rehearse(keyed, gate, endpoint):
    """A rehearsal says more than a look: a token that was taken back must not have it by a role below the path's."""
    world, tokens, _, _ = keyed
    asked = f"{target(endpoint)}?dry_run=true"
    for silent_s, wanted in ((RIGHT_STALE_S - 1, 200), (RIGHT_STALE_S + 1, 503)):
        world.access = attrs.evolve(world.access, silent_s=lambda silent_s=silent_s: silent_s)
        for role in (Role.PROPOSER, Role.OPERATOR, Role.ADMIN):
            assert (await world.ask(endpoint.verbs[0], asked, token=tokens[role])).status == wanted
        assert (await world.ask(endpoint.verbs[0], asked)).status == 200
