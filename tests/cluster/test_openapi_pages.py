"""The HTTP port tells its own API: any node, for every slice of the cluster, and only while nobody minds."""

import httpx
import pytest
import trio
from openapi_spec_validator import validate

import aether


@aether.slice(artifact="tests.pages:greeter:1.0.0")
class Greeter:
    @aether.get("/hello/{name}")
    async def hello(self, name: str) -> str:
        return f"Hello, {name}!"


@aether.slice(artifact="tests.pages:counter:1.0.0")
class Counter:
    @aether.post("/count")
    async def count(self, upto: int) -> list[int]:
        return list(range(upto))


async def get(url, path, **headers):
    async with httpx.AsyncClient(trust_env=False, base_url=url) as client:
        return await client.get(path, headers=headers)


async def test_any_node_answers_for_every_slice_of_the_cluster():
    async with aether.Cluster.local(Greeter, Counter, nodes=3, http=True) as cluster:
        answers = []
        for node in cluster.nodes:
            with trio.fail_after(10):
                while len((found := await get(node.http_url, "/openapi.json")).json()["paths"]) < 2:
                    await trio.sleep(0.02)  # a follower applies a moment later
            answers.append(found.json())

        validate(answers[0])
        assert answers[0] == answers[1] == answers[2]
        assert set(answers[0]["paths"]) == {"/hello/{name}", "/count"}


async def test_a_slice_that_goes_leaves_the_document():
    async with aether.Cluster.open(Greeter, Counter, http=0) as cluster:
        before = await get(cluster.http_url, "/openapi.json")
        await cluster.undeploy(Counter)
        with trio.fail_after(20):
            while "/count" in (now := await get(cluster.http_url, "/openapi.json")).json()["paths"]:
                await trio.sleep(0.05)

        assert now.headers["ETag"] != before.headers["ETag"]
        assert set(now.json()["paths"]) == {"/hello/{name}"}


async def test_the_page_and_its_parts_are_served():
    async with aether.Cluster.open(Greeter, http=0) as cluster:
        for path, kind in (
            ("/docs", "text/html"),
            ("/docs/page.js", "text/javascript"),
            ("/docs/page.css", "text/css"),
        ):
            answer = await get(cluster.http_url, path)
            assert answer.status_code == 200
            assert answer.headers["Content-Type"].startswith(kind)
        again = await get(
            cluster.http_url, "/docs", **{"If-None-Match": (await get(cluster.http_url, "/docs")).headers["ETag"]}
        )
        assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/docs/page.js"])
async def test_they_can_be_switched_off(path):
    async with aether.Cluster.open(Greeter, http=0, docs=False) as cluster:
        assert (await get(cluster.http_url, path)).status_code == 404


async def test_a_slice_that_has_the_path_goes_first():
    @aether.slice(artifact="tests.pages:own:1.0.0")
    class Own:
        @aether.get("/docs")
        async def docs(self) -> str:
            return "mine"

    async with aether.Cluster.open(Own, http=0) as cluster:
        assert (await get(cluster.http_url, "/docs")).json() == "mine"
        assert "/docs" in (await get(cluster.http_url, "/openapi.json")).json()["paths"]
