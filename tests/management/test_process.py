"""Settings, levels of loggers, and what is not there yet."""

import pytest

from aether.management.process_view import NodeSetting
from aether.model.setting import SettingRow


async def test_settings_are_shown_with_where_they_came_from(world):
    world.local.settings = (NodeSetting(name="ports.http", value=8081, origin="HTTP_PORT"),)
    world.rows.setting_rows["controller"] = SettingRow(value='{"a": 1}', by="ann", at=2.5)

    answer = await world.ask("GET", "/config")

    assert answer.json["node"] == [{"name": "ports.http", "value": 8081, "origin": "HTTP_PORT"}]
    assert answer.json["cluster"] == [{"name": "controller", "value": {"a": 1}, "by": "ann", "at": 2.5}]


async def test_a_setting_that_may_hold_a_secret_is_named_and_not_shown(world):
    world.rows.setting_rows["alert-sinks"] = SettingRow(value='{"url": "https://x/s3cret"}', by="ann", at=2.5)

    answer = await world.ask("GET", "/config")

    assert answer.json["cluster"] == [{"name": "alert-sinks", "by": "ann", "at": 2.5}]


async def test_the_level_of_a_logger_is_set_and_taken_back(world):
    answer = await world.ask("POST", "/logging/levels", {"logger": "aether.kv", "level": "debug"})
    assert answer.json["status"] == "level_set"
    assert (await world.ask("GET", "/logging/levels")).json["levels"] == {"aether.kv": "DEBUG"}

    assert (await world.ask("DELETE", "/logging/levels/aether.kv")).status == 200
    assert (await world.ask("DELETE", "/logging/levels/aether.kv")).status == 404
    assert world.log_levels.by == ["admin"]


@pytest.mark.parametrize("verb", ["GET", "PUT", "POST", "DELETE"])
async def test_the_repository_says_that_it_is_not_there(world, verb):
    """Clients of the original upload whatever type they like: the answer is about the repository, not about types."""
    body = None if verb == "GET" else {}
    answer = await world.ask(verb, "/api/repository/org/a/1.0/a-1.0.jar", body, content_type="application/java-archive")

    assert answer.status == 501
    assert "--slices" in answer.json["error"]
