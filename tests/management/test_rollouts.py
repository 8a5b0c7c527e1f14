"""Updates at the admin API: both spellings, every field of the original, clear refusals."""

import pytest

from aether.errors import Conflict, NotFound
from aether.model.rollout import Cleanup, Gates, RolloutPlan, Strategy

U = {
    "updateId",
    "artifactBase",
    "oldVersion",
    "newVersion",
    "state",
    "routing",
    "newInstances",
    "createdAt",
    "updatedAt",
}


@pytest.mark.parametrize("artifact", ["artifact", "artifactBase"])
async def test_the_original_starts_an_update_in_either_spelling(world, artifact):
    body = {artifact: "shop:pricing", "version": "2.0.0", "instances": 3, "maxErrorRate": 0.01, "maxLatencyMs": 500}
    body |= {"requireManualApproval": True, "cleanupPolicy": "GRACE_PERIOD"}
    answer = await world.ask("POST", "/rolling-update/start", body)
    assert answer.status == 200
    assert answer.json.keys() >= U | {"newWeight", "oldWeight", "revision"}
    plan = RolloutPlan(
        strategy=Strategy.MANUAL,
        instances=3,
        gates=Gates(error_rate=0.01, p99_ms=500),
        manual_approval=True,
        cleanup=Cleanup.GRACE_PERIOD,
    )
    assert world.rollouts.asked == [("start", "shop:pricing", "2.0.0", plan, "admin")]


async def test_ours_takes_a_whole_plan(world):
    body = {"artifact": "shop:pricing:2.0.0", "strategy": "canary", "steps": "5,50", "holdS": 2, "force": True}
    assert (await world.ask("POST", "/rollouts/start", body)).status == 200
    plan = RolloutPlan(strategy=Strategy.CANARY, steps=(5, 50), hold_s=2.0, force=True)
    assert world.rollouts.asked == [("start", "shop:pricing:2.0.0", "", plan, "admin")]


async def test_gates_go_by_name_and_single_ones_say_otherwise(world):
    start = {"artifact": "shop:pricing:2.0.0", "strategy": "canary"}
    bodies = [{"gates": "STRICT"}, {"gates": "strict", "maxLatencyMs": 90}, {"gates": "manual-only"}]
    for body in bodies:
        assert (await world.ask("POST", "/rollouts/start", start | body)).status == 200
    strict, faster, by_hand = (asked[3] for asked in world.rollouts.asked)
    assert (strict.gates, strict.manual_approval) == (Gates(error_rate=0.001, p99_ms=200.0), False)
    assert faster.gates == Gates(error_rate=0.001, p99_ms=90.0)
    assert (by_hand.gates, by_hand.manual_approval) == (Gates(), True)
    refused = await world.ask("POST", "/rollouts/start", start | {"gates": "loose"})
    assert refused.status == 400
    assert "there are default, strict, relaxed, manual_only" in str(refused.json)


async def test_an_update_is_taken_back_in_the_name_of_whoever_says_so(world):
    """At night the table must tell which of two operators it was."""
    assert (await world.ask("POST", "/rollouts/r1/rollback", {"by": "ann"})).status == 200
    assert world.rollouts.asked == [("rollback", "r1", "ann")]


@pytest.mark.parametrize("prefix", ["/rollouts", "/rolling-update", "/api/rolling-update"])
@pytest.mark.parametrize("body", [{"routing": "1:3"}, {"newWeight": 1, "oldWeight": 3}])
async def test_traffic_is_shared_in_either_spelling(world, prefix, body):
    answer = await world.ask("POST", f"{prefix}/current/routing", body)
    assert answer.status == 200
    assert world.rollouts.asked == [("route", "current", 1, 3)]


@pytest.mark.parametrize("word", ["approve", "complete", "pause", "resume", "rollback"])
async def test_a_word_about_an_update_is_passed_on(world, word):
    assert (await world.ask("POST", f"/rolling-update/r1/{word}", {})).status == 200
    assert world.rollouts.asked == [("rollback", "r1", "admin") if word == "rollback" else (word, "r1")]


async def test_updates_are_listed_and_looked_at(world):
    listed = await world.ask("GET", "/rolling-updates")
    one = await world.ask("GET", "/rolling-update/current")
    assert listed.json["updates"] == [one.json]
    assert one.json.keys() >= U
    assert (one.json["oldVersion"], one.json["newVersion"], one.json["routing"]) == ("1.0.0", "2.0.0", "0:1")


async def test_the_health_of_both_versions_has_the_fields_of_the_original(world):
    answer = await world.ask("GET", "/rolling-update/r1/health")
    assert answer.json.keys() >= {"updateId", "oldVersion", "newVersion", "collectedAt"}
    assert answer.json["newVersion"]["requestCount"] == 4
    assert answer.json["newVersion"]["errorRate"] == 0.25
    assert answer.json["newVersion"]["p99LatencyMs"] == 7.0


@pytest.mark.parametrize(
    ("path", "body", "problem"),
    [
        ("r1/routing", {"routing": "x"}, "'x' is no ratio"),
        ("r1/routing", {"routing": "0:0"}, "0:0 gives nobody any traffic"),
        ("r1/routing", {"routing": "-1:1"}, "'-1:1' is no ratio"),
        ("r1/routing", {"newWeight": -1, "oldWeight": 1}, "newWeight: -1 is no whole number"),
        ("r1/routing", {"newWeight": 0, "oldWeight": 0}, "0:0 gives nobody any traffic"),
        ("r1/routing", {"newWeight": 1}, "give both"),
        ("r1/routing", {}, "give"),
        ("start", {"artifact": "a:b", "version": "1.0.0", "strategy": "quick"}, "is none of immediate, rolling"),
        ("start", {"artifact": "a:b", "version": "1.0.0", "cleanupPolicy": "never"}, "is none of IMMEDIATE"),
        ("start", {"artifact": "a:b", "version": "1.0.0", "steps": "5,x"}, "no whole percentage"),
        ("start", {"artifact": "a:b", "version": "1.0.0", "maxErrorRate": "x"}, "maxErrorRate"),
        ("start", {"artifact": "a:b", "version": "1.0.0", "maxErrorRate": 2}, "maxErrorRate"),
        ("start", {"artifact": "a:b", "version": "1.0.0", "instances": -1}, "instances"),
        ("start", {"version": "1.0.0"}, "artifact"),
    ],
)
async def test_a_body_that_does_not_fit_is_refused_before_anybody_is_asked(world, path, body, problem):
    for prefix in ("/rolling-update", "/rollouts"):
        answer = await world.ask("POST", f"{prefix}/{path}", body)
        assert 400 <= answer.status < 500
        assert problem in str(answer.json)
    assert world.rollouts.asked == []


@pytest.mark.parametrize(
    ("error", "status"),
    [(NotFound("update", "nope"), 404), (Conflict("update r1", "complete before routed"), 409)],
)
async def test_what_the_operator_refuses_is_a_problem(world, error, status):
    world.rollouts.fails = error
    for verb, path in [("GET", "/rolling-update/nope"), ("POST", "/rolling-update/nope/complete")]:
        answer = await world.ask(verb, path, {} if verb == "POST" else None)
        assert answer.status == status
        assert str(error) in answer.json["detail"]
