"""Types as JSON Schema: each form exactly, definitions shared, the same in every process."""

import collections.abc
import dataclasses
import datetime as dt
import enum
import json
import subprocess
import sys
import uuid
from decimal import Decimal
from typing import Any, Generic, Literal, NamedTuple, NotRequired, TypedDict, TypeVar

import attrs
import jsonschema
import pytest

from aether.slice_api.annotations import NoCodec
from aether.slice_api.codec import Form
from aether.slice_api.schema import DIALECT, Schemas, schema_of

T = TypeVar("T")
INT = {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}


class Color(enum.Enum):
    """What it looks like."""

    RED = "red"
    BLUE = "blue"


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


@attrs.frozen
class Line:
    """One line of an order.

    More about it.
    """

    sku: str
    unit_price: int = 7
    tags: list[str] = attrs.field(factory=list)
    line_id: uuid.UUID = attrs.field(factory=uuid.uuid4)
    total: int = attrs.field(init=False, default=0)


@dataclasses.dataclass
class Tree:
    children: "list[Tree]" = dataclasses.field(default_factory=list)
    weight: float = float("inf")


@attrs.frozen
class Page(Generic[T]):
    items: list[T]


class Movie(TypedDict):
    full_title: str
    year: NotRequired[int]


class Point(NamedTuple):
    x: int
    y: int = 0


@attrs.frozen
class Card:
    number: str


@attrs.frozen
class Cash:
    cents: int


def bare_schema(tp: Any, form: Form = Form.JSON) -> Any:
    return {name: value for name, value in schema_of(tp, form).items() if name != "$schema"}


@pytest.mark.parametrize(
    ("tp", "schema"),
    [
        (None, {"type": "null"}),
        (bool, {"type": "boolean"}),
        (int, INT),
        (float, {"type": "number"}),
        (str, {"type": "string"}),
        (bytes, {"type": "string", "contentEncoding": "base64", "x-aether-type": "bytes"}),
        (Decimal, {"type": "string", "format": "decimal", "x-aether-type": "Decimal"}),
        (uuid.UUID, {"type": "string", "format": "uuid", "x-aether-type": "UUID"}),
        (dt.datetime, {"type": "string", "format": "date-time", "x-aether-type": "datetime"}),
        (dt.date, {"type": "string", "format": "date", "x-aether-type": "date"}),
        (dt.time, {"type": "string", "format": "time", "x-aether-type": "time"}),
        (dt.timedelta, {"type": "string", "format": "duration", "x-aether-type": "timedelta"}),
        (Any, {}),
        (Literal["a", 1, True], {"enum": ["a", 1, True]}),
        (Literal["a"], {"const": "a"}),
        (list[int], {"type": "array", "items": INT}),
        (collections.abc.Sequence[int], {"type": "array", "items": INT}),
        (set[str], {"type": "array", "items": {"type": "string"}, "x-aether-type": "set"}),
        (tuple[str, ...], {"type": "array", "items": {"type": "string"}, "x-aether-type": "tuple"}),
        (
            tuple[str, bool],
            {
                "x-aether-type": "tuple",
                "type": "array",
                "prefixItems": [{"type": "string"}, {"type": "boolean"}],
                "items": False,
                "minItems": 2,
                "maxItems": 2,
            },
        ),
        (dict[str, bool], {"type": "object", "additionalProperties": {"type": "boolean"}}),
        (
            dict[int, bool],
            {
                "type": "object",
                "additionalProperties": {"type": "boolean"},
                "propertyNames": {"pattern": "^-?[0-9]{1,19}$"},
                "x-aether-keys": INT,
            },
        ),
        (str | None, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
    ],
    ids=str,
)
def test_types_without_a_name_are_written_where_they_stand(tp, schema):
    assert bare_schema(tp) == schema


def test_a_record_is_an_object_with_its_required_fields_and_defaults_that_are_always_the_same():
    """A random id or a clock must not change the schema from process to process."""
    assert bare_schema(Line) == {
        "$ref": "#/$defs/Line",
        "$defs": {
            "Line": {
                "title": "Line",
                "description": "One line of an order.",
                "type": "object",
                "properties": {
                    "sku": {"type": "string"},
                    "unit_price": {**INT, "default": 7},
                    "tags": {"type": "array", "items": {"type": "string"}, "default": []},
                    "line_id": {"type": "string", "format": "uuid", "x-aether-type": "UUID"},
                },
                "required": ["sku"],
            }
        },
    }


def test_camel_case_renames_fields_and_the_wire_has_bytes():
    assert set(bare_schema(Line, Form.CAMEL)["$defs"]["Line"]["properties"]) == {"sku", "unitPrice", "tags", "lineId"}
    assert bare_schema(bytes, Form.WIRE) == {"type": "string", "format": "binary", "x-aether-type": "bytes"}


def test_a_type_inside_itself_is_a_reference():
    defined = bare_schema(Tree)["$defs"]["Tree"]

    assert defined["properties"]["children"]["items"] == {"$ref": "#/$defs/Tree"}
    assert "default" not in defined["properties"]["weight"]  # JSON has no infinity


def test_generics_and_namesakes_get_names_of_their_own():
    @attrs.frozen
    class Card:
        other: int

    schemas = Schemas()

    assert schemas.of(Page[int]) == {"$ref": "#/$defs/Page_int"}
    assert schemas.of(Page[Card]) == {"$ref": "#/$defs/Page_Card"}
    assert schemas.of(globals()["Card"]) == {"$ref": "#/$defs/Card2"}
    assert schemas.of(Card) == {"$ref": "#/$defs/Card"}
    assert set(schemas.definitions) == {"Page_int", "Page_Card", "Card", "Card2"}


def test_definitions_may_stand_elsewhere():
    assert Schemas(at="#/components/schemas/").of(list[Line])["items"] == {"$ref": "#/components/schemas/Line"}


def test_enums_typed_dicts_and_named_tuples_keep_what_json_does_not_tell():
    schemas = Schemas()
    for tp in (Color, Rights, Movie, Point):
        schemas.of(tp)

    assert schemas.definitions["Color"] == {
        "title": "Color",
        "description": "What it looks like.",
        "x-aether-type": "enum",
        "enum": ["red", "blue"],
        "x-aether-names": ["RED", "BLUE"],
    }
    assert schemas.definitions["Rights"]["maximum"] == 3
    assert schemas.definitions["Movie"]["required"] == ["full_title"]
    assert schemas.definitions["Point"]["minItems"] == 1
    assert schemas.definitions["Point"]["x-aether-names"] == ["x", "y"]


def test_members_of_a_union_of_classes_are_told_apart_by_their_tag():
    schema = schema_of(Card | Cash)
    fits = jsonschema.Draft202012Validator(schema).is_valid

    assert fits({"_type": "Card", "number": "1"})
    assert not fits({"_type": "Cash", "number": "1"})
    assert not fits({"number": "1"})


def test_a_type_without_a_codec_has_no_schema():
    with pytest.raises(NoCodec, match="object has no codec"):
        schema_of(object)


def test_every_process_makes_the_same_schema():
    """The schema hash of a method is compared between nodes."""
    code = "import json,datetime;from aether.slice_api.schema import schema_of;print(json.dumps(schema_of(%s)))"
    tp = "dict[str, set[int] | None | dict[datetime.date, list[bytes]]]"
    found = {
        subprocess.run(
            [sys.executable, "-c", code % tp],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
        ).stdout
        for seed in ("1", "2")
    }

    assert len(found) == 1
    assert json.loads(found.pop())["$schema"] == DIALECT
