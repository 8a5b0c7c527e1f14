"""Where HTTP parameters come from, that they are structured strictly, and that every problem is reported at once."""

import dataclasses
import json
from typing import Annotated, TypedDict

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

import aether
from aether.slice_api.contract import contract_of
from aether.slice_api.http import HttpInput


@attrs.frozen
class Line:
    product_id: str
    quantity: int


@dataclasses.dataclass(frozen=True)
class Filter:
    text: str = ""


class Patch(TypedDict, total=False):
    new_name: str


@aether.slice
class Shop:
    @aether.get("/items/{item_id}")
    async def item(self, item_id: int, fields: list[str], limit: int = 10, exact: bool | None = None) -> Line: ...

    @aether.post("/orders/{customer}")
    async def order(self, customer: str, lines: list[Line], note: str | None, gift: bool = False) -> None: ...

    @aether.put("/lines/{number}")
    async def line(self, number: int, line: Line) -> Line: ...

    @aether.patch("/names")
    async def rename(self, patch: Patch) -> Patch: ...

    @aether.post("/filters")
    async def filtered(self, wanted: Filter | None = None) -> None: ...

    @aether.post("/bulk")
    async def bulk(self, lines: Annotated[list[Line], aether.Body()]) -> None: ...

    @aether.delete("/items/{item_id}")
    async def remove(self, item_id: int, force: bool = False) -> None: ...

    @aether.post("/places")
    async def places(
        self,
        page: Annotated[int, aether.Query("p")],
        user_agent: Annotated[str, aether.Header()],
        session: Annotated[str, aether.Cookie()],
        token: Annotated[str | None, aether.Header("X-Token")],
        text: str,
    ) -> None: ...

    @aether.get("/both/{key}")
    @aether.post("/both/{key}")
    async def both(self, key: str, value: str) -> str: ...


@aether.slice(json_case="camel")
class Camel:
    @aether.post("/orders/{orderId}")
    async def order(
        self, order_id: str, order_lines: list[Line], page_size: Annotated[int, aether.Query()]
    ) -> Line: ...


def read(cls, method, verb, template, **parts):
    if "json" in parts:
        parts["body"] = json.dumps(parts.pop("json")).encode()
    return contract_of(cls).methods[method].decode_http(HttpInput(verb=verb, template=template, **parts))


def problems(*args, **parts):
    with pytest.raises(aether.BadInput) as caught:
        read(*args, **parts)
    return list(caught.value.problems)


def test_get_reads_path_and_query_and_leaves_the_rest_to_defaults():
    assert read(Shop, "item", "GET", "/items/{item_id}", path={"item_id": "7"}) == {"item_id": 7, "fields": []}
    query = {"fields": ["a", "b"], "limit": ["3"], "exact": ["true"], "utm_source": ["mail"]}
    assert read(Shop, "item", "GET", "/items/{item_id}", path={"item_id": "7"}, query=query) == {
        "item_id": 7,
        "fields": ["a", "b"],
        "limit": 3,
        "exact": True,
    }


def test_problems_of_path_and_query_are_listed_together():
    query = {"limit": ["1", "2"], "exact": ["yes"]}
    assert problems(Shop, "item", "GET", "/items/{item_id}", path={"item_id": "seven"}, query=query) == [
        "path.item_id: expected int, got 'seven' (str)",
        "query.limit: expected one value, got 2",
        "query.exact: expected true or false, got 'yes' (str)",
    ]


def test_post_reads_body_fields():
    line = {"product_id": "a", "quantity": 1}
    got = read(
        Shop, "order", "POST", "/orders/{customer}", path={"customer": "ann"}, json={"lines": [line], "extra": 1}
    )
    assert got == {"customer": "ann", "lines": [Line("a", 1)], "note": None}


def test_body_problems_carry_their_paths():
    got = problems(
        Shop,
        "order",
        "POST",
        "/orders/{customer}",
        path={"customer": "ann"},
        json={"lines": [{"product_id": 1, "quantity": "2"}, 3], "note": 5, "gift": "false"},
    )
    assert got == [
        "lines[0].product_id: expected str, got 1 (int)",
        "lines[0].quantity: expected int, got '2' (str)",
        "lines[1]: expected object (Line), got 3 (int)",
        "note: expected str or None, got 5 (int)",
        "gift: expected bool, got 'false' (str)",
    ]
    assert problems(Shop, "order", "POST", "/orders/{customer}", path={"customer": "x"}) == ["lines: missing"]
    assert problems(Shop, "order", "POST", "/orders/{customer}", path={"customer": "x"}, json=[1]) == [
        "body: expected an object with lines, note, gift"
    ]


def test_a_single_object_parameter_is_the_body():
    line = {"product_id": "a", "quantity": 1}
    assert read(Shop, "line", "PUT", "/lines/{number}", path={"number": "1"}, json=line) == {
        "number": 1,
        "line": Line("a", 1),
    }
    assert read(Shop, "rename", "PATCH", "/names", json={"new_name": "x"}) == {"patch": {"new_name": "x"}}
    assert read(Shop, "filtered", "POST", "/filters") == {}
    assert read(Shop, "filtered", "POST", "/filters", json=None) == {"wanted": None}
    assert read(Shop, "filtered", "POST", "/filters", json={"text": "a"}) == {"wanted": Filter("a")}
    assert problems(Shop, "line", "PUT", "/lines/{number}", path={"number": "1"}, json={}) == [
        "product_id: missing",
        "quantity: missing",
    ]
    assert problems(Shop, "line", "PUT", "/lines/{number}", path={"number": "1"}) == ["body: missing"]


def test_an_explicit_body_parameter_is_the_body():
    assert read(Shop, "bulk", "POST", "/bulk", json=[{"product_id": "a", "quantity": 1}]) == {"lines": [Line("a", 1)]}
    assert problems(Shop, "bulk", "POST", "/bulk", json=[{}]) == ["[0].product_id: missing", "[0].quantity: missing"]


def test_delete_reads_the_query():
    assert read(Shop, "remove", "DELETE", "/items/{item_id}", path={"item_id": "1"}, query={"force": ["true"]}) == {
        "item_id": 1,
        "force": True,
    }


def test_explicit_places_are_read_from_where_they_say():
    got = read(
        Shop,
        "places",
        "POST",
        "/places",
        query={"p": ["2"]},
        headers={"user-agent": "curl"},
        cookies={"session": "s"},
        json={"text": "t"},
    )
    assert got == {"page": 2, "user_agent": "curl", "session": "s", "token": None, "text": "t"}
    assert problems(Shop, "places", "POST", "/places", headers={"x-token": "t"}) == [
        "query.p: missing",
        "header.user-agent: missing",
        "cookie.session: missing",
        "text: missing",
    ]


def test_one_method_on_two_verbs_reads_each_by_its_own_rule():
    assert read(Shop, "both", "GET", "/both/{key}", path={"key": "k"}, query={"value": ["v"]}) == {
        "key": "k",
        "value": "v",
    }
    assert read(Shop, "both", "POST", "/both/{key}", path={"key": "k"}, json={"value": "v"}) == {
        "key": "k",
        "value": "v",
    }
    with pytest.raises(aether.BadInput, match="no route PUT"):
        read(Shop, "both", "PUT", "/both/{key}")


def test_camel_case_is_spoken_at_http_only():
    """Path variables, query, body and problems are camelCase; the wire keeps Python's names."""
    method = contract_of(Camel).methods["order"]
    got = read(
        Camel,
        "order",
        "POST",
        "/orders/{orderId}",
        path={"orderId": "o"},
        query={"pageSize": ["3"]},
        json={"orderLines": [{"productId": "a", "quantity": 1}]},
    )
    assert got == {"order_id": "o", "order_lines": [Line("a", 1)], "page_size": 3}
    assert json.loads(method.encode_http(Line("a", 1))) == {"productId": "a", "quantity": 1}
    assert method.encode_result(Line("a", 1)) == {"product_id": "a", "quantity": 1}
    assert problems(
        Camel, "order", "POST", "/orders/{orderId}", path={"orderId": "o"}, json={"orderLines": [{"product_id": "a"}]}
    ) == [
        "query.pageSize: missing",
        "orderLines[0].productId: missing",
        "orderLines[0].quantity: missing",
    ]


@pytest.mark.parametrize(
    ("body", "content_type", "words"),
    [
        (b"{", "application/json", "no JSON at line 1 column 2"),
        (b"\xff", "application/json", "no UTF-8 at byte 0"),
        (b'{"text": NaN}', "application/json", "JSON has no NaN"),
        (b"[" * 100_000, "", "nested too deeply"),
        (b"1" * 5000, "", "body"),
        (b"text=t", "application/x-www-form-urlencoded", "expected application/json"),
    ],
)
def test_a_body_that_is_no_json_is_refused_with_its_place(body, content_type, words):
    got = problems(Shop, "filtered", "POST", "/filters", body=body, content_type=content_type)
    assert len(got) == 1
    assert words in got[0]


def test_what_could_not_be_read_is_told_apart_from_what_was_read_and_does_not_fit():
    """HTTP answers 400 to the one and 422 to the other."""
    for body, malformed in ((b"{", True), (b"[]", False), (b'{"text": 1}', False)):
        with pytest.raises(aether.BadInput) as caught:
            read(Shop, "filtered", "POST", "/filters", body=body)
        assert caught.value.malformed is malformed


def test_json_with_a_charset_or_a_suffix_is_json():
    for kind in ("application/json; charset=utf-8", "application/merge-patch+json", ""):
        assert read(Shop, "rename", "PATCH", "/names", json={}, content_type=kind) == {"patch": {}}


def test_a_result_is_compact_json_and_none_is_an_empty_body():
    methods = contract_of(Shop).methods
    assert methods["both"].encode_http("ä") == '"ä"'.encode()
    assert methods["order"].encode_http(None) == b""
    with pytest.raises(TypeError, match=r"Shop\.both must return str"):
        methods["both"].encode_http(3)


def slice_with(route, function):
    return lambda: contract_of(aether.slice(type("Bad", (), {"do": route(function)})))


async def takes_line(self, line: Line) -> None: ...
async def takes_text(self, text: str) -> None: ...
async def takes_body(self, text: Annotated[str, aether.Body()]) -> None: ...
async def takes_bytes_or_text(self, text: bytes | str) -> None: ...
async def takes_ids(self, ids: Annotated[list[int], aether.Header()]) -> None: ...


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (slice_with(aether.get("/a"), takes_line), "comes from the query"),
        (slice_with(aether.get("/a/{x}"), takes_text), r"variable \{x\}"),
        (slice_with(aether.get("a"), takes_text), "no path template"),
        (slice_with(aether.get("/a-{text}"), takes_text), "no path template"),
        (slice_with(aether.get("/a//b"), takes_text), "no path template"),
        (slice_with(aether.get("/{text}/{text}"), takes_text), "twice"),
        (slice_with(aether.get("/a"), takes_body), "GET has none"),
        (slice_with(aether.post("/a"), takes_bytes_or_text), "look alike"),
        (slice_with(aether.get("/{line}"), takes_line), "comes from the path"),
        (slice_with(aether.post("/a"), takes_ids), "only the query can repeat"),
    ],
)
def test_a_route_that_cannot_be_read_is_refused_at_registration(make, words):
    with pytest.raises(aether.ContractError, match=words):
        make()


texts = st.text(max_size=5)


@given(
    st.builds(
        HttpInput,
        verb=texts,
        template=texts,
        path=st.dictionaries(texts, texts, max_size=2),
        query=st.dictionaries(texts, st.lists(texts, max_size=2), max_size=2),
        headers=st.dictionaries(texts, texts, max_size=2),
        cookies=st.dictionaries(texts, texts, max_size=2),
        body=st.binary(max_size=5),
        content_type=texts,
    )
)
def test_a_request_survives_the_trip_to_the_node_that_structures_it(request):
    import msgpack

    assert HttpInput.from_plain(msgpack.unpackb(msgpack.packb(request.to_plain()))) == request


@pytest.mark.parametrize(
    "plain",
    [
        None,
        [],
        [1] * 8,
        "x",
        {},
        ["GET", "/", {}, {}, {}, {}, "body", ""],
        ["GET", "/", {"a": 1}, {}, {}, {}, b"", ""],
        ["GET", "/", {}, {"a": "b"}, {}, {}, b"", ""],
    ],
)
def test_a_malformed_request_of_a_peer_is_refused(plain):
    with pytest.raises(aether.BadInput, match="malformed"):
        HttpInput.from_plain(plain)


@given(st.binary(max_size=40), st.dictionaries(texts, st.lists(texts, max_size=2), max_size=3))
def test_no_request_whatsoever_raises_anything_but_bad_input(body, query):
    for method in contract_of(Shop).methods.values():
        for verb, template in method.routes:
            try:
                method.decode_http(
                    HttpInput(verb=verb, template=template, query=query, body=body, path={"item_id": "x"})
                )
            except aether.BadInput as error:
                assert error.problems  # noqa: PT017 - both outcomes are fine, an empty explanation is not
