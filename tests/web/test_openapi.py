"""One document out of what several slices publish: unique ids, one spelling of each path, nobody's schema lost."""

import json

import attrs
import pytest
from openapi_spec_validator import validate

import aether
from aether.model.artifact import ArtifactBase
from aether.slice_api.contract import contract_of
from aether.slice_api.operations import operations_of
from aether.web.openapi import openapi_document


def published(*slices):
    contracts = [contract_of(cls) for cls in slices]
    return [(contract.artifact.base, json.dumps(operations_of(contract))) for contract in contracts]


def make_shop(group, fields, *, name="Shop"):
    """A slice class whose Item has `fields`."""
    item = attrs.make_class("Item", {field: attrs.field(type=str) for field in fields}, frozen=True)
    basket = attrs.make_class("Basket", {"items": attrs.field(type=list[item])}, frozen=True)

    class Shop:
        async def add(self, item, shop):
            return basket([item])

    Shop.__name__ = Shop.__qualname__ = name
    Shop.add.__annotations__ = {"item": item, "shop": str, "return": basket}
    Shop.add = aether.post(f"/{group}/{{shop}}")(Shop.add)
    return aether.slice(artifact=f"{group}:shop:1.0.0")(Shop)


@aether.slice(artifact="tests.openapi:reader:1.0.0")
class Reader:
    @aether.get("/things/{thing}")
    async def read(self, thing: str) -> str: ...

    @aether.get("/same")
    async def same(self) -> int: ...


@aether.slice(artifact="tests.openapi:writer:1.0.0")
class Writer:
    @aether.delete("/things/{name}")
    async def drop(self, name: str) -> None: ...

    @aether.get("/same")
    async def same(self) -> str: ...


def test_the_document_is_openapi():
    document = openapi_document(published(Reader, Writer, make_shop("a", ["x"]), make_shop("b", ["y"])), "mine")

    validate(document)
    assert document["openapi"] == "3.1.0"
    assert document["info"]["title"] == "mine"
    assert document["components"]["securitySchemes"] == {"bearer": {"type": "http", "scheme": "bearer"}}


def test_the_order_of_the_rows_does_not_matter():
    rows = published(Reader, Writer, make_shop("a", ["x"]), make_shop("b", ["x"]))

    assert openapi_document(rows, "") == openapi_document(reversed(rows), "")


def test_one_path_is_spelt_in_one_way_whoever_serves_it():
    """`/things/{thing}` and `/things/{name}` are the same path, and OpenAPI forbids to have both."""
    item = openapi_document(published(Reader, Writer), "")["paths"]["/things/{thing}"]

    assert set(item) == {"get", "delete"}
    assert item["delete"]["parameters"][0]["name"] == "thing"


def test_of_two_that_claim_one_path_the_first_is_shown():
    """As the router serves it."""
    assert openapi_document(published(Writer, Reader), "")["paths"]["/same"]["get"]["operationId"] == "Reader.same"


def test_ids_and_tags_are_unique_when_two_groups_have_a_slice_of_one_name():
    document = openapi_document(published(make_shop("a", ["x"]), make_shop("b", ["x"])), "")
    operations = [op for item in document["paths"].values() for op in item.values()]

    assert sorted(op["operationId"] for op in operations) == ["Shop.add", "b:shop.Shop.add"]
    assert [tag["name"] for tag in document["tags"]] == ["Shop", "b:shop"]
    assert {op["x-aether-artifact"] for op in operations} == {"a:shop", "b:shop"}


@pytest.mark.parametrize(("fields", "shared"), [(["x"], True), (["y"], False)])
def test_schemas_of_one_name_are_shared_when_they_mean_the_same(fields, shared):
    document = openapi_document(published(make_shop("a", ["x"]), make_shop("b", fields)), "")
    schemas = document["components"]["schemas"]
    body = document["paths"]["/b/{shop}"]["post"]["requestBody"]["content"]["application/json"]["schema"]

    assert set(schemas) == {"Problem", "Item", "Basket"} | (set() if shared else {"b-shop.Item", "b-shop.Basket"})
    assert body == {"$ref": f"#/components/schemas/{'Item' if shared else 'b-shop.Item'}"}
    if not shared:  # its text is the same, and it is about something else
        assert schemas["b-shop.Basket"]["properties"]["items"]["items"] == {"$ref": "#/components/schemas/b-shop.Item"}


def test_a_class_called_problem_is_not_the_problem():
    problem = attrs.make_class("Problem", {"riddle": attrs.field(type=str)}, frozen=True)

    class Riddles:
        async def riddle(self): ...

    Riddles.riddle.__annotations__ = {"return": problem}
    Riddles.riddle = aether.get("/riddle")(Riddles.riddle)
    document = openapi_document(published(aether.slice(artifact="r:riddles:1.0.0")(Riddles)), "")

    assert document["components"]["schemas"]["Riddles.Problem"]["required"] == ["riddle"]
    assert "requestId" in document["components"]["schemas"]["Problem"]["properties"]
    validate(document)


def test_no_slice_is_a_document_too():
    document = openapi_document([(ArtifactBase("a", "b"), "")], "")

    validate(document)
    assert document["paths"] == {}
