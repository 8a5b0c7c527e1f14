"""Changes that carry their audit, changes on a condition, and rehearsals, on whole nodes in virtual time."""

from __future__ import annotations

import logging

import pytest
import trio

import aether
from aether.kv import keys
from aether.kv.commands import Batch, Delete, Put
from aether.model.access import AuditRow, DenialsRow, Role
from aether.model.limits import AUDIT_ROWS_MAX, AUDIT_TRIM_S, DENIALS_COUNT_S
from aether.security import audit_manager


@aether.slice(artifact="shop:greeter:1.0.0")
class Greeter:
    async def greet(self) -> str:
        return "hello"


GREETER = "shop:greeter:1.0.0"


def audit_of(node):
    """In the order of the log."""
    return sorted(node.kv.rows(keys.AUDIT), key=lambda row: node.kv.version(keys.audit(row.id)))


async def test_a_change_and_its_audit_are_one_revision(aether_cluster, desks):
    """Neither is ever there without the other."""
    ask, *_ = await desks(aether_cluster, Greeter)
    made = await ask("POST", "/scale", {"artifact": GREETER, "instances": 2, "reason": "sale"})

    (row,) = audit_of(ask.node)
    assert ask.node.kv.version(keys.audit(row.id)) == made.json["revision"]
    assert (row.actor, row.role, row.verb, row.path) == ("admin", Role.ADMIN, "POST", "/scale")
    assert (row.request_id, row.node) == ("r-1", ask.node.config.node)
    assert "instances=2" in row.detail


async def test_every_kind_of_change_is_audited_and_what_is_so_already_is_not(aether_cluster, desks):
    ask, *_ = await desks(aether_cluster, Greeter)
    node = ask.node.config.node
    changes = [
        ("POST", "/scale", {"artifact": GREETER, "instances": 2}),
        ("POST", "/kv/put", {"key": "maps/m/k", "value": "private"}),
        ("POST", "/kv/delete", {"key": "maps/m/k"}),
        ("POST", "/blueprint", {"toml": '[[slices]]\nartifact = "shop:greeter:1.0.0"\ninstances = 1\n'}),
        ("POST", "/tokens", {"role": "viewer", "name": "v"}),
        ("DELETE", "/tokens/v", None),
        ("POST", "/undeploy", {"artifact": GREETER}),
        ("POST", f"/nodes/{node}/drain", {"force": True}),
        ("POST", f"/nodes/{node}/activate", {}),
    ]
    for verb, path, body in changes:
        answer = await ask(verb, path, body)
        assert answer.status == 200, answer.json
    before = len(audit_of(ask.node))
    await ask("POST", "/undeploy", {"artifact": GREETER})  # nothing is wanted of it already

    assert [row.path for row in audit_of(ask.node)] == [path for _, path, _ in changes]
    assert len(audit_of(ask.node)) == before
    assert "private" not in str(audit_of(ask.node))


@pytest.mark.parametrize("role", ["viewer", "operator", None])
async def test_who_may_not_read_the_audit_does_not_find_its_rows_in_the_store(aether_cluster, desks, role):
    """/audit is for admins: its rows must not be had by the path for rows. None: a stranger of the same machine."""
    ask, *_ = await desks(aether_cluster, Greeter)
    made = await ask("POST", "/tokens", {"role": role or "viewer", "name": "t", "note": "for Bob"})
    token = made.json["token"] if role else None
    (row,) = audit_of(ask.node)

    assert (await ask("GET", "/audit", token=token)).status == (403 if role else 401)
    await trio.sleep(DENIALS_COUNT_S + 1)
    assert list(ask.node.kv.rows(keys.DENIALS)), "there are such rows"
    listed = (await ask("GET", "/kv?limit=1000", token=token)).json["rows"]
    changed = (await ask("GET", "/kv/changes?since=1", token=token)).json["changes"]
    for found in (listed, changed):
        assert {"audit", "denials"}.isdisjoint(each["key"].partition("/")[0] for each in found)
        assert found
    assert (await ask("GET", "/kv?prefix=audit/", token=token)).json["rows"] == []
    assert (await ask("GET", f"/kv/row?key=audit/{row.id}", token=token)).status == 404


@aether.slice(artifact="shop:keeper:1.0.0")
class Keeper:
    stock: aether.Map[str, int] = aether.map("stock")

    async def keep(self, secret: str) -> None:
        await self.stock.put("tea", len(secret))


async def test_a_call_by_an_operator_is_written_down_before_it_is_made(aether_cluster, desks):
    """What the slice writes meanwhile is its own, and the arguments are nobody else's business."""
    ask, *_ = await desks(aether_cluster, Keeper)
    body = {"slice": "shop:keeper", "method": "keep", "arguments": {"secret": "canary"}}
    assert (await ask("POST", "/call", body)).status == 200

    assert (await ask("POST", "/call", body, headers=condition(1))).status == 400
    (row,) = audit_of(ask.node)
    assert (row.path, row.actor) == ("/call", "admin")
    assert "canary" not in row.detail
    assert "method=keep" in row.detail
    written = ask.node.kv.version(keys.map_entry("stock", b"tea"))
    assert 0 < ask.node.kv.version(keys.audit(row.id)) < written


async def test_an_evaluation_is_written_down_whichever_node_is_asked_and_leads(aether_cluster, desks):
    """The controller decides in a task of the leader, whose batches are not the request's own."""
    asked = await desks(aether_cluster, Greeter, nodes=2)
    for ask in asked:
        assert (await ask("POST", "/controller/evaluate?dry_run=true", {})).status == 200
        assert audit_of(ask.node) == []
    for ask in asked:
        assert (await ask("POST", "/controller/evaluate", {})).status == 200
        assert (await ask("POST", "/controller/evaluate", {}, headers=condition(1))).status == 400
    await trio.sleep(1)

    for ask in asked:
        assert [row.path for row in audit_of(ask.node)] == ["/controller/evaluate"] * 2


async def test_a_change_that_is_refused_leaves_nothing(aether_cluster, desks):
    ask, *_ = await desks(aether_cluster, Greeter)
    assert (await ask("POST", "/scale", {"artifact": "no:such:1.0.0", "instances": 2})).status >= 400
    assert (await ask("POST", "/kv/put", {"key": "maps/m/k", "value": 1, "ifVersion": 7})).status == 409

    assert audit_of(ask.node) == []


async def test_what_managers_do_is_no_change_of_an_operator(aether_cluster, desks):
    """Slices start and leaders write; the audit is of people and their programs."""
    ask, *_ = await desks(aether_cluster, Greeter, nodes=3)
    await trio.sleep(30)

    assert audit_of(ask.node) == []


async def test_an_audit_reads_on_where_it_stopped(aether_cluster, desks):
    ask, *_ = await desks(aether_cluster, Greeter)
    for number in range(5):
        await ask("POST", "/kv/put", {"key": "maps/m/k", "value": number})
    first = (await ask("GET", "/audit?since=0&limit=2")).json
    second = (await ask("GET", f"/audit?since={first['next']}&limit=2")).json
    third = (await ask("GET", f"/audit?since={second['next']}&limit=2")).json
    newest = (await ask("GET", "/audit?limit=2")).json

    seen = [c["revision"] for page in (first, second, third) for c in page["changes"]]
    assert len(seen) == 5
    assert seen == sorted(set(seen))
    assert [c["revision"] for c in newest["changes"]] == seen[-2:]
    assert (await ask("GET", f"/audit?since={third['next']}")).json["changes"] == []


# --- rehearsals -------------------------------------------------------------------------------------------------------


async def test_a_rehearsal_says_what_would_be_written_and_writes_nothing(aether_cluster, desks):
    ask, *_ = await desks(aether_cluster, Greeter)
    before = ask.node.kv.revision
    shown = await ask("POST", "/scale?dry_run=true", {"artifact": GREETER, "instances": 3})

    assert (shown.status, shown.json["status"], shown.json["dryRun"]) == (200, "rehearsed", True)
    writes = {write["key"]: write for write in shown.json["writes"]}
    assert writes["desired/shop:greeter"]["value"]["instances"] == 3
    assert writes["overrides/shop:greeter"]["action"] == "put"
    assert "desired/shop:greeter" in shown.json["dependsOn"]
    assert ask.node.kv.revision == before
    assert audit_of(ask.node) == []
    assert (await ask("POST", "/scale", {"artifact": GREETER, "instances": 3})).status == 200


async def test_a_rehearsal_of_a_blueprint_is_its_plan(aether_cluster, desks):
    ask, *_ = await desks(aether_cluster, Greeter)
    text = '[[slices]]\nartifact = "shop:greeter:1.0.0"\ninstances = 2\n'
    plan = await ask("POST", "/blueprint/plan", {"toml": text})
    before = ask.node.kv.revision
    shown = await ask("POST", "/blueprint?dry_run=true", {"toml": text})

    assert shown.json == {**plan.json, "dryRun": True}
    assert ask.node.kv.revision == before


async def test_a_rehearsal_is_refused_where_the_change_would_be(aether_cluster, desks):
    ask, *_ = await desks(aether_cluster, Greeter)
    assert (await ask("POST", "/scale?dry_run=true", {"artifact": "no:such:1.0.0", "instances": 2})).status == 400
    assert (await ask("POST", "/slices/rescan?dry_run=true", {})).status == 400, "what it does is no row"


async def test_a_rehearsal_of_what_is_so_already_writes_nothing(aether_cluster, desks):
    ask, *_ = await desks(aether_cluster, Greeter)
    await ask("POST", "/undeploy", {"artifact": GREETER})
    shown = await ask("POST", "/undeploy?dry_run=true", {"artifact": GREETER})

    assert (shown.json["dryRun"], shown.json["wasWanted"]) == (True, False)


async def test_a_proposer_rehearses_and_does_not_act(aether_cluster, desks):
    ask, *_ = await desks(aether_cluster, Greeter)
    token = (await ask("POST", "/tokens", {"role": "proposer", "name": "agent"})).json["token"]
    body = {"artifact": GREETER, "instances": 3}

    assert (await ask("POST", "/scale?dry_run=true", body, token=token)).status == 200
    assert (await ask("POST", "/scale", body, token=token)).status == 403
    assert (await ask("POST", "/blueprint/plan", {"toml": ""}, token=token)).status != 403


# --- conditions -------------------------------------------------------------------------------------------------------


def condition(revision):
    return {"if-match": f'"{revision}"'}


async def test_a_change_on_a_condition_happens_while_nothing_relevant_has_changed(aether_cluster, desks):
    """Other slices and maps may change meanwhile."""
    ask, *_ = await desks(aether_cluster, Greeter)
    seen = (await ask("GET", "/slices")).json["revision"]
    await ask("POST", "/kv/put", {"key": "maps/m/k", "value": 1})

    made = await ask("POST", "/scale", {"artifact": GREETER, "instances": 2}, headers=condition(seen))
    assert made.status == 200
    again = await ask("POST", "/scale", {"artifact": GREETER, "instances": 3}, headers=condition(seen))
    assert again.status == 412
    assert "desired/shop:greeter" in again.json["changed"]
    later = await ask("POST", "/scale", {"artifact": GREETER, "instances": 3}, headers=condition(made.json["revision"]))
    assert later.status == 200


async def test_a_row_that_was_deleted_or_made_since_has_changed(aether_cluster, desks):
    """An absent row has no version, so the history is asked."""
    ask, *_ = await desks(aether_cluster, Greeter)
    seen = (await ask("GET", "/slices")).json["revision"]
    put = {"key": "maps/m/k", "value": 1}
    assert (await ask("POST", "/kv/put", put, headers=condition(seen))).status == 200
    assert (await ask("POST", "/kv/put", put, headers=condition(seen))).status == 412
    await ask("POST", "/kv/delete", {"key": "maps/m/k"})
    assert (await ask("POST", "/kv/put", put, headers=condition(seen))).status == 412


async def test_of_two_that_decide_on_the_same_state_one_wins(aether_cluster, desks):
    """The check and the change are one batch: nobody slips in between, whichever node is asked."""
    asks = await desks(aether_cluster, Greeter, nodes=3)
    seen = (await asks[0]("GET", "/slices?consistent=true")).json["revision"]
    statuses = []

    async def scale(ask, instances):
        body = {"artifact": GREETER, "instances": instances}
        statuses.append((await ask("POST", "/scale", body, headers=condition(seen))).status)

    async with trio.open_nursery() as nursery:
        for instances, ask in enumerate(asks, 2):
            nursery.start_soon(scale, ask, instances)

    assert sorted(statuses) == [200, 412, 412]


@pytest.mark.parametrize("text", ["*", "42", 'W/"42"', '"x"', '""', '"-1"', '"1", "2"'])
async def test_a_condition_that_is_not_understood_is_refused(aether_cluster, desks, text):
    """Ignoring it would be to do what was not to be done."""
    ask, *_ = await desks(aether_cluster, Greeter)

    answer = await ask("POST", "/scale", {"artifact": GREETER, "instances": 2}, headers={"if-match": text})

    assert answer.status == 400
    assert audit_of(ask.node) == []


async def test_a_condition_from_a_node_that_is_ahead_is_waited_for(aether_cluster, desks):
    ask, *_ = await desks(aether_cluster, Greeter)
    ahead = ask.node.kv.revision + 1_000

    answer = await ask("POST", "/scale", {"artifact": GREETER, "instances": 2}, headers=condition(ahead))

    assert answer.status == 503
    assert audit_of(ask.node) == []


# --- bounds -----------------------------------------------------------------------------------------------------------


def old_row(number):
    return AuditRow(
        id=f"{number:013d}-x", at=0.0, actor="a", role=Role.ADMIN, verb="POST", path="/x", request_id="r", node="n"
    )


async def test_the_leader_deletes_the_oldest_rows(aether_cluster, desks, monkeypatch):
    kept = ((keys.AUDIT, 50), (keys.DENIALS, 3))
    monkeypatch.setattr(audit_manager, "KEPT", kept)
    assert dict(audit_manager.KEPT).keys() == {keys.AUDIT, keys.DENIALS}
    asks = await desks(aether_cluster, Greeter, nodes=3)
    kv = asks[0].node.kv
    await kv.propose(Batch((), tuple(Put(keys.audit(old_row(n).id), old_row(n)) for n in range(80))))
    await kv.propose(Batch((), tuple(Put(keys.denials(n), DenialsRow(minute=n, count=1)) for n in range(11, 20))))
    await trio.sleep(3 * AUDIT_TRIM_S)

    assert [row.id for row in audit_of(asks[0].node)] == [old_row(n).id for n in range(30, 80)]
    assert [row.minute for row in kv.rows(keys.DENIALS)] == [17, 18, 19]


def test_as_many_are_kept_as_the_limits_say():
    assert dict(audit_manager.KEPT)[keys.AUDIT] == AUDIT_ROWS_MAX


async def test_refusals_are_one_row_a_minute_for_all_nodes(aether_cluster, desks, caplog):
    """However many there are, no log grows, and the store by a row."""
    asks = await desks(aether_cluster, Greeter, nodes=3)
    revision = asks[0].node.kv.revision
    with caplog.at_level(logging.INFO):
        for ask in asks:
            for _ in range(200):
                answer = await ask("POST", "/scale", {"artifact": GREETER, "instances": 2}, token=None)
                assert answer.status in (401, 429)
        assert asks[0].node.kv.revision == revision
        await trio.sleep(DENIALS_COUNT_S * 2)
    rows = list(asks[0].node.kv.rows(keys.DENIALS))

    assert sum(row.count for row in rows) == 600
    assert len(rows) <= 2
    assert [r for r in caplog.records if r.name.startswith(("aether.management", "aether.security"))] == []
    audit = (await asks[0]("GET", "/audit")).json
    assert sum(minute["count"] for minute in audit["refusedByMinute"]) == 600
    assert audit["refused"][-1]["caller"] == "anonymous"
    assert audit["changes"] == []


# --- tokens -----------------------------------------------------------------------------------------------------------


async def test_a_token_holds_on_every_node_until_it_is_revoked_or_expires(aether_cluster, desks):
    asks = await desks(aether_cluster, Greeter, nodes=3)
    made = (await asks[0]("POST", "/tokens", {"role": "operator", "name": "ci", "lifeSeconds": 3600})).json
    for ask in asks:
        await ask.node.kv.wait_applied(made["revision"])
        assert (await ask("POST", "/kv/put", {"key": "maps/m/k", "value": 1}, token=made["token"])).status == 200
        assert (await ask("GET", "/tokens", token=made["token"])).status == 403
    assert {row.actor for row in audit_of(asks[0].node)} == {"admin", "ci"}
    revoked = (await asks[1]("DELETE", "/tokens/ci")).json["revision"]
    for ask in asks:
        await ask.node.kv.wait_applied(revoked)
        assert (await ask("GET", "/status", token=made["token"])).status == 401


async def test_two_tokens_of_one_name_are_refused_and_a_name_can_be_used_again(aether_cluster, desks):
    ask, *_ = await desks(aether_cluster, Greeter)
    first = (await ask("POST", "/tokens", {"role": "viewer", "name": "ci"})).json["token"]
    assert (await ask("POST", "/tokens", {"role": "viewer", "name": "ci"})).status == 409
    assert (await ask("DELETE", "/tokens/ci")).status == 200
    assert (await ask("DELETE", "/tokens/ci")).status == 404
    second = (await ask("POST", "/tokens", {"role": "viewer", "name": "ci"})).json["token"]

    assert first != second
    assert (await ask("GET", "/status", token=first)).status == 401
    assert (await ask("GET", "/status", token=second)).status == 200


async def test_a_deleted_row_of_a_token_is_known_no_more(aether_cluster, desks):
    """Also when something else than the API deletes it."""
    ask, *_ = await desks(aether_cluster, Greeter)
    text = (await ask("POST", "/tokens", {"role": "viewer", "name": "ci"})).json["token"]
    await ask.node.kv.propose(Batch((), (Delete(keys.token("ci")),)))

    assert (await ask("GET", "/status", token=text)).status == 401
