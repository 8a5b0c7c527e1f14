"""Registered classes: what this process can load, without doubt about which class an artifact is."""

import pytest

import aether
from aether.deployment.slice_store import ClassStore, route_row
from aether.errors import Conflict, ContractError, NotFound
from aether.model.artifact import Artifact


@aether.slice(artifact="shop:pricing:1.0.0")
class Pricing:
    @aether.method(idempotent=True)
    async def quote(self, sku: str) -> int:
        return len(sku)

    @aether.post("/api/prices")
    async def change(self, sku: str, cents: int) -> int:
        return cents


@aether.slice(artifact="shop:pricing:1.0.0")
class Impostor:
    async def quote(self, sku: str) -> int:
        return 0


PRICING = Artifact.parse("shop:pricing:1.0.0")


async def test_registered_classes_are_available_and_loaded():
    """What is available is published to the cluster: it must be exactly what loads."""
    store = ClassStore([Pricing])

    assert store.available() == (PRICING,)
    assert await store.load(PRICING) is Pricing


async def test_an_unknown_artifact_is_not_found_and_the_known_ones_are_named():
    """The reader sees at once whether the module or the version is missing."""
    with pytest.raises(NotFound, match=r"this process has shop:pricing:1\.0\.0"):
        await ClassStore([Pricing]).load(Artifact.parse("shop:pricing:2.0.0"))
    with pytest.raises(NotFound, match="this process has nothing"):
        await ClassStore().load(PRICING)


def test_two_classes_for_one_artifact_are_a_conflict_that_names_both():
    """Which of them runs must not depend on the order of imports."""
    with pytest.raises(Conflict, match=r"Pricing and .*Impostor claim it"):
        ClassStore([Pricing, Impostor])


def test_registering_a_class_again_changes_nothing():
    """A module given twice with --app is no mistake."""
    assert ClassStore([Pricing, Pricing]).register(Pricing) == PRICING


def test_a_class_that_is_no_slice_is_refused():
    """At registration, not when the first instance starts."""
    with pytest.raises(ContractError):
        ClassStore([int])


async def test_the_routes_row_says_what_callers_may_know():
    """Callers on other nodes decide about repeats by this row, without the code."""
    row = await route_row(ClassStore([Pricing]), PRICING)

    assert row.artifact == PRICING.base
    assert row.idempotent == ("quote",)
    assert [(r.verb, r.template, r.method) for r in row.routes] == [("POST", "/api/prices", "change")]
