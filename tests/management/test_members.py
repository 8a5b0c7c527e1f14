"""The membership over the admin API: what is shown, what may be asked, and how it is waited for."""

from __future__ import annotations

import attrs
import pytest
import trio

from aether.errors import Conflict, NotFound
from aether.model.rows import RemovedRow, RoleRow


@pytest.mark.parametrize("prefix", ["", "/api"])
@pytest.mark.parametrize(
    ("path", "body", "asked", "status"),
    [
        ("add", {"node": "n4", "address": "10.0.0.4:8090"}, ("add", "n4", "10.0.0.4:8090"), "added"),
        ("remove", {"nodeId": "n4"}, ("remove", "n4", "admin"), "removed"),
        ("promote", {"node": "n4"}, ("promote", "n4"), "promoted"),
        ("demote", {"node_id": "n4"}, ("demote", "n4"), "demoted"),
        ("transfer-leader", {"node": "n4"}, ("transfer", "n4"), "transferred"),
        ("transfer-leader", {}, ("transfer", ""), "transferred"),
    ],
)
async def test_each_wish_is_passed_on_and_says_what_is_still_to_come(world, prefix, path, body, asked, status):
    world.members.pending = ["n4 is not there yet"]
    answer = await world.ask("POST", f"{prefix}/members/{path}", body)

    assert answer.status == 200
    assert world.members.asked == [asked]
    assert (answer.json["status"], answer.json["pending"]) == (status, ["n4 is not there yet"])
    assert answer.json["revision"] == 42


@pytest.mark.parametrize("path", ["add", "remove", "promote", "demote", "transfer-leader"])
async def test_changes_of_the_membership_need_the_token(world, path):
    assert (await world.ask("POST", f"/members/{path}", {"node": "n4"}, token=None)).status == 401
    assert world.members.asked == []


@pytest.mark.parametrize(("error", "status"), [(NotFound("member", "n9"), 404), (Conflict("member n2", "why"), 409)])
async def test_a_refusal_says_why(world, error, status):
    world.members.fails = error
    answer = await world.ask("POST", "/members/remove", {"node": "n9"})

    assert answer.status == status
    assert str(error) in answer.json["detail"]


async def test_waiting_ends_when_nothing_is_missing(world, autojump_clock):
    """Who votes and who leads is no row, so nothing else would wake whoever waits."""
    world.members.pending = ["not yet"]

    async def happen():
        await trio.sleep(3)
        world.members.pending = []

    async with trio.open_nursery() as nursery:
        nursery.start_soon(happen)
        answer = await world.ask("POST", "/members/remove?wait=30", {"node": "n4"})

    assert (answer.status, answer.json["pending"]) == (200, [])
    assert 3 <= trio.current_time() < 4


async def test_waiting_in_vain_says_what_is_missing(world, autojump_clock):
    world.members.pending = ["n4 is not yet a voter"]
    answer = await world.ask("POST", "/members/promote?wait=5", {"node": "n4"})

    assert answer.status == 504
    assert answer.json["missing"] == ["n4 is not yet a voter"]


async def test_the_members_show_who_votes_who_works_and_who_leaves(world):
    world.consensus.voters = ("node-1",)
    group = attrs.evolve(world.consensus.configuration, voters=("node-1", "node-8"), learners=("node-2",))
    world.consensus.configuration = group
    world.consensus.configuration_index = 17
    world.rows.role_rows = [RoleRow(node="node-2", votes=False)]
    world.rows.removed_rows = [RemovedRow(node="node-0"), RemovedRow(node="node-2")]
    answer = (await world.ask("GET", "/members")).json
    shown = {each["id"]: each for each in answer["members"]}

    assert (answer["configurationIndex"], answer["removed"]) == (17, ["node-0", "node-2"])
    assert shown["node-1"]["kind"] == "VOTER"
    assert [shown["node-2"][name] for name in ("kind", "ordered", "leaving")] == ["WORKER", "WORKER", True]
    assert shown["node-8"]["state"] == "UNREACHABLE"  # a founder that was never started


async def test_the_status_names_the_cluster_and_counts_refusals(world):
    """Clusters that were wired together by mistake show here before anybody reads a log."""
    world.local.handshakes_refused = {"other-cluster": 3}
    answer = (await world.ask("GET", "/status")).json

    assert answer["clusterId"] == "c0ffee"
    assert answer["handshakesRefused"] == {"other-cluster": 3}
