"""The monolith and each step away from it answer the same requests alike; the last one loses a node and no order."""

import contextlib
import re
from pathlib import Path

import httpx
import pytest
import trio
from examples.monolith import before, step_1, step_2, step_3
from examples.monolith.stock import FIRST, OutOfStock, Stock

import aether
from aether.testing import each_failure

ROOT = Path(__file__).parents[2]
STEPS = {
    "before": (),
    "step 1": (step_1.Shop,),
    "step 2": (Stock, step_2.Shop),
    "step 3": (Stock, step_3.Orders, step_3.Shop),
}


@contextlib.asynccontextmanager
async def open_step(slices):
    """A client of it: of the application itself, or of a node that runs its slices."""
    before.stock.update(FIRST)
    before.orders.clear()
    step_2.orders.clear()
    if not slices:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(before.app), base_url="http://shop") as client:
            yield client
        return
    async with aether.Cluster.open(*slices, http=0) as cluster:
        async with httpx.AsyncClient(base_url=cluster.http_url, trust_env=False, timeout=30) as client:
            yield client


@pytest.mark.process
@pytest.mark.parametrize("name", STEPS)
async def test_clients_notice_no_step(name):
    wanted = {"customer": "ann", "sku": "tea", "quantity": 4}
    async with open_step(STEPS[name]) as client:
        assert (await client.get("/prices/tea")).json() == 250
        assert (await client.get("/prices/none")).status_code == 404
        placed = await client.post("/orders", json=wanted)
        assert placed.status_code == 200
        assert placed.json() == wanted | {"total": 1_000, "number": placed.json()["number"]}
        assert (await client.get(f"/orders/{placed.json()['number']}")).json() == placed.json()
        assert (await client.get("/orders/none")).status_code == 404
        assert (await client.post("/orders", json=wanted | {"sku": "none"})).status_code == 404
        assert (await client.post("/orders", json=wanted | {"quantity": "many"})).status_code == 422
        assert (await client.post("/orders", json=wanted)).status_code == 200
        refused = await client.post("/orders", json=wanted)
        assert (refused.status_code, "detail" in refused.json()) == (409, True)
        assert (await client.get("/stock/tea")).json() == 2


async def test_the_last_step_loses_a_node_and_no_order(aether_cluster):
    cluster = await aether_cluster(*STEPS["step 3"], nodes=3)
    placed = await cluster.get(step_3.Orders).place("ann", "tea", 4)

    await cluster.kill("node-1")

    assert await cluster.get(step_3.Orders).order(placed.number) == placed
    assert await cluster.get(Stock).left("tea") == FIRST["tea"] - 4


def test_an_order_that_is_repeated_until_it_is_answered_is_one_order_whatever_call_is_lost():
    async def place(cluster):
        while True:
            try:
                await cluster.get(step_3.Orders).place("ann", "tea", 4, "key-1")
                return
            except (aether.OutcomeUnknown, aether.TryAgain, trio.TooSlowError):
                pass

    async def one_order(cluster):
        assert await cluster.get(Stock).left("tea") == FIRST["tea"] - 4
        assert len(await cluster.nodes[0].map("orders", str, step_3.Order).items()) == 1

    done = each_failure([Stock, step_3.Orders], place, invariant=one_order)
    assert done.runs > 3


async def test_pieces_are_taken_once_for_an_order_however_often_it_asks():
    stock = Stock()
    await stock.pieces.put(("left", "tea"), 5)

    for _ in range(3):
        await stock.take("order-1", "tea", 4)

    assert await stock.left("tea") == 1
    with pytest.raises(OutOfStock, match="left=1"):
        await stock.take("order-2", "tea", 4)


def test_the_page_shows_the_example_as_it_is():
    page = (ROOT / "docs" / "howto" / "migrate-a-monolith.md").read_text()
    sources = "\n".join(path.read_text() for path in (ROOT / "examples" / "monolith").glob("*.py"))
    shown = re.findall(r"^```python\n(.*?)^```", page, re.M | re.S)

    assert len(shown) >= 4
    assert [text for text in shown if text not in sources] == []
    assert [path.name for path in (ROOT / "examples" / "monolith").glob("[a-z]*.py") if path.stem not in page] == []
