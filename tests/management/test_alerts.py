"""Alerts and thresholds as the original's clients ask for them."""

from __future__ import annotations

import attrs
import pytest

from aether.metrics.events import Event, EventType
from aether.model.alerts import AlertSinksRow, Severity

SECRET = "t0ps3cret"


async def test_thresholds_stand_by_metric_and_nothing_else_beside_them(world):
    """Clients of the original read every key as a metric."""
    answer = (await world.ask("GET", "/thresholds")).json
    assert list(answer) == ["cpu.usage", "heap.usage"]
    assert (answer["cpu.usage"]["warning"], answer["cpu.usage"]["critical"]) == (0.7, 0.9)


@pytest.mark.parametrize("prefix", ["", "/api"])
async def test_a_threshold_is_set_seen_and_removed(world, prefix):
    body = {"metric": "test.metric", "warning": 0.5, "critical": 0.8}
    answer = await world.ask("POST", f"{prefix}/thresholds", body)
    assert (answer.status, answer.json["status"], answer.json["known"]) == (200, "threshold_set", False)
    assert "test.metric" in (await world.ask("GET", f"{prefix}/thresholds")).json
    gone = await world.ask("DELETE", f"{prefix}/thresholds/test.metric", content_type=None)
    assert (gone.status, gone.json["status"], gone.json["metric"]) == (200, "threshold_removed", "test.metric")
    assert "test.metric" not in (await world.ask("GET", f"{prefix}/thresholds")).json


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"metric": "cpu.usage", "warning": 0.9, "critical": 0.7},
        {"metric": "cpu.usage", "warning": "0.9", "critical": 1},
        {"metric": "", "warning": 0.1, "critical": 1},
        {"metric": "error", "warning": 0.1, "critical": 1},
    ],
)
async def test_a_threshold_that_makes_no_sense_is_refused(world, body):
    assert (await world.ask("POST", "/thresholds", body)).status == 400


async def test_active_alerts_and_past_ones_are_lists_with_the_fields_of_the_original(world):
    details = {"metric": "cpu.usage", "nodeId": "n1", "value": 0.8, "threshold": 0.7, "severity": "WARNING"}
    begun = Event(
        id="7.0",
        at=2.0,
        type=EventType.ALERT_TRIGGERED,
        severity=Severity.WARNING,
        subject="cpu.usage:n1",
        summary="high",
        details=details,
    )
    world.alerts.past = [begun, attrs.evolve(begun, id="9.0", type=EventType.ALERT_RESOLVED)]
    active = (await world.ask("GET", "/alerts/active")).json
    past = (await world.ask("GET", "/alerts/history")).json

    assert active == [
        {
            "metric": "cpu.usage",
            "nodeId": "n1",
            "value": 0.8,
            "threshold": 0.7,
            "severity": "WARNING",
            "triggeredAt": 2000,
        }
    ]
    assert [each["status"] for each in past] == ["TRIGGERED", "RESOLVED"]
    assert {"timestamp", "metric", "nodeId", "value", "severity", "status"} <= past[0].keys()
    assert (await world.ask("GET", "/alerts")).json == {"active": active, "history": past}


async def test_clearing_says_how_many_ended(world):
    answer = (await world.ask("POST", "/alerts/clear", {})).json
    assert (answer["status"], answer["cleared"]) == ("alerts_cleared", 1)
    assert (await world.ask("GET", "/alerts/active")).json == []


async def test_no_answer_shows_the_address_of_a_webhook(world):
    """Whoever knows it can write there in our name."""
    url = f"https://hooks.example.com/{SECRET}"
    said = await world.ask("POST", "/alerts/sinks", {"webhooks": [{"url": url}], "severity": "critical"})
    seen = await world.ask("GET", "/alerts/sinks")

    assert world.alerts.told == AlertSinksRow(webhooks=(url,), severity=Severity.CRITICAL, by=world.alerts.told.by)
    assert said.json["webhooks"] == seen.json["webhooks"] == ["https://hooks.example.com/..."]
    assert SECRET not in said.response.body.decode() + seen.response.body.decode()


async def test_what_a_change_of_sinks_leaves_out_stays(world):
    world.alerts.told = AlertSinksRow(webhooks=("http://h/x",), log=False, severity=Severity.CRITICAL)
    await world.ask("POST", "/alerts/sinks", {"log": True})
    assert world.alerts.told.webhooks == ("http://h/x",)
    assert (world.alerts.told.log, world.alerts.told.severity) == (True, Severity.CRITICAL)


@pytest.mark.parametrize(
    "body", [{"webhooks": ["http://h"]}, {"webhooks": [{"url": "ftp://h"}]}, {"webhooks": 3}, {"severity": "loud"}]
)
async def test_sinks_that_make_no_sense_are_refused(world, body):
    assert (await world.ask("POST", "/alerts/sinks", body)).status == 400


async def test_who_is_told_is_seen_and_said_by_an_administrator_alone(world):
    for verb in ("GET", "POST"):
        assert (await world.ask(verb, "/alerts/sinks", {}, token=None)).status == 401
