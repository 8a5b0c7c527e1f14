"""Duties over the admin API: both spellings, what is shown, how a drain is waited for."""

from __future__ import annotations

import attrs
import pytest

from aether.errors import Conflict, NotFound
from aether.model.artifact import Artifact
from aether.model.duty import Duty, DutyRow
from aether.model.rows import UnsatisfiedRow

PRICING = Artifact.parse("shop:pricing:1.0.0")


@pytest.mark.parametrize("prefix", ["", "/api"])
@pytest.mark.parametrize("spelling", ["/nodes/node-2/{}", "/node/{}/node-2"])
@pytest.mark.parametrize(
    ("word", "body", "asked", "status"),
    [
        ("drain", {}, ("drain", "node-2", "admin", False), "draining"),
        ("drain", {"force": True}, ("drain", "node-2", "admin", True), "draining"),
        ("activate", {}, ("activate", "node-2", "admin"), "activated"),
        ("shutdown", {"force": True}, ("shutdown", "node-2", "admin", True), "shutting down"),
    ],
)
async def test_each_word_is_passed_on_in_both_spellings(world, prefix, spelling, word, body, asked, status):
    world.duties.pending = ["shop:pricing: 1 still on node-2"]
    answer = await world.ask("POST", prefix + spelling.format(word), body)

    assert answer.status == 200, answer.json
    assert world.duties.asked == [asked]
    assert answer.json["status"] == status
    assert answer.json["pending"] == ["shop:pricing: 1 still on node-2"]


async def test_a_word_that_was_said_before_is_no_failure(world):
    world.duties.changed = False
    answer = await world.ask("POST", "/nodes/node-2/drain", {})

    assert (answer.status, answer.json["status"]) == (200, "already draining")


@pytest.mark.parametrize(("error", "status"), [(NotFound("node", "n9"), 404), (Conflict("node n2", "why"), 409)])
async def test_a_refusal_says_why(world, error, status):
    world.duties.fails = error
    answer = await world.ask("POST", "/nodes/n9/drain", {})

    assert answer.status == status
    assert str(error) in answer.json["detail"]


@pytest.mark.parametrize("word", ["drain", "activate", "shutdown"])
async def test_words_need_the_token(world, word):
    assert (await world.ask("POST", f"/nodes/node-2/{word}", {}, token=None)).status == 401
    assert world.duties.asked == []


async def test_a_drain_in_vain_says_what_it_waits_for(world, autojump_clock):
    world.duties.pending = ["shop:pricing: 1 still on node-2; no place elsewhere: max_per_node"]
    answer = await world.ask("POST", "/nodes/node-2/drain?wait=5", {})

    assert answer.status == 504
    assert answer.json["missing"] == world.duties.pending


async def test_members_show_duty_and_what_a_drain_waits_for(world):
    world.rows.duty_rows = [DutyRow(node="node-2", duty=Duty.DRAINING, by="ann", at=7.0)]
    world.rows.instance_rows = [
        attrs.evolve(row, node="node-2", incarnation="node-2.1") for row in world.rows.instance_rows[:1]
    ]
    world.rows.unsatisfied_rows = [
        UnsatisfiedRow(artifact=row.artifact.base, missing=1, reason="n9 is full") for row in world.rows.instance_rows
    ]
    shown = {each["id"]: each for each in (await world.ask("GET", "/members")).json["members"]}
    base = str(world.rows.instance_rows[0].artifact.base)

    assert shown["node-2"]["duty"] == "DRAINING"
    assert shown["node-2"]["waitsFor"] == [f"{base}: 1 still on node-2; no place elsewhere: n9 is full"]
    assert (shown["node-1"]["duty"], shown["node-1"]["waitsFor"]) == ("ON_DUTY", [])


async def test_lifecycles_say_who_said_what_and_what_may_follow(world):
    world.rows.duty_rows = [DutyRow(node="node-2", duty=Duty.DECOMMISSIONED, by="ann", at=7.0)]
    all_of_them = {each["nodeId"]: each for each in (await world.ask("GET", "/nodes/lifecycle")).json["nodes"]}
    one = (await world.ask("GET", "/node/lifecycle/node-2")).json

    assert one["state"] == "DECOMMISSIONED"
    assert (one["by"], one["since"], one["next"]) == ("ann", 7.0, ["ON_DUTY", "SHUTTING_DOWN"])
    assert all_of_them["node-2"] == {key: value for key, value in one.items() if key != "revision"}
    assert all_of_them["node-1"]["state"] == "ON_DUTY"
    assert (await world.ask("GET", "/node/lifecycle/node-9")).status == 404
