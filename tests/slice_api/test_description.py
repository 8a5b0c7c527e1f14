"""A contract as plain data, and the schema hash of a method."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

import aether
from aether.slice_api.compatibility import changes
from aether.slice_api.contract import contract_of
from aether.slice_api.description import describe, read_description

GOLDEN = "9bcdb5a92ce20116"


@attrs.frozen
class Line:
    """One line."""

    sku: str
    qty: int = 1


class SoldOut(aether.Fault):
    """Nothing left."""

    status = 410
    sku: str


@aether.slice(artifact="tests.description:shop:1.2.0", json_case="camel")
class Shop:
    """Sells."""

    @aether.post("/orders", deadline_s=3)
    async def place(self, customer: str, lines: list[Line], *, note: str = "none") -> Line | None:
        """Place it."""
        raise SoldOut(sku=customer)

    @aether.method(idempotent=True)
    async def ticks(self, start: int) -> AsyncIterator[bytes]:
        yield b""


def test_a_contract_is_described_in_full():
    found = describe(contract_of(Shop))

    assert (found.name, found.artifact, found.doc, found.json_case) == (
        "Shop", "tests.description:shop:1.2.0", "Sells.", "camel",
    )  # fmt: skip
    place, ticks = found.methods["place"], found.methods["ticks"]
    assert [(p.name, p.required, p.keyword_only) for p in place.parameters] == [
        ("customer", True, False),
        ("lines", True, False),
        ("note", False, True),
    ]
    assert place.parameter("note").schema == {"type": "string", "default": "none"}
    assert place.parameter("lines").schema == {"type": "array", "items": {"$ref": "#/$defs/Line"}}
    assert (place.doc, place.deadline_s, place.routes) == ("Place it.", 3, (("POST", "/orders"),))
    assert (ticks.stream, ticks.idempotent) == (True, True)
    assert ticks.returns["x-aether-type"] == "bytes"
    assert set(found.definitions) == {"Line"}
    fault = found.faults["SoldOut"]
    assert (fault.status, fault.title, fault.detail) == (410, "Sold out", "Nothing left.")
    assert fault.schema["required"] == ["sku"]


def test_it_travels_as_json():
    found = describe(contract_of(Shop))

    assert read_description(json.loads(json.dumps(found.to_plain()))) == found


NAMES = st.sampled_from(["name", "methods", "faults", "definitions", "doc", "artifact", "json_case", "parameters"])
LEAVES = st.none() | st.booleans() | st.integers() | st.text()


@given(st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner)))
def test_whatever_claims_to_be_a_description_is_one_or_bad_input(plain):
    """It comes from files and other nodes."""
    if isinstance(plain, dict):
        plain["format"] = 1
    try:
        read_description(plain)
    except aether.BadInput:
        return


def test_another_format_is_refused_in_words():
    with pytest.raises(aether.BadInput, match="this release reads format 1"):
        read_description({"format": 2})


def test_the_schema_hash_is_the_same_in_every_process_and_release():
    """It is compared between nodes: a change of this number says that the spelling on the wire has changed."""
    found = describe(contract_of(Shop))
    code = (
        "import importlib.util as u;s=u.spec_from_file_location('m', %r);m=u.module_from_spec(s);"
        "s.loader.exec_module(m);from aether.slice_api.description import describe;"
        "from aether.slice_api.contract import contract_of;"
        "print(describe(contract_of(m.Shop)).hash_of('place'))"
    )
    other = subprocess.run(
        [sys.executable, "-c", code % __file__],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "7", "PYTHONPATH": ":".join(sys.path)},
    ).stdout.strip()

    assert found.hash_of("place") == other == GOLDEN


def test_texts_for_people_do_not_change_the_hash_and_types_do():
    @attrs.frozen
    class Line:
        """Other words."""

        sku: str
        qty: int = 2

    @aether.slice(artifact="tests.description:shop:1.3.0")
    class Shop:
        async def place(self, lines: list[Line], customer: str, *, note: str = "other") -> Line | None:
            """Other words."""

        async def narrow(self, lines: list[Line], customer: str, *, note: str = "other") -> Line:
            """Another result."""
            raise NotImplementedError

    found = describe(contract_of(Shop))

    assert found.hash_of("place") == GOLDEN
    assert found.hash_of("narrow") != GOLDEN


# --- what a slice says of itself --------------------------------------------------------------------------------------


def test_another_count_is_no_change_of_the_contract():
    """How many there are is the matter of whoever deploys it; callers see nothing of it."""

    def shop(**options):
        @aether.slice(artifact="tests.description:counted:1.0.0", **options)
        class Counted:
            async def place(self, customer: str) -> None: ...

        return describe(contract_of(Counted))

    one, many = shop(), shop(instances=aether.Scale(0, 20), queue=3, host="process", memory_mb=512)

    assert one.hash_of("place") == many.hash_of("place")
    assert changes(one, many) == changes(many, one) == ()
    assert many.options.scale == aether.Scale(0, 20)
    assert shop(singleton=True).options.singleton


@pytest.mark.parametrize(
    "wrong",
    [
        {"instances": 0},
        {"instances": True},
        {"instances": 1_000_000},
        {"singleton": "yes"},
        {"singleton": True, "instances": 2},
        {"singleton": True, "scale": {"min": 0, "max": 2}},
        {"scale": {"min": 2, "max": 1}},
        {"scale": {"max": 1}},
        {"scale": [0, 1]},
        {"queue": -1},
        {"concurrency": 0},
        {"deadline_s": float("inf")},
        {"host": "../x"},
        {"memory_mb": 1, "host": "process"},
    ],
)
def test_options_out_of_bounds_are_refused(wrong):
    plain = {**json.loads(json.dumps(describe(contract_of(Shop)).to_plain())), "options": wrong}

    with pytest.raises(aether.BadInput, match=r"options|Scale"):
        read_description(plain)


def test_options_that_are_not_known_or_not_there_do_no_harm():
    """Of a newer release, and of an older one."""
    plain = json.loads(json.dumps(describe(contract_of(Shop)).to_plain()))

    assert read_description({**plain, "options": {**plain["options"], "colour": "red"}}) == read_description(plain)
    assert read_description({**plain, "options": {}}).options.instances == 1
    del plain["options"]
    assert read_description(plain).options is None
