"""A Fault is part of the contract: the same class, with its fields, arrives at the caller."""

import copy
from decimal import Decimal
from typing import Any

import msgpack
import pytest

import aether
from aether.slice_api.codec import Form
from aether.slice_api.contract import contract_of
from aether.slice_api.faults import FaultPlain, encode_fault, faults_in, fields_of, leaving


class OutOfStock(aether.Fault):
    """There is not enough
    in stock.

    Told in more detail.
    """

    status = 409
    sku: str
    left_over: Decimal = Decimal(0)


class NotForSale(aether.Fault):
    status = 422
    title = "Not for sale"


class Colored(OutOfStock):
    color: str


@aether.slice
class Shop:
    async def buy(self, sku: str) -> None:
        raise OutOfStock(sku=sku)


def test_fields_are_keyword_only_and_shown():
    fault = OutOfStock(sku="a")
    assert (fault.sku, fault.left_over, fault.status, fault.title) == ("a", 0, 409, "Out of stock")
    assert str(fault) == "There is not enough in stock. (sku='a', left_over=Decimal('0'))"
    assert repr(fault) == "OutOfStock(sku='a', left_over=Decimal('0'))"
    assert str(NotForSale()) == "Not for sale"
    with pytest.raises(TypeError):
        OutOfStock("a")
    with pytest.raises(TypeError):
        OutOfStock(sku="a", qty=1)


def test_a_fault_may_extend_another():
    fault = Colored(sku="a", color="red")
    assert isinstance(fault, OutOfStock)
    assert list(fields_of(fault)) == ["sku", "left_over", "color"]
    assert str(fault).startswith("Colored (")


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_a_fault_can_be_copied_with_its_notes(duplicate):
    """Exceptions with keyword-only fields fail in copy.copy otherwise, and trio and test tools copy them."""
    fault = Colored(sku="a", color="red")
    fault.add_note("seen")
    again = duplicate(fault)
    assert type(again) is Colored
    assert fields_of(again) == fields_of(fault)
    assert again.__notes__ == ["seen"]
    assert again is not fault


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"__annotations__": {"status": int}, "status": 404}, "write `status = 404`"),
        ({"__annotations__": {"title": str}}, "write `title ="),
        ({"__annotations__": {"detail": str}}, "reserved"),
        ({"__annotations__": {"args": str}}, "reserved"),
        ({"__annotations__": {"type": str}}, "reserved"),
        ({"__annotations__": {"add_note": str}}, "reserved"),
        ({"__annotations__": {"_hidden": str}}, "reserved"),
        ({"status": 200}, "400 to 599"),
        ({"status": "409"}, "400 to 599"),
        ({"__init__": lambda self: None}, "own __init__"),
    ],
)
def test_a_fault_that_breaks_a_rule_is_refused_at_definition(body, words):
    with pytest.raises(aether.ContractError, match=words):
        type("Broken", (aether.Fault,), body)


def test_the_same_class_with_its_fields_arrives_at_the_caller():
    plain = encode_fault(Colored(sku="a", color="red", left_over=Decimal("1.50")))
    assert plain == FaultPlain("Colored", 409, "Colored", "Colored", {"sku": "a", "left_over": "1.50", "color": "red"})
    again = FaultPlain.from_plain(msgpack.unpackb(msgpack.packb(plain.to_plain())))
    fault = contract_of(Shop).decode_fault(again)
    assert type(fault) is Colored
    assert (fault.sku, fault.color, fault.left_over) == ("a", "red", Decimal("1.50"))


def test_fields_are_json_safe_and_camel_case_when_asked():
    """A node without the class answers HTTP with them."""
    assert encode_fault(OutOfStock(sku="a"), Form.CAMEL).fields == {"sku": "a", "leftOver": "0"}


def test_an_unknown_fault_and_one_of_another_version_are_none():
    contract = contract_of(Shop)
    assert contract.decode_fault(FaultPlain("Never", 409, "", "")) is None
    assert contract.decode_fault(FaultPlain("OutOfStock", 409, "", "", {"sku": 1})) is None
    assert contract.decode_fault(FaultPlain("OutOfStock", 409, "", "", {"sku": "a", "newer": 1})) is not None
    for plain in (None, [], ["x", "409", "", "", {}], ["x", 200, "", "", {}], ["x"]):
        with pytest.raises(aether.BadInput):
            FaultPlain.from_plain(plain)


def test_of_faults_with_one_name_the_contracts_own_module_comes_first():
    """Faults are known by name, never by module path: `__main__` and `--app app` meet."""
    elsewhere: Any = type("OutOfStock", (aether.Fault,), {"__module__": "elsewhere", "__annotations__": {"other": int}})
    assert contract_of(Shop).faults["OutOfStock"] is OutOfStock
    assert elsewhere.__name__ == "OutOfStock"


def test_a_fault_field_without_codec_is_found_when_it_is_sent():
    class Odd(aether.Fault):
        thing: object

    with pytest.raises(TypeError, match="Odd"):
        encode_fault(Odd(thing=1))
    with pytest.raises(TypeError, match="OutOfStock"):
        encode_fault(OutOfStock(sku=3))  # type: ignore[arg-type]


def test_a_group_with_one_leaf_leaves_as_that_leaf():
    """A Fault raised in a nursery is an exception group, and would lose its 409."""
    fault = OutOfStock(sku="a")
    assert leaving(ExceptionGroup("nursery", [ExceptionGroup("inner", [fault])])) is fault
    assert leaving(fault) is fault
    group = ExceptionGroup("two", [fault, ValueError("x")])
    assert leaving(group) is group


def test_faults_of_one_status_stay_that_status_and_mixed_ones_do_not():
    one, other = OutOfStock(sku="a"), Colored(sku="b", color="red")
    assert faults_in(ExceptionGroup("both", [one, other])) == (one, other)
    assert faults_in(one) == (one,)
    assert faults_in(ExceptionGroup("mixed", [one, NotForSale()])) == ()
    assert faults_in(ExceptionGroup("bug", [one, ValueError("x")])) == ()


def test_a_fault_is_raised_caught_and_chained_like_any_exception():
    cause = KeyError("a")
    with pytest.raises(aether.AetherError) as caught:
        raise OutOfStock(sku="a") from cause
    assert type(caught.value) is OutOfStock
    assert caught.value.__cause__ is cause


def test_of_two_faults_of_one_name_in_one_module_the_newest_is_meant():
    """As for any name in Python: a module that is reloaded defines its classes anew."""

    def define():
        class Again(aether.Fault):
            number: int = 0

        return Again

    older, newer = define(), define()
    found = contract_of(Shop).decode_fault(encode_fault(older(number=3)))
    assert type(found) is newer
    assert found.number == 3
