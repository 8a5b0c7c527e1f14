"""A proxy looks like the slice: same methods, signatures, docstrings; anything else is refused with a hint."""

import inspect
from collections.abc import AsyncIterator
from typing import Protocol

import pytest

import aether
from aether.slice_api.contract import contract_of
from aether.slice_api.proxy import make_proxy, proxy_class


@aether.slice
class Shop:
    """A shop."""

    currency: str = aether.config("shop.currency", default="EUR")

    async def quote(self, sku: str, qty: int = 1, *, call: bool = False) -> int:
        """The price."""
        return 1

    @aether.blocking
    def crunch(self, arguments: int) -> int:
        return arguments

    async def ticks(self) -> AsyncIterator[int]:
        yield 1

    @aether.background
    async def refresh(self) -> None: ...

    @property
    def size(self) -> int:
        return 1

    @classmethod
    def make(cls) -> "Shop":
        return cls()


def recording():
    calls = []

    async def call(spec, arguments):
        calls.append((spec.name, arguments))
        return 42

    def stream(spec, arguments):
        calls.append((spec.name, arguments))
        return f"stream of {spec.where}"

    return make_proxy(contract_of(Shop), call, stream), calls


async def test_calls_are_handed_on_by_name_with_omitted_arguments_absent():
    proxy, calls = recording()
    assert await proxy.quote("a") == 42
    await proxy.quote(qty=2, sku="a", call=True)
    await proxy.crunch(3)
    assert calls == [
        ("quote", {"sku": "a"}),
        ("quote", {"sku": "a", "qty": 2, "call": True}),
        ("crunch", {"arguments": 3}),
    ]


def test_name_signature_and_docstring_are_the_methods_own():
    proxy, _ = recording()
    assert inspect.signature(proxy.quote) == inspect.signature(Shop().quote)
    assert (proxy.quote.__name__, proxy.quote.__qualname__, proxy.quote.__doc__) == (
        "quote",
        "Shop.quote",
        "The price.",
    )
    assert inspect.iscoroutinefunction(proxy.quote)
    assert (type(proxy).__name__, type(proxy).__doc__, repr(proxy)) == (
        "Shop",
        "A shop.",
        f"<proxy of {contract_of(Shop).artifact}>",
    )


@pytest.mark.parametrize(
    ("args", "kwargs", "words"),
    [
        ((), {}, "missing 1 required"),
        (("a", 1, True), {}, "positional"),
        (("a",), {"quantity": 1}, "unexpected keyword"),
        (("a",), {"sku": "b"}, "multiple values"),
    ],
)
def test_wrong_arguments_raise_type_error_before_anything_is_sent(args, kwargs, words):
    proxy, calls = recording()
    with pytest.raises(TypeError, match=rf"Shop\.quote\(\) .*{words}"):
        proxy.quote(*args, **kwargs)
    assert calls == []


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("qoute", "did you mean 'quote'"),
        ("currency", "field of the instance"),
        ("refresh", "the cluster runs it"),
        ("make", "not part of the contract"),
        ("size", "quote, crunch, ticks"),
        ("zzz", "it offers quote, crunch, ticks"),
    ],
)
def test_anything_outside_the_contract_is_refused_with_a_hint(name, hint):
    proxy, _ = recording()
    with pytest.raises(aether.NotInContract, match=hint):
        getattr(proxy, name)
    assert not hasattr(proxy, name)


def test_setting_an_attribute_is_refused():
    proxy, _ = recording()
    with pytest.raises(AttributeError):
        proxy.currency = "USD"


def test_a_stream_is_handed_out_at_once_and_binds_its_arguments_like_a_call():
    proxy, calls = recording()
    assert proxy.ticks() == "stream of Shop.ticks"
    assert calls == [("ticks", {})]
    with pytest.raises(TypeError, match="ticks"):
        proxy.ticks(1)


def test_a_protocol_has_a_proxy_too_and_classes_are_made_once():
    class Pricing(Protocol):
        async def quote(self, sku: str) -> int: ...

    contract = contract_of(Pricing)
    assert proxy_class(contract) is proxy_class(contract_of(Pricing))
    assert hasattr(proxy_class(contract), "quote")
