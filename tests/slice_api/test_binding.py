"""Who implements a Protocol is decided by rule, and refused when ambiguous."""

from collections.abc import AsyncIterator
from typing import Protocol

import pytest

import aether
from aether.slice_api.binding import ambiguous, choose, implementations, mismatch, missing
from aether.slice_api.contract import contract_of


class Pricing(Protocol):
    async def quote(self, sku: str, qty: int = 1) -> int: ...
    def ticks(self, sku: str) -> AsyncIterator[int]: ...


@aether.slice
class Named(Pricing):
    async def quote(self, sku: str, qty: int = 2) -> int: ...
    async def ticks(self, sku: str) -> AsyncIterator[int]:
        yield 1


@aether.slice
class Alike:
    async def quote(self, sku: str, qty: int = 1, extra: int = 0) -> int: ...
    async def ticks(self, sku: str) -> AsyncIterator[int]:
        yield 1

    async def other(self) -> None: ...


@aether.slice
class Blocking:
    @aether.blocking
    def quote(self, sku: str, qty: int = 1) -> int: ...
    async def ticks(self, sku: str) -> AsyncIterator[int]:
        yield 1


@aether.slice
class Unlike:
    async def quote(self, sku: str, qty: int = 1) -> str: ...


named, alike, blocking, unlike = (contract_of(c) for c in (Named, Alike, Blocking, Unlike))


def test_a_slice_that_names_the_protocol_as_a_base_comes_before_any_that_only_matches():
    assert implementations(Pricing, [alike, named, unlike]) == (named,)
    choice = choose(Pricing, [alike, named])
    assert (choice.contract, choice.structural) == (named, False)


def test_without_one_the_only_structural_match_is_taken_and_said_to_be_so():
    choice = choose(Pricing, [unlike, alike])
    assert (choice.contract, choice.structural) == (alike, True)
    assert choose(Pricing, [blocking]).contract is blocking


def test_two_candidates_are_refused_with_the_line_to_add():
    with pytest.raises(
        aether.ContractError,
        match=r"Pricing has 2 implementations, Alike, Blocking.*bind=\[aether\.bind\(Pricing\)\.to\(Alike\)\]",
    ):
        choose(Pricing, [alike, blocking])
    assert "Alike" in ambiguous(Pricing, [alike, blocking])


def test_none_says_why_each_slice_does_not_match():
    assert choose(Pricing, [unlike]) is None
    assert "Unlike: quote returns str, not int" in missing(Pricing, [unlike])


def test_an_explicit_binding_decides():
    binding = aether.bind(Pricing).to(Alike)
    assert choose(Pricing, [named, alike], [binding]).contract is alike
    with pytest.raises(aether.ContractError, match="bound twice"):
        choose(Pricing, [], [binding, aether.bind(Pricing).to(Named)])


def test_a_slice_as_dependency_is_itself():
    assert choose(Named, [alike, named]).contract is named
    assert choose(Named, [alike]) is None


def test_wrong_bindings_are_refused_when_written():
    with pytest.raises(aether.ContractError, match="no method 'ticks'"):
        aether.bind(Pricing).to(Unlike)
    with pytest.raises(aether.ContractError, match=r"decorated with @aether\.slice"):
        aether.bind(Pricing).to(int)
    with pytest.raises(aether.ContractError, match="Protocol"):
        aether.bind(int)


def protocol(**methods):
    return contract_of(type("Wanted", (Protocol,), methods))


async def two(self, sku: str, size: int) -> int: ...
async def typed(self, sku: bytes) -> int: ...
async def fewer(self) -> int: ...
async def defaulted(self, sku: str = "") -> int: ...
async def plain(self, sku: str) -> int: ...
def stream(self, sku: str) -> AsyncIterator[int]: ...


@aether.slice
class Plain:
    async def quote(self, sku: str) -> int: ...


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (two, "no parameter 'size'"),
        (typed, "parameter 'sku' is str, not bytes"),
        (fewer, "further parameter 'sku'"),
        (defaulted, "'sku' has no default"),
        (stream, "quote is no stream"),
        (plain, None),
    ],
)
def test_names_kinds_parameters_and_types_must_match(wanted, reason):
    got = mismatch(protocol(quote=wanted), contract_of(Plain))
    assert got is None if reason is None else reason in got
