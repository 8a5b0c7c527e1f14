"""The admin API behind the real server and a real client."""

from __future__ import annotations

from contextlib import asynccontextmanager

import httpx
import trio

from aether.management.service import ManagementApi
from aether.web.config import WebConfig
from aether.web.service import serve


@asynccontextmanager
async def client_of(world):
    api = ManagementApi(
        view=world.rows,
        consensus=lambda: world.consensus,
        peers=lambda: world.peers,
        local=world.local,
        actors=world.actors(),
        rows=world.stored,
        backups=world.backups,
        access=world.access,
    )
    async with trio.open_nursery() as nursery:
        address = await nursery.start(serve, api, WebConfig())
        async with httpx.AsyncClient(base_url=f"http://{address}", trust_env=False) as client:
            yield client
        nursery.cancel_scope.cancel()


async def test_a_session_of_an_operator(world):
    """Look, change with the token, look again, over one connection."""
    async with client_of(world) as client:
        assert (await client.get("/api/health")).json()["quorum"] is True
        head = await client.head("/status")
        assert (head.status_code, head.content) == (200, b"")
        body = {"artifact": "shop:pricing:1.0.0", "instances": 2}
        assert (await client.post("/deploy", json=body)).status_code == 401
        headers = {"Authorization": "Bearer t0ken"}
        answer = await client.post("/deploy", json=body, headers=headers)
        assert answer.json()["revision"] == 43
        assert answer.headers["x-request-id"]
        text = '[[slices]]\nartifact = "shop:pricing"\n'
        toml = {**headers, "Content-Type": "application/toml"}
        assert (await client.post("/blueprint", content=text, headers=toml)).json()["slices"] == 2
        slices = (await client.get("/slices", params={"min_revision": 44})).json()
        assert slices["revision"] == 44


async def test_a_backup_arrives_in_parts(world):
    """Whatever its size, nobody holds it whole."""
    token = {"Authorization": "Bearer t0ken"}
    async with client_of(world) as client, client.stream("GET", "/backup", headers=token) as answer:
        assert answer.headers["transfer-encoding"] == "chunked"
        assert [part async for part in answer.aiter_raw()]
    async with client_of(world) as client:
        whole = await client.get("/backup", headers=token)
        assert (whole.status_code, whole.content) == (200, b"abc")


async def test_refusals_are_problems_with_the_request_id(world):
    """What the CLI shows and a bug report quotes."""
    async with client_of(world) as client:
        answer = await client.get("/nothing", headers={"X-Request-Id": "cli-1"})
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
        assert answer.json()["requestId"] == answer.headers["x-request-id"] == "cli-1"


async def test_a_client_that_stops_waiting_ends_the_wait_but_not_the_change(world):
    """Ctrl-C of `aether deploy --wait`: no task and no watch is left behind; the wish stands."""
    async with client_of(world) as client:
        headers = {"Authorization": "Bearer t0ken"}
        body = {"artifact": "shop:pricing:1.0.0", "instances": 2}
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: client.post("/deploy?wait=600", json=body, headers=headers))
            with trio.fail_after(5):
                while not world.rows.watchers:
                    await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        with trio.fail_after(5):
            while world.rows.watchers:
                await trio.lowlevel.checkpoint()
        assert world.operator.asked == [("deploy", "shop:pricing:1.0.0", 2)]
