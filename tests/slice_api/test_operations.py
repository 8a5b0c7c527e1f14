"""What a contract offers over HTTP, told as OpenAPI operations: from the same plan that reads the requests."""

import enum
import json
from collections.abc import AsyncIterator
from datetime import datetime
from decimal import Decimal
from typing import Annotated

import attrs
import pytest

import aether
from aether.slice_api.contract import contract_of
from aether.slice_api.operations import PROBLEM_SCHEMA, operations_of


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


@attrs.frozen
class Line:
    """One line of an order."""

    sku: str
    unit_price: Decimal
    qty: int = 1


@attrs.frozen
class Order:
    order_id: str
    lines: list[Line]
    note: str | None = None


class OutOfStock(aether.Fault):
    """There is not enough."""

    status = 409
    title = "Out of stock"
    sku: str


@aether.slice(artifact="tests.operations:shop:1.2.3", json_case="camel")
class Shop:
    """Sells."""

    @aether.post("/orders")
    async def place(
        self,
        lines: list[Line],
        gift_note: str = "",
        trace: Annotated[str | None, aether.Header("X-Trace")] = None,
        basket: Annotated[str | None, aether.Cookie()] = None,
    ) -> Order:
        """Place an order.

        It is paid later.
        """
        raise OutOfStock(sku=lines[0].sku)

    @aether.put("/orders/{order_id}")
    @aether.get("/orders/{order_id}")
    async def find(self, order_id: str, tags: Annotated[list[Color], aether.Query()] = []) -> Order: ...  # noqa: B006

    @aether.put("/lines/{sku}")
    async def replace(self, sku: str, line: Line) -> None: ...

    @aether.get("/search")
    async def search(self, text: str, since: datetime | None = None, limit: int = 10) -> list[Order]: ...

    @aether.get("/ticks")
    async def ticks(self) -> AsyncIterator[int]:
        yield 1

    @aether.get("/report")
    async def report(self) -> aether.Response: ...

    @aether.post("/upload/{name:path}")
    async def upload(self, name: str, content: aether.Body) -> int: ...

    @aether.websocket("/talk")
    async def talk(self, said: AsyncIterator[str]) -> AsyncIterator[str]:
        async for text in said:
            yield text

    async def private(self, n: int) -> int: ...


@pytest.fixture(scope="module")
def published():
    return operations_of(contract_of(Shop))


def test_it_is_plain_data_and_the_same_each_time(published):
    assert json.loads(json.dumps(published)) == published
    assert operations_of(contract_of(Shop)) == published
    assert (published["slice"], published["about"]) == ("Shop", "Sells.")


def test_every_route_has_an_operation_and_nothing_else_has(published):
    found = {(verb, path): op["operationId"] for path, item in published["paths"].items() for verb, op in item.items()}

    assert found == {
        ("post", "/orders"): "Shop.place",
        ("put", "/orders/{order_id}"): "Shop.find",
        ("get", "/orders/{order_id}"): "Shop.find.2",
        ("put", "/lines/{sku}"): "Shop.replace",
        ("get", "/search"): "Shop.search",
        ("get", "/ticks"): "Shop.ticks",
        ("get", "/report"): "Shop.report",
        ("post", "/upload/{name}"): "Shop.upload",
        ("x-aether-websocket", "/talk"): "Shop.talk",
    }


def test_parameters_stand_where_requests_have_them(published):
    place = published["paths"]["/orders"]["post"]
    assert [(p["name"], p["in"], p["required"]) for p in place["parameters"]] == [
        ("x-trace", "header", False),
        ("basket", "cookie", False),
    ]
    search = published["paths"]["/search"]["get"]["parameters"]
    assert [(p["name"], p["required"], p["schema"].get("type"), p["schema"].get("default")) for p in search] == [
        ("text", True, "string", None),
        ("since", False, "string", None),
        ("limit", False, "integer", 10),
    ]
    assert search[1]["schema"]["format"] == "date-time"
    order_id, tags = published["paths"]["/orders/{order_id}"]["get"]["parameters"]
    assert order_id == {
        "name": "order_id", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}
    }  # fmt: skip
    assert tags["schema"] == {"type": "array", "items": {"$ref": "#/components/schemas/Color"}, "default": []}


def test_several_parameters_make_an_object_and_a_single_class_is_the_body(published):
    merged = published["paths"]["/orders"]["post"]["requestBody"]
    schema = merged["content"]["application/json"]["schema"]
    assert merged["required"] is True
    assert schema["required"] == ["lines"]
    assert schema["properties"]["giftNote"] == {"type": "string", "default": ""}
    assert schema["properties"]["lines"] == {"type": "array", "items": {"$ref": "#/components/schemas/Line"}}

    whole = published["paths"]["/lines/{sku}"]["put"]["requestBody"]
    assert whole["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Line"}
    upload = published["paths"]["/upload/{name}"]["post"]["requestBody"]
    assert list(upload["content"]) == ["application/octet-stream"]
    assert "requestBody" not in published["paths"]["/search"]["get"]


def test_answers_are_those_that_the_method_gives(published):
    def success(path, verb="get"):
        (status, answer), *_ = published["paths"][path][verb]["responses"].items()
        return status, answer.get("content", {})

    status, content = success("/orders", "post")
    assert (status, list(content)) == ("200", ["application/json", "application/msgpack"])
    assert content["application/json"]["schema"] == {"$ref": "#/components/schemas/Order"}
    assert success("/lines/{sku}", "put") == ("204", {})
    assert success("/report") == ("2XX", {"*/*": {}})
    status, content = success("/ticks")
    assert (status, list(content)) == ("200", ["application/x-ndjson", "text/event-stream"])
    assert content["text/event-stream"]["x-aether-item"]["type"] == "integer"


def test_faults_are_answers_with_their_fields_and_all_else_is_a_problem(published):
    responses = published["paths"]["/orders"]["post"]["responses"]

    conflict = responses["409"]
    assert conflict["description"] == "Out of stock"
    schemas = conflict["content"]["application/problem+json"]["schema"]["anyOf"]
    assert schemas == [{"$ref": "#/components/schemas/OutOfStock"}, PROBLEM_SCHEMA]
    fault = published["schemas"]["OutOfStock"]["allOf"][1]
    assert fault["properties"]["sku"] == {"type": "string"}
    assert fault["properties"]["fault"] == {"const": "OutOfStock"}
    assert fault["required"] == ["fault", "sku"]
    assert responses["default"] == {"$ref": "#/components/responses/Problem"}
    assert "422" in responses
    assert "422" not in published["paths"]["/ticks"]["get"]["responses"]


def test_names_are_spelt_as_on_the_wire_of_http(published):
    assert list(published["schemas"]["Line"]["properties"]) == ["sku", "unitPrice", "qty"]
    assert published["schemas"]["Order"]["required"] == ["orderId", "lines"]


def test_what_its_author_wrote_is_told(published):
    place = published["paths"]["/orders"]["post"]

    assert place["summary"] == "Place an order."
    assert place["description"] == "It is paid later."
    assert "x-aether-idempotent" not in place
    assert published["paths"]["/search"]["get"]["x-aether-idempotent"] is True
    assert published["schemas"]["Line"]["description"] == "One line of an order."


def test_a_contract_without_routes_publishes_nothing():
    @aether.slice(artifact="tests.operations:quiet:1.0.0")
    class Quiet:
        async def private(self) -> int: ...

    assert operations_of(contract_of(Quiet)) == {}
