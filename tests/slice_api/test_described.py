"""A slice whose code is elsewhere: what is told of it, what is believed, and whom its dependencies get."""

import json
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Annotated, Protocol

import attrs
import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import aether
from aether.errors import BadInput, ContractError
from aether.model.artifact import Artifact
from aether.model.limits import SLICE_DESCRIPTION_BYTES_MAX
from aether.slice_api.binding import bind
from aether.slice_api.contract import contract_of
from aether.slice_api.described import describe_slice, description_of, openapi_of, read_slice, slice_of, wanted_of
from aether.slice_api.matching import choose_slice, mismatch
from aether.slice_api.program import Program


@attrs.frozen
class Money:
    cents: int


class Quotes(Protocol):
    async def quote(self, sku: str, qty: int = 1) -> Money: ...


class Audit(Protocol):
    async def note(self, text: str) -> None: ...


@aether.slice(artifact="shop:list-pricing:1.0.0")
class ListPricing(Quotes):
    async def quote(self, sku: str, qty: int = 1) -> Money:
        return Money(qty)


@aether.slice(artifact="shop:other-pricing:1.0.0")
class OtherPricing:
    """It matches by its methods alone."""

    async def quote(self, sku: str, qty: int = 1) -> Money:
        return Money(qty)


@aether.slice(artifact="shop:odd-pricing:1.0.0")
class OddPricing:
    async def quote(self, sku: str, qty: int = 1) -> Decimal:
        return Decimal(qty)


@aether.slice(artifact="shop:till:1.2.0", instances=3, concurrency=7, queue=9, deadline_s=4.0)
class Till:
    quotes: Quotes
    pricing: ListPricing
    audit: Audit | None
    book: aether.Map[str, int] = aether.map("book", entries_max=3)
    currency: str = aether.config("shop.currency", default="EUR")
    token: str = aether.secret("shop.token")
    seen: list[str] = aether.state(factory=list)

    @aether.method(idempotent=True, affinity="customer", deadline_s=2.0)
    async def total(self, customer: str, lines: list[Money]) -> Money:
        return lines[0]

    @aether.post("/till")
    async def sell(self, sku: str, key: Annotated[str, aether.Header("Idempotency-Key")]) -> Money:
        return Money(1)

    @aether.get("/till/ticks")
    async def ticks(self) -> AsyncIterator[int]:
        yield 1


PROGRAM = Program(module="till", qualname="Till", path=("/tree",))


def told(cls):
    contract = contract_of(cls)
    return read_slice(describe_slice(contract), PROGRAM, contract.artifact)


def field_of(known, name):
    return next(field for field in known.fields if field.name == name)


def test_what_is_told_says_all_that_a_node_asks_a_contract_for():
    contract, found = contract_of(Till), told(Till)

    assert (found.name, found.artifact) == (contract.name, contract.artifact)
    assert (found.options.instances, found.options.concurrency, found.options.queue) == (3, 7, 9)
    assert (found.options.deadline_s, found.options.host) == (4.0, "process")
    assert found.routes == contract.routes
    assert found.deadlines_s == contract.deadlines_s
    assert description_of(found) == description_of(contract)
    assert openapi_of(found) == openapi_of(contract)
    for name, method in contract.methods.items():
        other = found.methods[name]
        for fact in ("stream", "idempotent", "affinity", "deadline_s", "reads_key"):
            assert getattr(other, fact) == getattr(method, fact), (name, fact)
    for field in contract.fields:
        other = field_of(found, field.name)
        assert (other.kind, other.optional, other.has_default) == (field.kind, field.optional, field.has_default)
    assert found.methods["sell"].reads_key
    assert (field_of(found, "book").key, field_of(found, "book").entries_max) == ("book", 3)
    assert field_of(found, "token").key == "shop.token"


def test_bounds_and_singletons_are_told_too():
    """A tree of slices may scale to zero, or run once, like an imported class."""

    @aether.slice(artifact="shop:lazy:1.0.0", instances=aether.Scale(0, 4, idle_s=9.0))
    class Lazy:
        async def say(self) -> str:
            return ""

    @aether.slice(artifact="shop:single:1.0.0", singleton=True)
    class Single:
        async def say(self) -> str:
            return ""

    assert told(Lazy).options.scale == aether.Scale(0, 4, idle_s=9.0)
    assert told(Single).options.singleton
    assert description_of(told(Lazy)) == description_of(contract_of(Lazy))


def test_what_a_store_gave_is_asked_alike():
    assert slice_of(Till) is contract_of(Till)
    assert slice_of(found := told(Till)) is found


def test_another_artifact_than_was_looked_for_is_refused():
    with pytest.raises(BadInput, match="looked for"):
        read_slice(describe_slice(contract_of(Till)), PROGRAM, Artifact.parse("shop:till:9.9.9"))


PLAIN = json.loads(describe_slice(contract_of(Till)))


def paths(plain, at=()):
    yield at
    inner = plain.items() if isinstance(plain, dict) else enumerate(plain) if isinstance(plain, list) else ()
    for key, value in inner:
        yield from paths(value, (*at, key))


PATHS = [path for path in paths(PLAIN) if path]


def nested(depth):
    found = {}
    for _ in range(depth):
        found = {"items": found}
    return found


JUNK = st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=5) | st.lists(st.integers())


@example(("fields", 0, "kind"), [])
@example(("contract", "options", "deadline_s"), 10**400)
@example(("contract", "methods", 0, "deadline_s"), 10**400)
@example(("contract", "methods", 0, "deadline_s"), float("nan"))
@example(("contract", "options", "concurrency"), 10**30)
@example(("openapi",), "\ud800")
@example(("contract", "definitions"), nested(900))
@given(st.sampled_from(PATHS), JUNK | st.dictionaries(st.text(max_size=3), st.integers(), max_size=2))
def test_a_description_that_was_tampered_with_is_read_or_refused_and_nothing_else(path, junk):
    plain = json.loads(json.dumps(PLAIN))
    at = plain
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = junk
    try:
        found = read_slice(json.dumps(plain), PROGRAM, contract_of(Till).artifact)
    except BadInput:
        return
    assert all(route.method in found.methods for route in found.routes)
    assert found.options.host == "process"
    assert found.options.concurrency >= 1
    assert all(m.deadline_s is None or m.deadline_s > 0 for m in found.contract.methods.values())
    msgpack.packb(found.contract.to_plain())  # as the row of its contract is written


@given(st.text(max_size=50) | st.just("[" * 100_000) | st.just("{}") | st.just("x" * (SLICE_DESCRIPTION_BYTES_MAX + 1)))
def test_text_that_is_no_description_is_refused(text):
    with pytest.raises(BadInput):
        read_slice(text, PROGRAM, contract_of(Till).artifact)


# --- whom a dependency gets -----------------------------------------------------------------------------------------

KINDS = {"imported": contract_of, "described": told}


@pytest.fixture(params=["imported", "described"])
def asking(request):
    """Fields of a Till that is imported here, or is not."""
    return KINDS[request.param](Till)


@pytest.fixture(params=["imported", "described"])
def seen_as(request):
    return KINDS[request.param]


def chosen(asking, field, candidates, bindings=()):
    found = choose_slice(field_of(asking, field), candidates, bindings)
    return None if found is None else (found[0].name, found[1])


def test_a_slice_class_gets_itself(asking, seen_as):
    assert chosen(asking, "pricing", [seen_as(OtherPricing), seen_as(ListPricing)]) == ("ListPricing", False)
    assert chosen(asking, "pricing", [seen_as(OtherPricing)]) is None
    assert wanted_of(field_of(asking, "pricing")).artifact == contract_of(ListPricing).artifact


def test_who_names_the_protocol_as_a_base_wins_over_who_matches_it(asking, seen_as):
    assert chosen(asking, "quotes", [seen_as(OtherPricing), seen_as(ListPricing)]) == ("ListPricing", False)


def test_who_matches_by_methods_alone_is_said_to(asking, seen_as):
    assert chosen(asking, "quotes", [seen_as(OddPricing), seen_as(OtherPricing)]) == ("OtherPricing", True)
    assert chosen(asking, "quotes", [seen_as(OddPricing)]) is None
    assert chosen(asking, "audit", [seen_as(ListPricing)]) is None


def test_two_candidates_are_refused_with_the_line_to_add(seen_as):
    @aether.slice(artifact="shop:third-pricing:1.0.0")
    class ThirdPricing(Quotes):
        async def quote(self, sku: str, qty: int = 1) -> Money:
            return Money(qty)

    with pytest.raises(ContractError, match=r"2 implementations.*bind"):
        chosen(told(Till), "quotes", [seen_as(ListPricing), seen_as(ThirdPricing)])


def test_what_is_bound_comes_first_whoever_is_imported(asking, seen_as):
    bound = [bind(Quotes).to(OtherPricing)]

    assert chosen(asking, "quotes", [seen_as(ListPricing)], bound) == ("OtherPricing", False)


def test_types_match_by_their_schemas_wherever_they_are_defined():
    wanted = description_of(contract_of(Quotes))

    assert mismatch(wanted, description_of(contract_of(OtherPricing))) is None
    assert mismatch(wanted, description_of(contract_of(OddPricing))) == "quote returns another type"
    assert mismatch(wanted, description_of(contract_of(Audit))) == "no method 'quote'"
