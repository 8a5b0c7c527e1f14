"""The admin API of nodes in virtual time, asked without sockets."""

from __future__ import annotations

import json

import attrs
import pytest

from aether.errors import AetherError
from aether.web.problem import problem_of
from aether.web.request import Request

TOKEN = "t0ken-of-the-data-directory-0123456789"


@attrs.frozen
class Asked:
    status: int
    json: dict[str, object]
    headers: dict[str, str]


@attrs.define
class Desk:
    """Asks the admin API of one node."""

    node: object

    async def __call__(self, verb, target, body=None, *, token=TOKEN, headers=None, client="127.0.0.1"):
        path, _, query = target.partition("?")
        fields = {"host": "localhost", "content-type": "application/json", **(headers or {})}
        if token is not None:
            fields["authorization"] = f"Bearer {token}"
        raw = b"" if body is None else json.dumps(body).encode()
        request = Request(
            verb=verb,
            path=path,
            query_text=query,
            headers=tuple(fields.items()),
            body=raw,
            request_id="r-1",
            client=client,
        )
        try:
            response = await self.node._management(TOKEN)(request)
        except AetherError as error:
            response = problem_of(error, "r-1")
        return Asked(response.status, json.loads(response.body or b"{}"), dict(response.headers))


@pytest.fixture
def desks():
    """await desks(aether_cluster, *slices, nodes=1): one desk for each node."""

    async def make(aether_cluster, *slices, nodes=1, **options):
        cluster = await aether_cluster(*slices, nodes=nodes, **options)
        return [Desk(node._node) for node in cluster.nodes]

    return make
