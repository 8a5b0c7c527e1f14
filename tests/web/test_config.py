"""Limits of the HTTP port as settings spell them."""

from __future__ import annotations

import attrs
import httpx
import pytest

import aether
from aether.errors import BadInput
from aether.model import limits
from aether.web.config import WebConfig


def test_settings_change_the_limits_that_they_name_and_no_other():
    found = WebConfig(port=7).with_settings(
        {"shop.currency": "EUR", "aether.http.idle_s": "2.5", "aether.http.header_bytes_max": "1000"}
    )
    assert found == WebConfig(port=7, idle_s=2.5, header_bytes_max=1_000)


def test_everything_that_is_wrong_is_said_at_once():
    """A misspelt limit that is ignored would be found out by an attacker."""
    wrong = {
        "aether.http.ilde_s": "1",
        "aether.http.idle_s": "0",
        "aether.http.body_s": "nan",
        "aether.http.send_s": "soon",
        "aether.http.connections_max": "1.5",
        "aether.http.port": "80",
        "aether.http.body_bytes_max": str(limits.HTTP_BODY_BYTES_MAX + 1),
    }
    with pytest.raises(BadInput) as caught:
        WebConfig().with_settings(wrong)
    assert sorted(problem.partition(":")[0] for problem in caught.value.problems) == sorted(wrong)
    assert "stream larger bodies" in str(caught.value)


def test_every_limit_can_be_set():
    names = {field.name for field in attrs.fields(WebConfig)} - {"bind", "port", "option"}
    found = WebConfig().with_settings({f"aether.http.{name}": "3" for name in names})
    assert {getattr(found, name) for name in names} == {3}


@aether.slice(artifact="test:sizes:1.0.0")
class Sizes:
    @aether.post("/size")
    async def size(self, text: str) -> int:
        return len(text)


async def test_an_embedded_node_takes_them_from_its_settings():
    """One place for all that a node is told."""
    config = {"aether": {"http": {"body_bytes_max": 100}}}
    async with aether.Cluster.open(Sizes, http=0, config=config) as cluster:
        base_url = f"http://{cluster.addresses.http_address}"
        async with httpx.AsyncClient(base_url=base_url, trust_env=False) as client:
            assert (await client.post("/size", json={"text": "a" * 50})).json() == 50
            assert (await client.post("/size", json={"text": "a" * 500})).status_code == 413
