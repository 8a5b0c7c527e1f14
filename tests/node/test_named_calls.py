"""Calls by name: what an operator types reaches the method, and comes back as JSON."""

import datetime as dt
import uuid
from collections.abc import AsyncIterator
from decimal import Decimal

import attrs
import pytest

import aether
from aether.errors import BadInput, CallFailed, NotFound
from aether.model.limits import CALL_DEADLINE_S

ORDER = uuid.UUID("12345678-1234-5678-1234-567812345678")


@attrs.frozen
class Line:
    sku: str
    price: Decimal


class SoldOut(aether.Fault):
    """There is none left."""

    sku: str


@aether.slice(artifact="tests.named:shop:1.0.0")
class Shop:
    calls: list[str] = aether.state(factory=list)

    async def place(self, order: uuid.UUID, lines: list[Line], day: dt.date = dt.date(2030, 1, 2)) -> Line:
        return Line(f"{order} {day} {len(lines)}", sum((line.price for line in lines), Decimal(0)))

    async def buy(self, sku: str) -> None:
        raise SoldOut(sku=sku)

    async def count(self, name: str) -> int:
        self.calls.append(name)
        return len(self.calls)

    async def fail(self) -> None:
        raise ValueError("a defect")

    async def ticks(self) -> AsyncIterator[int]:
        yield 1


async def open_calls(aether_cluster):
    """Calls in a cluster of two."""
    cluster = await aether_cluster(Shop, nodes=2)

    async def call(name, method, arguments=None, *, node=1, key=""):
        calls = cluster.nodes[node]._node.operations.calls
        return await calls.call(name, method, arguments or {}, deadline_s=CALL_DEADLINE_S, key=key)

    return call


@pytest.mark.parametrize("name", ["Shop", "shop", "tests.named:shop", "tests.named:shop:1.0.0"])
@pytest.mark.parametrize("node", [0, 1])
async def test_values_travel_as_json_spells_them(aether_cluster, name, node):
    """From the node that runs the slice and from the other: the same text gives the same answer."""
    call = await open_calls(aether_cluster)
    lines = [{"sku": "a", "price": "1.50"}, {"sku": "b", "price": "2.25"}]

    came = await call(name, "place", {"order": str(ORDER), "lines": lines}, node=node)

    assert (str(came.artifact), came.fault) == ("tests.named:shop", None)
    assert came.result == {"sku": f"{ORDER} 2030-01-02 2", "price": "3.75"}


async def test_a_fault_is_an_answer_with_its_fields(aether_cluster):
    call = await open_calls(aether_cluster)
    came = await call("Shop", "buy", {"sku": "a"})

    assert came.fault == {
        "name": "SoldOut",
        "status": 409,
        "title": "Sold out",
        "detail": "There is none left.",
        "fields": {"sku": "a"},
    }


async def test_every_argument_that_does_not_fit_is_told(aether_cluster):
    call = await open_calls(aether_cluster)
    came = await call("Shop", "place", {"order": "x", "lines": [{"sku": 1, "price": "1"}]})

    assert came.fault["name"] == "BadInput"
    assert len(came.fault["fields"]["problems"]) == 2


async def test_a_repeat_with_a_key_does_not_run_again(aether_cluster):
    call = await open_calls(aether_cluster)
    first = await call("Shop", "count", {"name": "a"}, key="k-1")
    again = await call("Shop", "count", {"name": "a"}, key="k-1")

    assert (first.result, again.result) == (1, 1)


async def test_what_a_method_raises_says_where(aether_cluster):
    call = await open_calls(aether_cluster)
    with pytest.raises(CallFailed, match="a defect"):
        await call("Shop", "fail")


async def test_names_that_nobody_has_are_told_with_what_was_meant(aether_cluster):
    call = await open_calls(aether_cluster)
    with pytest.raises(NotFound, match="did you mean Shop"):
        await call("Shopp", "place")
    with pytest.raises(NotFound, match="did you mean place"):
        await call("Shop", "plaice")
    with pytest.raises(BadInput, match="is a stream"):
        await call("Shop", "ticks")
