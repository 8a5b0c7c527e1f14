"""The controller in the admin API: the original's paths and fields, and ours."""

import pytest

from aether.control.spelling import TUNABLES
from aether.management.controller_endpoints import CONTROLLER_ENDPOINTS


async def test_config_and_status_are_shown(world):
    assert (await world.ask("GET", "/controller/config")).json["cpuScaleUpThreshold"] == 0.8
    status = await world.ask("GET", "/api/controller/status")
    assert status.json["enabled"] is True


@pytest.mark.parametrize(
    ("body", "given"),
    [
        (
            {"scaleUpThreshold": 0.85, "scaleDownThreshold": 0.15},
            {"cpuScaleUpThreshold": 0.85, "cpuScaleDownThreshold": 0.15},
        ),
        ({"evaluationIntervalMs": 1000}, {"evaluationIntervalMs": 1000}),
        ({"evaluation_interval_ms": 1000}, {"evaluationIntervalMs": 1000}),
        ({"cpu_up": 0.9, "step_up": 2}, {"cpuScaleUpThreshold": 0.9, "stepUp": 2}),
        ({"cpu_scale_up_threshold": 0.9}, {"cpuScaleUpThreshold": 0.9}),
    ],
)
async def test_every_spelling_of_a_field_is_the_same(world, body, given):
    answer = await world.ask("POST", "/controller/config", body)

    assert (answer.status, answer.json["status"], answer.json["revision"]) == (200, "updated", 41)
    assert "config" in answer.json
    assert world.controller.asked[-1][1] == given


async def test_a_slice_has_settings_of_its_own_and_they_are_forgotten_again(world):
    await world.ask("POST", "/controller/config", {"artifact": "shop:orders", "reset": True})

    assert world.controller.asked[-1][3:] == ("shop:orders", True)
    assert world.controller.asked[-1][1] == {}


@pytest.mark.parametrize(
    "body",
    [{"cpuScaleUpThreshold": 1.5}, {"cpuScaleUpThreshold": "high"}, {"nonsense": 1}, {"evaluationIntervalMs": 1}],
)
async def test_what_does_not_fit_is_refused_before_anybody_is_asked(world, body):
    assert (await world.ask("POST", "/controller/config", body)).status == 400
    assert world.controller.asked == []


async def test_an_evaluation_really_happens_and_a_rehearsal_says_so(world):
    assert (await world.ask("POST", "/controller/evaluate", {})).json["status"] == "evaluation_triggered"
    assert world.controller.asked == [("evaluate", True)]

    rehearsed = await world.ask("POST", "/controller/evaluate?dry_run=true", {})

    assert rehearsed.status == 200
    assert world.controller.asked[-1] == ("evaluate", False)


async def test_history_explanations_and_recordings_are_read(world):
    history = await world.ask("GET", "/controller/history?artifact=shop:orders&limit=7")
    assert history.json["decisions"][0]["to"] == 4
    assert world.controller.asked[-1] == ("history", "shop:orders", 7)

    explained = await world.ask("GET", "/explain/shop:orders")
    assert explained.json["why"] == ["blueprint 'app' wants 2"]

    recording = await world.ask("GET", "/controller/recording")
    assert recording.response.content_type == "application/x-ndjson"


def test_every_setting_is_a_field():
    body = next(each.body for each in CONTROLLER_ENDPOINTS if each.path == "/controller/config" and each.change)

    assert {each.api for each in TUNABLES} < {field.name for field in body.fields}
