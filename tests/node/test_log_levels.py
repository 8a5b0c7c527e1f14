"""Levels of loggers follow one setting of the cluster."""

import json
import logging

import pytest
import trio.testing

from aether.errors import BadInput, NotFound
from aether.kv import keys
from aether.kv.commands import Batch, Put
from aether.model.setting import SettingRow
from aether.node.log_levels import LOG_LEVELS, LOGGERS_MAX, read_levels


async def set_levels(node, text):
    await node.kv.propose(Batch(changes=(Put(keys.setting(LOG_LEVELS), SettingRow(value=text)),)))


async def test_a_logger_has_the_level_of_the_setting_as_long_as_it_names_it(aether_cluster):
    """An operator turns one logger up while looking, and what was before comes back."""
    cluster = await aether_cluster(nodes=1)
    node = cluster.nodes[0]._node
    logger = logging.getLogger("aether.test.levels")
    logger.setLevel("ERROR")

    await set_levels(node, json.dumps({"aether.test.levels": "DEBUG"}))
    await trio_settled()
    assert logger.level == logging.DEBUG

    await set_levels(node, "{}")
    await trio_settled()
    assert logger.level == logging.ERROR


async def test_what_is_no_level_changes_nothing_and_is_said(aether_cluster, caplog):
    cluster = await aether_cluster(nodes=1)
    node = cluster.nodes[0]._node
    logger = logging.getLogger("aether.test.levels")
    logger.setLevel("ERROR")

    with caplog.at_level("WARNING", "aether.node"):
        await set_levels(node, '{"aether.test.levels": "LOUD"}')
        await trio_settled()

    assert logger.level == logging.ERROR
    assert "LOUD" in caplog.text


async def trio_settled():
    await trio.testing.wait_all_tasks_blocked()


async def test_levels_are_set_one_by_one_from_any_node(aether_cluster):
    """Two operators who set different loggers do not undo each other's."""
    cluster = await aether_cluster(nodes=2)
    first, second = (each._node.operations.log_levels for each in cluster.nodes)

    await first.set("aether.test.a", "DEBUG", by="ann")
    await second.set("aether.test.b", "ERROR", by="bob")
    assert dict(second.in_force().levels) == {"aether.test.a": "DEBUG", "aether.test.b": "ERROR"}

    await second.reset("aether.test.a")
    assert dict(second.in_force().levels) == {"aether.test.b": "ERROR"}
    with pytest.raises(NotFound):
        await second.reset("aether.test.a")
    with pytest.raises(BadInput, match="LOUD"):
        await second.set("aether.test.a", "LOUD", by="ann")


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"a": 3}', '{"a": "debug"}', json.dumps({f"l{n}": "INFO" for n in range(LOGGERS_MAX + 1)})]
)
def test_a_setting_that_does_not_fit_is_refused(text):
    with pytest.raises(BadInput):
        read_levels(text)
