"""The Idempotency-Key of an HTTP request: one effect, whichever node it reaches."""

from typing import Annotated

import httpx
import pytest

import aether
from aether.kv import keys
from aether.node.answers import client_key
from aether.slice_api.http import HttpInput

EFFECTS = []


class Refused(aether.Fault):
    """The bank said no."""

    status = 402
    amount: int


@aether.slice(artifact="tests.httpkeys:payment:1.0.0", instances=2)
class Payment:
    @aether.post("/pay")
    async def pay(self, amount: int) -> dict[str, int]:
        EFFECTS.append(amount)
        if amount > 100:
            raise Refused(amount=amount)
        return {"number": len(EFFECTS)}

    @aether.get("/paid")
    async def paid(self) -> int:
        return len(EFFECTS)

    @aether.post("/own")
    async def own(self, idempotency_key: Annotated[str, aether.Header()]) -> str:
        EFFECTS.append(idempotency_key)
        return idempotency_key


@pytest.fixture(autouse=True)
def effects():
    EFFECTS.clear()


@pytest.fixture
async def urls():
    async with aether.Cluster.local(Payment, nodes=2, http=True) as cluster:
        yield [node.http_url for node in cluster.nodes], cluster


async def post(url, path="/pay", key=None, amount=1, **headers):
    async with httpx.AsyncClient(timeout=30) as client:
        headers = {"Idempotency-Key": key, **headers} if key is not None else headers
        return await client.post(url + path, json={"amount": amount}, headers=headers)


async def test_the_same_key_gets_the_same_answer_from_every_node(urls):
    nodes, _ = urls
    answers = [await post(url, key=key) for url in nodes for key in ('"a-1"', "a-1")]

    assert [answer.json() for answer in answers] == [{"number": 1}] * 4
    assert EFFECTS == [1]


async def test_a_fault_is_the_answer_of_its_key(urls):
    nodes, _ = urls
    for url in nodes:
        answer = await post(url, key="poor", amount=101)
        assert (answer.status_code, answer.json()["amount"]) == (402, 101)
    assert EFFECTS == [101]


async def test_another_body_with_the_same_key_is_unprocessable(urls):
    nodes, _ = urls
    await post(nodes[0], key="k")
    answer = await post(nodes[1], key="k", amount=2)

    assert answer.status_code == 422
    assert "other arguments" in answer.json()["detail"]
    assert EFFECTS == [1]


async def test_each_credential_has_its_own_keys(urls):
    nodes, _ = urls
    for name in ("Bearer a", "Bearer b", "Bearer a"):
        await post(nodes[0], key="k", Authorization=name)

    assert EFFECTS == [1, 1]


async def test_a_request_without_a_key_is_kept_nowhere(urls):
    nodes, cluster = urls
    for _ in range(2):
        await post(nodes[0])

    assert EFFECTS == [1, 1]
    assert not list(cluster.nodes[0].kv.rows(keys.CALLS))


async def test_a_method_that_reads_the_header_keeps_its_own_book(urls):
    nodes, cluster = urls
    for url in nodes:
        assert (await post(url, "/own", key="k")).json() == "k"

    assert EFFECTS == ["k", "k"]
    assert not list(cluster.nodes[0].kv.rows(keys.CALLS))


@pytest.mark.parametrize("key", ["", '""', "x" * 256, "a\tb"])
async def test_a_malformed_key_is_a_bad_request(urls, key):
    nodes, _ = urls
    answer = await post(nodes[0], key=key)

    assert answer.status_code == 400
    assert EFFECTS == []


def test_a_key_is_a_quoted_string_or_bare_text():
    def read(sent, verb="POST"):
        return client_key(HttpInput(verb=verb, template="/", headers={"idempotency-key": sent}))

    assert read('"8e03978e-40d5"') == read("8e03978e-40d5") == "8e03978e-40d5"
    assert read(r'"a\"b\\c"') == r'a"b\c'
    assert read("x", verb="GET") == "", "only what creates something needs one"
