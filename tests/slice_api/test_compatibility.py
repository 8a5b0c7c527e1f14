"""What breaks whom: one test per rule, and the codec as judge of what can be read."""

import datetime as dt
import enum
import uuid
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, NamedTuple, NotRequired, TypedDict

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import aether
from aether.slice_api.codec import Form, codec_of
from aether.slice_api.compatibility import Rule, changes
from aether.slice_api.contract import contract_of
from aether.slice_api.description import ContractDescription, FaultDescription, describe
from aether.slice_api.misfit import Misfit
from aether.slice_api.reading import Comparison
from aether.slice_api.schema import Schemas, schema_of


def between(old, new):
    """{rule: (where, breaking)} of two slice classes written in one test."""
    made = [describe(contract_of(aether.slice(artifact=f"t.c:s:{i}.0.0")(cls))) for i, cls in enumerate((old, new))]
    found = changes(*(attrs.evolve(d, faults={}) for d in made))
    assert all(change.reason for change in found)
    return {change.rule: (change.where, change.breaking) for change in found}


class Base:
    async def act(self, a: int, b: str = "x") -> int:
        return 1


def test_the_same_contract_has_no_changes():
    class Same:
        async def act(self, a: int, b: str = "x") -> int:
            return 2

    assert between(Base, Same) == {}


def test_a_method_removed_breaks_and_one_added_does_not():
    class Other:
        async def other(self) -> None: ...

    assert between(Base, Other) == {Rule.METHOD_REMOVED: ("act", True), Rule.METHOD_ADDED: ("other", False)}


def test_a_stream_and_a_plain_method_are_called_differently():
    class Streams:
        async def act(self, a: int, b: str = "x") -> AsyncIterator[int]:
            yield 1

    assert between(Base, Streams) == {Rule.STREAM_CHANGED: ("act", True)}


def test_a_parameter_added_breaks_without_a_default_only():
    class Needs:
        async def act(self, a: int, c: int, b: str = "x") -> int:
            return 1

    class Takes:
        async def act(self, a: int, b: str = "x", c: int = 0) -> int:
            return 1

    assert between(Base, Needs) == {Rule.PARAMETER_ADDED: ("act(c)", True)}
    assert between(Base, Takes) == {Rule.PARAMETER_ADDED: ("act(c)", False)}


def test_a_parameter_removed_or_renamed_breaks():
    class Fewer:
        async def act(self, a: int) -> int:
            return 1

    class Renamed:
        async def act(self, a: int, c: str = "x") -> int:
            return 1

    assert between(Base, Fewer) == {Rule.PARAMETER_REMOVED: ("act(b)", True)}
    assert between(Base, Renamed) == {Rule.PARAMETER_RENAMED: ("act(b)", True)}


def test_a_default_removed_breaks_one_given_or_changed_does_not():
    class Required:
        async def act(self, a: int, b: str) -> int:
            return 1

    class Changed:
        async def act(self, a: int, b: str = "y") -> int:
            return 1

    assert between(Base, Required) == {Rule.PARAMETER_REQUIRED: ("act(b)", True)}
    assert between(Required, Base) == {Rule.PARAMETER_OPTIONAL: ("act(b)", False)}
    assert between(Base, Changed) == {Rule.DEFAULT_CHANGED: ("act(b)", False)}


def test_a_parameter_may_take_more_but_not_less():
    class Wider:
        async def act(self, a: int | str, b: str = "x") -> int:
            return 1

    class Other:
        async def act(self, a: bytes, b: str = "x") -> int:
            return 1

    assert between(Base, Wider) == {Rule.PARAMETER_WIDENED: ("act(a)", False)}
    assert between(Wider, Base) == {Rule.PARAMETER_NARROWED: ("act(a)", True)}
    assert between(Base, Other) == {Rule.PARAMETER_NARROWED: ("act(a)", True)}


def test_the_order_of_parameters_is_of_no_account_on_the_wire():
    class Moved:
        async def act(self, b: str, a: int) -> int:
            return 1

    class From:
        async def act(self, a: int, b: str) -> int:
            return 1

    assert between(From, Moved) == {Rule.PARAMETER_MOVED: ("act", False)}


def test_a_stream_of_arguments_is_no_value():
    class Streams:
        async def act(self, a: AsyncIterator[int], b: str = "x") -> int:
            return 1

    description = describe(contract_of(aether.slice(artifact="t.c:s:1.0.0")(Base)))
    method = description.methods["act"]
    streamed = attrs.evolve(method, parameters=(attrs.evolve(method.parameters[0], stream=True), method.parameters[1]))
    new = attrs.evolve(description, methods={"act": streamed})

    assert [(c.rule, c.breaking) for c in changes(description, new)] == [(Rule.PARAMETER_NARROWED, True)]


def test_a_result_may_become_less_but_not_more():
    class Wider:
        async def act(self, a: int, b: str = "x") -> int | None:
            return 1

    assert between(Base, Wider) == {Rule.RESULT_WIDENED: ("act result", True)}
    assert between(Wider, Base) == {Rule.RESULT_CHANGED: ("act result", False)}


@attrs.frozen
class Quote:
    total: int
    currency: str = "EUR"


def test_fields_of_a_result_may_be_added_and_those_with_a_default_removed():
    @attrs.frozen
    class More:
        total: int
        currency: str = "EUR"
        vat: int = 0

    @attrs.frozen
    class Less:
        currency: str = "EUR"

    def returning(tp):
        class Returns:
            async def act(self) -> tp: ...  # type: ignore[valid-type]

        return Returns

    assert between(returning(Quote), returning(More)) == {}
    assert between(returning(Quote), returning(Less)) == {Rule.RESULT_WIDENED: ("act result.total", True)}


def test_fields_of_an_argument_need_a_default_when_added_and_are_missed_when_removed():
    @attrs.frozen
    class Needs:
        total: int
        vat: int
        currency: str = "EUR"

    @attrs.frozen
    class Takes:
        total: int
        currency: str = "EUR"
        vat: int = 0

    def taking(tp):
        class Takes:
            async def act(self, quotes: dict[str, list[tp]]) -> None: ...  # type: ignore[valid-type]

        return Takes

    assert between(taking(Quote), taking(Needs)) == {Rule.PARAMETER_NARROWED: ("act(quotes)[][].vat", True)}
    assert between(taking(Takes), taking(Quote)) == {Rule.PARAMETER_NARROWED: ("act(quotes)[][].vat", True)}
    assert between(taking(Quote), taking(Takes)) == {Rule.PARAMETER_WIDENED: ("act(quotes)", False)}


def test_members_of_an_enum_may_be_added_to_arguments_and_not_to_results():
    def takes(tp):
        class Takes:
            async def act(self, a: tp) -> None: ...  # type: ignore[valid-type]

        return Takes

    def gives(tp):
        class Gives:
            async def act(self) -> tp: ...  # type: ignore[valid-type]

        return Gives

    few, many = Literal["a", "b"], Literal["a", "b", "c"]
    assert between(takes(few), takes(many)) == {Rule.PARAMETER_WIDENED: ("act(a)", False)}
    assert between(takes(many), takes(few)) == {Rule.PARAMETER_NARROWED: ("act(a)", True)}
    assert between(gives(few), gives(many)) == {Rule.RESULT_WIDENED: ("act result", True)}


def test_idempotence_lost_breaks_those_who_repeat():
    class May:
        @aether.method(idempotent=True)
        async def act(self, a: int, b: str = "x") -> int:
            return 1

    assert between(May, Base) == {Rule.IDEMPOTENT_LOST: ("act", True)}
    assert between(Base, May) == {Rule.IDEMPOTENT_GAINED: ("act", False)}


def test_a_deadline_is_told():
    class Quick:
        @aether.method(deadline_s=2)
        async def act(self, a: int, b: str = "x") -> int:
            return 1

    assert between(Base, Quick) == {Rule.DEADLINE_CHANGED: ("act", False)}


def test_a_route_removed_or_changed_breaks_http_clients():
    class First:
        @aether.post("/a")
        async def act(self, a: int) -> int:
            return 1

    class Second:
        @aether.post("/b")
        async def act(self, a: int) -> int:
            return 1

    assert between(First, Second) == {Rule.ROUTE_REMOVED: ("act", True), Rule.ROUTE_ADDED: ("act", False)}


def test_another_spelling_of_names_breaks_http_clients_alone():
    class Routed:
        @aether.post("/a")
        async def act(self, long_name: int) -> int:
            return 1

    old = describe(contract_of(aether.slice(artifact="t.c:s:1.0.0")(Routed)))
    new = attrs.evolve(old, json_case="camel")
    unrouted = attrs.evolve(old, methods={})

    assert [(c.rule, c.breaking) for c in changes(old, new)] == [(Rule.JSON_CASE_CHANGED, True)]
    assert changes(unrouted, attrs.evolve(unrouted, json_case="camel")) == ()


def fault(name, status=409, required=("sku",), **properties):
    schema = {"type": "object", "properties": properties or {"sku": {"type": "string"}}, "required": list(required)}
    return FaultDescription(name=name, status=status, title=name, schema=schema)


def of_faults(*faults):
    return ContractDescription(name="S", methods={}, faults={f.name: f for f in faults}, definitions={})


@pytest.mark.parametrize(
    ("old", "new", "rule", "breaking"),
    [
        ([], [fault("Gone")], Rule.FAULT_ADDED, False),
        ([fault("Gone")], [], Rule.FAULT_REMOVED, False),
        ([fault("Gone")], [fault("Sold")], Rule.FAULT_RENAMED, True),
        ([fault("Gone")], [fault("Gone", 410)], Rule.FAULT_STATUS, True),
        ([fault("Gone")], [fault("Gone", required=["id"], id={"type": "string"})], Rule.FAULT_FIELDS, True),
    ],
)
def test_faults(old, new, rule, breaking):
    assert [(c.rule, c.breaking) for c in changes(of_faults(*old), of_faults(*new))] == [(rule, breaking)]


def test_every_rule_has_a_test():
    """A rule without one is a wish."""
    text = Path(__file__).read_text()
    assert [rule.name for rule in Rule if f"Rule.{rule.name}" not in text] == []


# --- the codec is the judge -----------------------------------------------------------------------------------------


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


class More(enum.Flag):
    READ = 1
    WRITE = 2
    OWN = 4


@attrs.frozen
class Small:
    a: int


@attrs.frozen
class Large:
    a: int
    b: str = ""


@attrs.frozen
class Strange:
    a: str
    b: int = 0


@attrs.frozen
class Tree:
    a: int
    kids: "list[Tree]" = attrs.field(factory=list)


class Half(TypedDict):
    a: NotRequired[int]


class Full(TypedDict):
    a: int


class Point(NamedTuple):
    x: int
    y: int = 0


ints, texts = st.integers(-(2**63), 2**63 - 1), st.text(max_size=4)
smalls, larges = st.builds(Small, ints), st.builds(Large, ints, texts)
TYPES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (None, st.none()),
    (bool, st.booleans()),
    (int, ints),
    (float, st.floats(allow_nan=False)),
    (str, texts),
    (bytes, st.binary(max_size=4)),
    (Decimal, st.decimals(allow_nan=False, allow_infinity=False)),
    (uuid.UUID, st.uuids()),
    (dt.datetime, st.datetimes()),
    (dt.date, st.dates()),
    (Color, st.sampled_from(Color)),
    (Rights, st.sampled_from([Rights.READ, Rights.READ | Rights.WRITE])),
    (More, st.sampled_from([More.OWN, More.READ])),
    (Literal["red"], st.just("red")),
    (Literal[1, "red"], st.sampled_from([1, "red"])),
    (int | None, st.none() | ints),
    (int | str, ints | texts),
    (str | bytes | float, texts | st.binary(max_size=3) | st.floats(allow_nan=False)),
    (list[int], st.lists(ints, max_size=2)),
    (set[int], st.sets(ints, max_size=2)),
    (list[int | str], st.lists(ints | texts, max_size=2)),
    (tuple[int, str], st.tuples(ints, texts)),
    (tuple[int, int], st.tuples(ints, ints)),
    (Point, st.builds(Point, ints, ints)),
    (dict[str, int], st.dictionaries(texts, ints, max_size=2)),
    (dict[int, int], st.dictionaries(ints, ints, max_size=2)),
    (dict[tuple[int, int], int], st.dictionaries(st.tuples(ints, ints), ints, max_size=2)),
    (Small, smalls),
    (Large, larges),
    (Strange, st.builds(Strange, texts, ints)),
    (Tree, st.builds(Tree, ints, st.lists(st.builds(Tree, ints), max_size=2))),
    (Half, st.fixed_dictionaries({}, optional={"a": ints})),
    (Full, st.fixed_dictionaries({"a": ints})),
    (Small | Large, smalls | larges),
    (Small | Strange, smalls | st.builds(Strange, texts, ints)),
    (Any, st.none() | ints | st.lists(texts, max_size=2)),
]


def problems(writer, reader):
    sides = Schemas(Form.WIRE), Schemas(Form.WIRE)
    schemas = [side.of(tp) for side, tp in zip(sides, (writer, reader), strict=True)]
    return Comparison(sides[0].definitions, sides[1].definitions).problems(*schemas)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(TYPES), st.sampled_from([tp for tp, _ in TYPES]), st.data())
def test_when_no_problem_is_found_every_value_is_read(writes, reader, data):
    """A rule that says compatible where the codec refuses would let a rollout fail."""
    writer, values = writes
    if problems(writer, reader):
        return
    plain = codec_of(writer, Form.WIRE).encode(data.draw(values))
    codec_of(reader, Form.WIRE).decode(plain)


def test_pairs_that_were_judged_by_hand():
    """The property above says nothing when everything is a problem."""
    readable = {(str(w), str(r)) for w, _ in TYPES for r, _ in TYPES if w is not r and not problems(w, r)}

    assert {("<class 'int'>", "<class 'float'>"), ("<class 'int'>", "int | str")} <= readable
    assert {("<class 'datetime.date'>", "<class 'str'>"), ("list[int]", "list[int | str]")} <= readable
    assert len(readable) > 60


def test_every_type_reads_itself():
    assert {str(tp): problems(tp, tp) for tp, _ in TYPES if problems(tp, tp)} == {}


@pytest.mark.parametrize(
    ("writer", "value", "reader"),
    [
        (int, 1, str),
        (str, "x", uuid.UUID),
        (str, "x", bytes),
        (bytes, b"x", str),
        (float, 0.5, int),
        (int | None, None, int),
        (More, More.OWN, Rights),
        (list[str], ["x"], list[int]),
        (Half, {}, Full),
        (dict[str, int], {"x": 1}, Small),
        (list[int], [1], tuple[int, int]),
        (Any, "x", int),
        (Small, Small(1), Strange),
        (Small | Large, Large(1), Strange),
    ],
)
def test_what_the_codec_would_refuse_is_a_problem(writer, value, reader):
    plain = codec_of(writer, Form.WIRE).encode(value)

    assert problems(writer, reader)
    with pytest.raises(Misfit):
        codec_of(reader, Form.WIRE).decode(plain)


def test_a_document_is_no_definition():
    assert schema_of(Small)["$ref"] == "#/$defs/Small"
