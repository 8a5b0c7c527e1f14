"""Reading what was written gives an equal value; anything else is an error with its path, never a conversion."""

import collections.abc
import dataclasses
import enum
import json
import re
import typing
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, NotRequired, Optional, TypedDict, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import attrs
import jsonschema
import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typing_extensions import TypeAliasType

import aether
from aether.slice_api.annotations import NoCodec, type_name
from aether.slice_api.codec import Form, camel, codec_of
from aether.slice_api.misfit import PROBLEMS_MAX, Misfit
from aether.slice_api.schema import schema_of
from aether.slice_api.textual import text_of, texts_of

T = TypeVar("T")
Sku = NewType("Sku", str)
Ids = TypeAliasType("Ids", list[int])


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Odd(enum.Enum):
    PAIR = (1, 2)
    TEXT = "text"


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


@attrs.frozen
class Line:
    sku: str
    unit_price: int = 0


@attrs.frozen
class Node:
    name: str
    children: "list[Node]" = attrs.field(factory=list)
    parent_name: "str | None" = None


@attrs.frozen
class Page(Generic[T]):
    items: list[T]
    next_page: "T | None" = None


@attrs.define
class Hidden:
    _secret: int
    total: int = attrs.field(init=False, default=0)


@dataclasses.dataclass
class Box(Generic[T]):
    content: T
    tags: "list[str]" = dataclasses.field(default_factory=list)


class Movie(TypedDict):
    full_title: str
    year: NotRequired[int]


class Point(NamedTuple):
    x: int
    y: float = 0.0


@attrs.frozen
class Cash:
    amount: int


@attrs.frozen
class Card:
    number: str


@attrs.frozen
class Cat:
    pet_kind: Literal["cat"]
    lives: int


@dataclasses.dataclass(frozen=True)
class Dog:
    pet_kind: Literal["dog"]
    name: str


class Bird(TypedDict):
    pet_kind: Literal["bird"]


@attrs.frozen
class Positive:
    number: int = attrs.field()

    @number.validator
    def _above_zero(self, attribute: Any, value: int) -> None:
        if value <= 0:
            raise ValueError(f"must be above 0, got {value}")


ints = st.integers(-(2**63), 2**63 - 1)
floats = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(max_size=8)
decimals = st.decimals(allow_nan=False, allow_infinity=False)
zones = st.sampled_from([None, UTC, timezone(timedelta(hours=-5, minutes=-30)), ZoneInfo("Europe/Berlin")])
offsets = st.sampled_from([None, UTC, timezone(timedelta(hours=3))])
lines = st.builds(Line, texts, ints)

Answer = Literal["a", 1, True, None]  # noqa: PYI061 - None inside a Literal is the case

TABLE: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "None": (None, st.none()),
    "bool": (bool, st.booleans()),
    "int": (int, ints),
    "float": (float, floats),
    "str": (str, texts),
    "bytes": (bytes, st.binary(max_size=16)),
    "Decimal": (Decimal, decimals),
    "UUID": (UUID, st.uuids()),
    "datetime": (datetime, st.datetimes(timezones=offsets)),
    "date": (date, st.dates()),
    "time": (time, st.times(timezones=offsets)),
    "timedelta": (timedelta, st.timedeltas()),
    "Enum": (Color, st.sampled_from(Color)),
    "IntEnum": (Level, st.sampled_from(Level)),
    "Enum of other values": (Odd, st.sampled_from(Odd)),
    "Flag": (Rights, st.sampled_from([Rights(0), Rights.READ, Rights.READ | Rights.WRITE])),
    "Literal": (Answer, st.sampled_from(["a", 1, True, None])),
    "NewType": (Sku, texts),
    "type alias": (Ids, st.lists(ints, max_size=3)),
    "Annotated": (Annotated[int, "a note"], ints),
    "list": (list[Decimal], st.lists(decimals, max_size=3)),
    "tuple of one type": (tuple[int, ...], st.lists(ints, max_size=3).map(tuple)),
    "tuple": (tuple[int, str, None], st.tuples(ints, texts, st.none())),
    "set": (set[int], st.sets(ints, max_size=3)),
    "frozenset": (frozenset[str], st.frozensets(texts, max_size=3)),
    "Sequence": (collections.abc.Sequence[int], st.lists(ints, max_size=3)),
    "dict": (dict[str, Line], st.dictionaries(texts, lines, max_size=3)),
    "Mapping": (collections.abc.Mapping[str, int], st.dictionaries(texts, ints, max_size=3)),
    "dict, other keys": (dict[int, str], st.dictionaries(ints, texts, max_size=3)),
    "dict, UUID keys": (dict[UUID, int], st.dictionaries(st.uuids(), ints, max_size=3)),
    "dict, tuple keys": (
        dict[tuple[int, str], bool],
        st.dictionaries(st.tuples(ints, texts), st.booleans(), max_size=3),
    ),
    "dict, union keys": (dict[int | str, bool], st.dictionaries(ints | texts, st.booleans(), max_size=3)),
    "X | None": (Optional[datetime], st.none() | st.datetimes()),  # noqa: UP045 - the old spelling travels too
    "int | str": (int | str, ints | texts),
    "union of kinds": (
        int | float | list[int] | Line | bool,
        ints | floats | st.lists(ints, max_size=2) | lines | st.booleans(),
    ),
    "union of classes": (Cash | Card | None, st.none() | st.builds(Cash, ints) | st.builds(Card, texts)),
    "tagged union": (
        Cat | Dog | Bird,
        st.builds(Cat, st.just("cat"), ints) | st.builds(Dog, st.just("dog"), texts) | st.just(Bird(pet_kind="bird")),
    ),
    "attrs": (Line, lines),
    "attrs, recursive": (
        Node,
        st.recursive(
            st.builds(Node, texts),
            lambda inner: st.builds(Node, texts, st.lists(inner, max_size=2), texts),
            max_leaves=4,
        ),
    ),
    "generic": (Page[Line], st.builds(Page, st.lists(lines, max_size=2), st.none() | lines)),
    "dataclass": (Box[Decimal], st.builds(Box, decimals, st.lists(texts, max_size=2))),
    "TypedDict": (Movie, st.fixed_dictionaries({"full_title": texts}, optional={"year": ints})),
    "NamedTuple": (Point, st.builds(Point, ints, floats)),
    "Any": (
        Any,
        st.recursive(
            st.none() | st.booleans() | ints | floats | texts,
            lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
            max_leaves=5,
        ),
    ),
}

quick = settings(
    max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)


@pytest.mark.parametrize(("tp", "values"), TABLE.values(), ids=TABLE.keys())
@given(data=st.data())
@quick
def test_every_type_of_the_table_comes_back_equal_and_of_the_same_class(trip, tp, values, data):
    """A co-located and a remote call give the same value: this is the promise of the table in the reference."""
    value = data.draw(values)
    back = trip(tp, value)
    assert back == value
    assert type(back) is type(value)


@pytest.mark.parametrize("form", Form)
@pytest.mark.parametrize(("tp", "values"), TABLE.values(), ids=TABLE.keys())
@given(data=st.data())
@quick
def test_what_the_codec_writes_fits_the_schema_of_the_type(form, tp, values, data):
    """A client made from the schema would otherwise refuse what we send."""
    schema = schema_of(tp, form)
    jsonschema.Draft202012Validator.check_schema(schema)
    plain = codec_of(tp, form).encode(data.draw(values))
    text = json.dumps(plain, default=lambda value: value.decode("latin-1"))  # bytes are only on the wire
    assert jsonschema.Draft202012Validator(schema).is_valid(json.loads(text))


def test_the_reference_lists_exactly_the_types_that_are_tested():
    """A type that is documented but not tested is a wish."""
    page = (Path(__file__).parents[2] / "docs/reference/api.md").read_text()
    table = page.partition("<!-- codec table -->")[2].partition("<!-- end of codec table -->")[0]
    listed = [
        row.split("|")[1].strip().replace("`", "").replace("\\", "")
        for row in re.sub(r"\\\|", "¦", table).splitlines()[3:]
        if row
    ]
    assert {name.replace("¦", "|") for name in listed} == TABLE.keys()


@given(st.datetimes(timezones=zones, allow_imaginary=False))
@quick
def test_a_naive_datetime_stays_naive_and_an_aware_one_aware(trip, moment):
    """msgpack presets make naive ones aware, which moves them by hours on another machine."""
    back = trip(datetime, moment)
    assert (back.tzinfo is None) == (moment.tzinfo is None)
    assert back.utcoffset() == moment.utcoffset()


@pytest.mark.parametrize(
    ("tp", "plain"),
    [
        (int, True),
        (int, 2.0),
        (int, 2.9),
        (int, "2"),
        (int, None),
        (int, 2**63),
        (int, -(2**63) - 1),
        (float, "1.5"),
        (float, True),
        (bool, "false"),
        (bool, 0),
        (bool, None),
        (str, None),
        (str, 1),
        (str, b"x"),
        (str, ["x"]),
        (bytes, "x!"),
        (None, 0),
        (None, "None"),
        (list[str], "abc"),
        (list[int], {}),
        (list[int], None),
        (tuple[int, int], [1]),
        (tuple[int, int], [1, 2, 3]),
        (set[str], "abc"),
        (dict[str, int], []),
        (dict[int, int], {"1.0": 1}),
        (dict[int, int], {"x": 1}),
        (Decimal, 1.5),
        (Decimal, 1),
        (Decimal, "NaN"),
        (Decimal, "1_0"),
        (Decimal, " 1"),
        (UUID, "{12345678-1234-5678-1234-567812345678}"),
        (UUID, "1"),
        (UUID, 1),
        (datetime, "2024-01-01"),
        (datetime, 0),
        (datetime, "2024-02-30T00:00"),
        (date, "2024-01-01T00:00:00"),
        (date, "20240101"),
        (time, "25:00"),
        (timedelta, 5),
        (timedelta, "P"),
        (timedelta, "PT"),
        (timedelta, "5"),
        (Color, "RED"),
        (Color, "green"),
        (Color, None),
        (Level, 3),
        (Level, True),
        (Odd, "x"),
        (Rights, 8),
        (Rights, "1"),
        (Literal[1], True),
        (Literal[True], 1),
        (Literal["a"], "b"),
        (Literal["a"], ["a"]),
        (int | str, None),
        (int | str, 1.5),
        (int | str, True),
        (Cash | Card, {"amount": 1}),
        (Cash | Card, {"_type": "Coin"}),
        (Cash | Card, {"_type": ["Cash"]}),
        (Cat | Dog, {"pet_kind": "cow"}),
        (Cat | Dog, {"lives": 1}),
        (Line, None),
        (Line, []),
        (Line, "sku"),
        (Line, {}),
        (Line, {"sku": 1}),
        (Movie, {}),
        (Movie, {"full_title": "x", "year": "y"}),
        (Point, {}),
        (Point, []),
        (Point, [1, 2.0, 3]),
        (Any, {1: 2}),
    ],
    ids=repr,
)
def test_plain_data_of_another_type_is_refused_in_every_form(tp, plain):
    """Out of the box cattrs takes "false" for True, 2.9 for 2 and None for 'None'."""
    for form in Form:
        with pytest.raises(Misfit):
            codec_of(tp, form).decode(plain)


@pytest.mark.parametrize(
    ("tp", "value"),
    [
        (int, "7"),
        (int, True),
        (int, 2**63),
        (float, "1"),
        (float, 10**400),
        (str, 7),
        (bytes, "x"),
        (Decimal, "7"),
        (Decimal, 7),
        (Decimal, Decimal("NaN")),
        (UUID, "x"),
        (datetime, date(2024, 1, 1)),
        (date, datetime(2024, 1, 1)),  # noqa: DTZ001
        (timedelta, 5),
        (time, time(1, tzinfo=ZoneInfo("Europe/Berlin"))),
        (Color, "red"),
        (Literal[1], True),
        (list[int], (1,)),
        (list[int], {1}),
        (tuple[int, ...], [1]),
        (set[int], [1]),
        (dict[str, int], [("a", 1)]),
        (dict[str, int], {1: 1}),
        (Line, {"sku": "a"}),
        (Line, Cash(1)),
        (Cash | Card, Line("a")),
        (int | str, 1.5),
        (int | str, True),
        (Point, (1, 2.0)),
        (tuple[int, int], (1,)),
        (Movie, {"full_title": "x", "yaer": 1}),
        (Movie, {}),
        pytest.param(Any, object(), id="Any-object"),  # its repr is another one in each process
        (Any, {1}),
        (Page[int], Page(["x"])),
        (None, 0),
        (Cat | Dog, Cat("dog", 1)),
        (Rights, 1),
    ],
    ids=repr,
)
def test_a_value_of_another_type_is_refused_before_it_is_sent(tp, value):
    """The error is raised where the mistake is, not on the other node."""
    for form in Form:
        with pytest.raises(Misfit):
            codec_of(tp, form).encode(value)


def test_an_int_where_a_float_is_declared_becomes_a_float(trip):
    back = trip(float, 3)
    assert back == 3.0
    assert type(back) is float
    assert type(trip(float | None, 3)) is float


def test_a_str_enum_member_may_be_passed_as_str_and_arrives_as_str(trip):
    class Currency(enum.StrEnum):
        EUR = "EUR"

    assert type(trip(str, Currency.EUR)) is str
    assert type(trip(int, Level.LOW)) is int


def test_json_has_no_nan_but_the_wire_has():
    """NaN is no JSON: a parser elsewhere would refuse the whole document."""
    for form in (Form.JSON, Form.CAMEL):
        for number in (float("nan"), float("inf")):
            with pytest.raises(Misfit, match="JSON has no"):
                codec_of(float, form).encode(number)
            with pytest.raises(Misfit, match="JSON has no"):
                codec_of(float, form).decode(number)
    assert codec_of(float, Form.WIRE).decode(float("inf")) == float("inf")


def test_camel_case_renames_fields_at_every_depth_but_no_keys_of_mappings():
    codec = codec_of(dict[str, Page[Line]], Form.CAMEL)
    plain = codec.encode({"my_key": Page([Line("a", 1)], Line("b"))})
    assert plain == {"my_key": {"items": [{"sku": "a", "unitPrice": 1}], "nextPage": {"sku": "b", "unitPrice": 0}}}
    assert codec_of(Movie, Form.CAMEL).encode({"full_title": "x"}) == {"fullTitle": "x"}
    assert codec_of(Cat | Dog, Form.CAMEL).encode(Cat("cat", 9)) == {"petKind": "cat", "lives": 9}
    assert [camel(n) for n in ("order_id", "_private_key", "a", "x_1", "HTTPCode")] == [
        "orderId",
        "_privateKey",
        "a",
        "x1",
        "HTTPCode",
    ]


def test_the_forms_differ_only_where_the_table_says_so():
    assert codec_of(bytes, Form.WIRE).encode(b"\xff") == b"\xff"
    assert codec_of(bytes, Form.JSON).encode(b"\xff") == "/w=="
    assert codec_of(timedelta, Form.JSON).encode(timedelta(days=-1, microseconds=5)) == "-P0DT86399.999995S"
    assert codec_of(timedelta, Form.JSON).decode("P1DT2H3M4.5S") == timedelta(days=1, hours=2, minutes=3, seconds=4.5)
    assert codec_of(Cash | Card, Form.JSON).encode(Cash(1)) == {"_type": "Cash", "amount": 1}
    assert codec_of(dict[int, str], Form.WIRE).encode({1: "a"}) == {"1": "a"}
    assert codec_of(Point, Form.JSON).decode([1]) == Point(1, 0.0)


def test_every_problem_is_reported_at_once_with_its_path():
    """A form with five mistakes is corrected in one round, not in five."""
    with pytest.raises(Misfit) as caught:
        codec_of(Page[Line], Form.CAMEL).decode(
            {"items": [{"sku": 1}, {"sku": "a", "unitPrice": 1.5}, 7, {}], "nextPage": {"sku": None}}
        )
    assert caught.value.problems == (
        (".items[0].sku", "expected str, got 1 (int)"),
        (".items[1].unitPrice", "expected int, got 1.5 (float)"),
        (".items[2]", "expected object (Line), got 7 (int)"),
        (".items[3].sku", "missing"),
        (".nextPage.sku", "expected str, got null"),
    )


def test_paths_lead_into_values_that_cannot_be_sent():
    with pytest.raises(Misfit) as caught:
        codec_of(dict[str, list[Line]], Form.WIRE).encode({"a": [Line("x"), Line(3, 2**64)]})
    assert [path for path, _ in caught.value.problems] == ["['a'][1].sku", "['a'][1].unit_price"]


def test_a_hostile_list_of_wrong_items_is_answered_briefly():
    """The answer to a bad request must not be larger than the request."""
    with pytest.raises(Misfit) as caught:
        codec_of(list[int], Form.JSON).decode(["x" * 10_000] * 10_000)
    assert len(caught.value.problems) == PROBLEMS_MAX
    assert all(len(what) < 120 for _, what in caught.value.problems)


def test_validators_of_the_users_class_speak_with_their_own_words():
    with pytest.raises(Misfit) as caught:
        codec_of(list[Positive], Form.WIRE).decode([{"number": 1}, {"number": -1}])
    assert caught.value.problems == (("[1]", "must be above 0, got -1"),)


def test_data_nested_ten_thousand_deep_is_a_misfit_and_no_crash():
    plain: dict[str, Any] = {"name": "leaf"}
    for _ in range(10_000):
        plain = {"name": "x", "children": [plain]}
    with pytest.raises(Misfit, match="nested too deeply"):
        codec_of(Node, Form.WIRE).decode(plain)


def test_unknown_fields_are_ignored_so_that_a_newer_peer_may_add_some():
    assert codec_of(Line, Form.WIRE).decode({"sku": "a", "color": "red"}) == Line("a")
    assert codec_of(Movie, Form.JSON).decode({"full_title": "a", "stars": 5}) == {"full_title": "a"}


def test_plain_data_shares_nothing_mutable_with_the_value():
    """Co-located calls go through the codec too: a callee that changes its argument must not change the caller's."""
    for tp, value in (
        (list[list[int]], [[1]]),
        (dict[str, list[int]], {"a": [1]}),
        (Any, {"a": [1]}),
        (Movie, {"full_title": "x"}),
    ):
        codec = codec_of(tp, Form.WIRE)
        assert codec.encode(value) is not value
        inner = codec.decode(codec.encode(value))
        assert inner == value
        assert inner is not value
    given = {"a": [1]}
    codec_of(Any, Form.WIRE).encode(given)["a"].append(2)
    assert given == {"a": [1]}


def test_a_subclass_is_not_cut_down_to_its_declared_base():
    @attrs.frozen
    class Priced(Line):
        price: int = 1

    with pytest.raises(Misfit, match="expected Line"):
        codec_of(Line, Form.WIRE).encode(Priced("a"))


def test_private_attrs_fields_travel_under_their_own_names_and_init_false_ones_not_at_all():
    codec = codec_of(Hidden, Form.WIRE)
    assert codec.encode(Hidden(3)) == {"_secret": 3}
    assert codec.decode({"_secret": 3}) == Hidden(3)


@attrs.frozen
class Deep:
    parts: "list[dict[str, Path]]"


@attrs.frozen
class Clash:
    order_id: int
    orderId: int  # noqa: N815 - the clash is the point


class Untyped(TypedDict):
    it: object


@attrs.frozen
class Taken:
    _type: str


@pytest.mark.parametrize(
    ("tp", "path", "reason"),
    [
        (object, "", "object has no codec"),
        (Deep, ".parts[][]", "Path has no codec"),
        (list, "", r"bare list .* list\[\.\.\.\]"),
        (dict, "", "bare dict"),
        (list[Annotated[int, [1]]], "", "cannot be hashed"),
        (list[typing.ForwardRef("Missing")], "[]", "not known at run time"),
        (Page[T], ".items[]", "type variable"),
        (dict[str, list[object]], "[][]", "object"),
        (tuple[int, object], "[1]", "object"),
        (Untyped, ".it", "object"),
        (datetime | str, "", "look alike"),
        (list[int] | set[int], "", "look alike"),
        (Color | str, "", "look alike"),
        (Line | dict[str, int], "", "look alike"),
        (int | Any, "", "may look like anything"),
        (Page[int] | Page[str], "", "told apart"),
        (Cash | Movie, "", "told apart"),
        (Cash | Taken, "", "_type"),
        (Literal[1.5], "", "1.5"),
        (type, "", "no codec"),
        (collections.OrderedDict[str, int], "", "only dict, Mapping"),
        (collections.abc.Callable[[], int], "", "no codec"),
    ],
    ids=repr,
)
def test_a_type_without_codec_is_found_when_the_codec_is_made_with_the_path_to_it(tp, path, reason):
    """At registration, not at the first call in production."""
    with pytest.raises(NoCodec, match=reason) as caught:
        codec_of(tp, Form.JSON)
    assert caught.value.path == path


def test_two_fields_that_become_one_in_camel_case_are_refused():
    assert codec_of(Clash, Form.JSON)
    with pytest.raises(NoCodec, match="same name in camelCase"):
        codec_of(Clash, Form.CAMEL)


def test_slices_and_protocols_are_no_values():
    @aether.slice
    class Service:
        async def ping(self) -> None: ...

    with pytest.raises(NoCodec, match="slice"):
        codec_of(Service, Form.WIRE)


TEXTUAL = [
    "bool",
    "int",
    "float",
    "str",
    "bytes",
    "Decimal",
    "UUID",
    "datetime",
    "date",
    "time",
    "timedelta",
    "Enum",
    "IntEnum",
    "Enum of other values",
    "Flag",
    "NewType",
    "Annotated",
]


@pytest.mark.parametrize("name", TEXTUAL)
@given(data=st.data())
@quick
def test_every_type_without_parts_comes_back_from_text(name, data):
    """Paths, queries, headers, the environment and the command line share one converter."""
    tp, values = TABLE[name]
    value = data.draw(values)
    text = text_of(tp)
    assert type(text.write(value)) is str
    assert text.read(text.write(value)) == value


@pytest.mark.parametrize(
    ("tp", "text"),
    [
        (int, "1.0"),
        (int, " 1"),
        (int, "1_000"),
        (int, "١"),
        (int, "9223372036854775808"),
        (int, ""),
        (float, "nan"),
        (float, "1e999"),
        (float, "Infinity"),
        (float, "1,5"),
        (bool, "True"),
        (bool, "1"),
        (bool, "yes"),
        (bool, ""),
        (Color, "RED"),
        (Literal["a", 1], "b"),
        (int | bool, "x"),
        (Rights, "9"),
        (UUID, "x"),
        (Decimal, "inf"),
    ],
    ids=repr,
)
def test_text_that_only_resembles_a_value_is_refused(tp, text):
    with pytest.raises(Misfit, match="expected"):
        text_of(tp).read(text)


def test_text_of_a_union_takes_the_narrowest_spelling():
    assert text_of(int | str).read("7") == 7
    assert text_of(int | str).read("seven") == "seven"
    assert text_of(int | float | bool).read("true") is True
    assert type(text_of(int | float).read("1.0")) is float
    assert text_of(Literal["a", 1]).read("1") == 1
    with pytest.raises(NoCodec, match="ambiguous"):
        text_of(UUID | str)


def test_lists_are_repeated_or_separated_by_commas():
    ids = texts_of(list[int])
    assert ids.read(["1", "2"]) == [1, 2]
    assert ids.split("1,2") == [1, 2]
    assert ids.split("") == []
    assert texts_of(set[Color] | None).read(["red", "red"]) == {Color.RED}
    assert texts_of(tuple[int, ...]).read(["1"]) == (1,)
    assert texts_of(str).split("a,b") == "a,b"
    with pytest.raises(Misfit) as caught:
        ids.read(["1", "x", "y"])
    assert [path for path, _ in caught.value.problems] == ["[1]", "[2]"]
    with pytest.raises(Misfit, match="expected one value, got 2"):
        texts_of(int).read(["1", "2"])


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | texts | st.binary(max_size=4),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(texts | st.sampled_from(["sku", "_type", "pet_kind"]), inner, max_size=3)
        ),
    )
)
@settings(max_examples=150, deadline=None)
def test_no_plain_data_whatsoever_raises_anything_but_a_misfit(plain):
    """Trust no input: what a peer or a client sends is refused, and never crashes the decoder."""
    for tp, _ in TABLE.values():
        for form in (Form.WIRE, Form.JSON):
            codec = codec_of(tp, form)
            try:
                value = codec.decode(plain)
            except Misfit:
                continue
            back = codec.decode(codec.encode(value))
            assert back == value or plain != plain or tp is Any


def test_wire_data_needs_no_loosened_limits_of_msgpack():
    """strict_map_key stays on in the wire room, so that no peer can send keys that collide by hash."""
    plain = codec_of(dict[int, dict[UUID, str]], Form.WIRE).encode({1: {UUID(int=1): "a"}})
    assert msgpack.unpackb(msgpack.packb(plain), strict_map_key=True) == plain
    assert json.loads(json.dumps(plain)) == plain


class Berlin(tzinfo):
    def utcoffset(self, when: datetime | None) -> timedelta | None:
        return timedelta(hours=1)


def test_datetimes_of_any_timezone_class_keep_their_offset(trip):
    moment = datetime(2024, 5, 1, 12, 0, tzinfo=Berlin())
    assert trip(datetime, moment) == moment


def test_a_lone_surrogate_is_refused_where_it_enters(trip):
    r"""JSON may spell one as "\ud800"; msgpack and UTF-8 cannot write it again, so it would fail far away."""
    for tp, value in (
        (str, "\ud800"),
        (list[str], ["a", "\udfff"]),
        (dict[str, int], {"\ud800": 1}),
        (Any, ["\ud800"]),
    ):
        with pytest.raises(Misfit, match="lone surrogate"):
            trip(tp, value)
        with pytest.raises(Misfit, match="lone surrogate"):
            codec_of(tp, Form.JSON).decode(value)
    assert trip(str, "äß😀") == "äß😀"


def test_misfits_deep_inside_cost_no_more_than_their_size():
    """Collecting problems must not convert anything twice: two tries per level would take 2**40 steps here."""
    plain: dict[str, Any] = {"name": 1}
    for _ in range(40):
        plain = {"name": "x", "children": [plain]}
    with pytest.raises(Misfit) as caught:
        codec_of(Node, Form.WIRE).decode(plain)
    assert caught.value.problems[0][0].count("children") == 40
    value = Node(1)  # type: ignore[arg-type]
    for _ in range(40):
        value = Node("x", [value])
    with pytest.raises(Misfit):
        codec_of(Node, Form.WIRE).encode(value)


def test_two_spellings_of_one_key_are_refused():
    """Otherwise one of the two entries would vanish without a word."""
    for plain in ({"1": "a", "01": "b"}, {"0": "a", "-0": "b"}):
        with pytest.raises(Misfit, match="two spellings"):
            codec_of(dict[int, str], Form.JSON).decode(plain)


def test_types_are_named_in_messages_as_their_author_writes_them():
    for tp, name in (
        (list[Line], "list[Line]"),
        (dict[str, Page[Decimal]] | None, "dict[str, Page[Decimal]] | None"),
        (tuple[int, ...], "tuple[int, ...]"),
        (Literal["a.b"], "Literal['a.b']"),
        (Annotated[int, "x"], "int"),
        (None, "None"),
    ):
        assert type_name(tp) == name


def test_bytes_and_text_may_share_a_union_on_the_wire_where_they_look_different():
    codec = codec_of(bytes | str, Form.WIRE)
    assert codec.decode(codec.encode(b"a")) == b"a"
    assert codec.decode(codec.encode("a")) == "a"
    with pytest.raises(NoCodec, match="look alike"):
        codec_of(bytes | str, Form.JSON)


@given(data=st.data())
@quick
def test_what_one_version_writes_a_newer_one_with_defaults_reads(data):
    """A rolling update runs both: a field added with a default must not break calls from the older version."""
    older = attrs.make_class("Row", {"sku": attrs.field(type=str)})
    newer = attrs.make_class("Row", {"sku": attrs.field(type=str), "note": attrs.field(type=str, default="none")})
    sku = data.draw(texts)
    for form in Form:
        assert codec_of(newer, form).decode(codec_of(older, form).encode(older(sku))) == newer(sku, "none")
        assert codec_of(older, form).decode(codec_of(newer, form).encode(newer(sku, "x"))) == older(sku)
