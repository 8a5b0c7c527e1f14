"""Real contracts of two versions, and who is hurt by the second."""

import json
from collections.abc import AsyncIterator
from typing import Protocol

import attrs
import pytest

import aether
from aether.deployment.compatibility import breaks, described
from aether.errors import BadInput
from aether.model.artifact import Artifact
from aether.model.rows import ContractRow
from aether.slice_api.contract import contract_of
from aether.slice_api.description import describe, read_description


def breaking_changes(old, new, callers):
    return breaks(described(old), described(new), map(described, callers))


@aether.slice(artifact="tests.compat:pricing:1.0.0")
class Pricing:
    async def quote(self, sku: str, qty: int = 1) -> int:
        return 1

    @aether.get("/prices/{sku}")
    async def price(self, sku: str) -> int:
        return 1

    async def forgotten(self, sku: str) -> int:
        return 1

    async def ticks(self, sku: str) -> AsyncIterator[int]:
        yield 1


OldPricing = Pricing


def next_pricing():
    @aether.slice(artifact="tests.compat:pricing:2.0.0")
    class Pricing:
        async def quote(self, sku: str, qty: int = 1, region: str = "eu") -> int:
            return 1

        @aether.get("/prices/{sku}")
        async def price(self, sku: str) -> int:
            return 1

        @aether.get("/fresh")
        async def fresh(self) -> int:
            return 1

    return Pricing


def broken_pricing():
    @aether.slice(artifact="tests.compat:pricing:3.0.0")
    class Pricing:
        async def quote(self, sku: str, amount: int = 1) -> int:
            return 1

        async def ticks(self, sku: str) -> AsyncIterator[int]:
            yield 1

    return Pricing


class Quoting(Protocol):
    async def quote(self, sku: str, qty: int = 1) -> int: ...


class Selling(Protocol):
    async def sell(self, sku: str) -> int: ...


@aether.slice(artifact="tests.compat:orders:1.4.0")
class Orders:
    pricing: OldPricing

    async def place(self, sku: str) -> int:
        return await self.pricing.quote(sku)


@aether.slice(artifact="tests.compat:quotes:0.1.0")
class Quotes:
    pricing: Quoting

    async def all(self) -> int:
        return 1


@aether.slice(artifact="tests.compat:stranger:0.1.0")
class Stranger:
    selling: Selling

    async def all(self) -> int:
        return 1


def row(cls):
    description = describe(contract_of(cls))
    return ContractRow(artifact=Artifact.parse(description.artifact), text=json.dumps(description.to_plain()))


ALL = [row(OldPricing), row(Orders), row(Quotes), row(Stranger)]


def test_an_update_that_removes_what_only_some_use_hurts_only_them():
    (line,) = [b for b in breaking_changes(row(OldPricing), row(next_pricing()), ALL) if "ticks" in b]
    assert line == "tests.compat:orders:1.4.0 calls it: ticks: method-removed (callers get CallFailed: NotInContract)"
    assert breaking_changes(row(OldPricing), row(next_pricing()), [row(Quotes), row(Stranger)]) == []


def test_each_caller_and_the_clients_of_each_route_are_named():
    found = breaking_changes(row(OldPricing), row(broken_pricing()), ALL)
    assert any(f.startswith("tests.compat:orders:1.4.0 calls it: quote(qty): parameter-renamed") for f in found)
    assert any(f.startswith("tests.compat:quotes:0.1.0 calls it: quote(qty): parameter-renamed") for f in found)
    assert any(f.startswith("HTTP clients of GET /prices/{sku}: price: method-removed") for f in found)
    assert not any("stranger" in f for f in found)


def test_without_callers_only_routes_break():
    found = breaking_changes(row(OldPricing), row(broken_pricing()), [])
    assert len(found) == 1
    assert found[0].startswith("HTTP clients of GET /prices/{sku}")


def test_a_version_breaks_nobody_against_itself():
    assert breaking_changes(row(OldPricing), row(OldPricing), ALL) == []


def test_a_contract_says_whom_it_calls():
    for cls, dependency in ((Orders, "tests.compat:pricing:1.0.0"), (Quotes, "")):
        description = describe(contract_of(cls))
        (found,) = description.dependencies
        assert (found.field, found.artifact) == ("pricing", dependency)
        assert found.methods["quote"] == ("sku", "qty")
        assert read_description(json.loads(json.dumps(description.to_plain()))) == description


def test_a_contract_of_an_older_release_names_nobody():
    plain = json.loads(json.dumps(describe(contract_of(Orders)).to_plain()))
    del plain["dependencies"]
    assert read_description(plain).dependencies == ()


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 9}'])
def test_a_row_that_is_no_contract_is_refused(text):
    with pytest.raises(BadInput):
        breaking_changes(attrs.evolve(row(OldPricing), text=text), row(OldPricing), [])
