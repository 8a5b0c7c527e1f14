"""What the page of mistakes quotes is what those who make them are told."""

import re
from pathlib import Path
from typing import Protocol

import pytest

import aether

PAGE = (Path(__file__).parents[2] / "docs" / "howto" / "mend-a-slice.md").read_text()
CLASSES = {
    "has its own __init__": "def __init__(self) -> None: ...",
    "has no annotation": "async def f(self, x) -> None: ...",
    "has no return annotation": "async def f(self): ...",
    "is a public plain": "def f(self) -> None: ...",
    "has the mutable default": "seen: list[str] = []",
    "takes *args": "async def f(self, *args: int) -> None: ...",
}


class Stranger:
    def __init__(self, a):
        self.a = a


class Price(Protocol):
    async def of(self, sku: str) -> int: ...


@aether.slice
class WithoutPrice:
    price: Price


@aether.slice
class WithoutSetting:
    key: str = aether.config("shop.key")


@aether.slice
class WithStranger:
    async def f(self, stranger: Stranger) -> None: ...


@aether.slice
class Unstartable:
    @aether.lifespan
    async def lifespan(self):
        raise RuntimeError("no database")
        yield


@aether.slice
class Fine:
    async def f(self, n: int) -> int:
        return n

    async def boom(self) -> int:
        raise KeyError("x")

    async def wrong(self) -> int:
        return "text"


@aether.slice
class Absent:
    async def f(self) -> None: ...


def on_the_page(quoted, error):
    """The page quotes it, and the error says it; "..." of the page stands for anything."""
    assert f"`{quoted}`" in PAGE
    assert re.search(".*".join(map(re.escape, quoted.split("..."))), f"{error}", re.S), error


@pytest.mark.parametrize("quoted", CLASSES)
def test_a_class_is_refused_in_the_words_of_the_page(quoted):
    with pytest.raises(aether.ContractError) as refused:
        exec(f"@aether.slice\nclass A:\n    {CLASSES[quoted]}\n", {"aether": aether})
    on_the_page(quoted, refused.value)


def test_an_unknown_option_is_refused_in_the_words_of_the_page():
    with pytest.raises(aether.ContractError) as refused:
        aether.slice(instanzes=2)
    on_the_page("has no option", refused.value)


@pytest.mark.parametrize(
    ("slice_", "quoted"),
    [
        (WithoutPrice, "nothing implements"),
        (WithStranger, "has no codec"),
        (WithoutSetting, "no configuration value"),
        (Unstartable, "no ACTIVE instance of ... (FAILED)"),
    ],
)
async def test_a_node_does_not_open_in_the_words_of_the_page(slice_, quoted):
    with pytest.raises((aether.ContractError, aether.NoInstance)) as refused:
        async with aether.Cluster.open(slice_):
            pass
    on_the_page(quoted, refused.value)


async def test_a_taken_port_is_said_in_the_words_of_the_page():
    async with aether.Cluster.open(Fine, http=0) as cluster:
        port = int(cluster.http_url.rpartition(":")[2])
        with pytest.raises(aether.AddressInUse) as refused:
            async with aether.Cluster.open(Fine, http=port):
                pass
    on_the_page("is taken", refused.value)


@pytest.mark.parametrize(
    ("call", "quoted"),
    [
        (lambda fine: fine.f("x"), "do not fit: n: expected int"),
        (lambda fine: fine.f(), "missing 1 required"),
        (lambda fine: fine.g(), "offers no"),
        (lambda fine: fine.wrong(), "must return int"),
        (lambda fine: fine.boom(), "KeyError: 'x' in Fine.boom"),
    ],
)
async def test_a_call_fails_in_the_words_of_the_page(call, quoted):
    async with aether.Cluster.open(Fine) as cluster:
        with pytest.raises((aether.AetherError, TypeError)) as failed:
            await call(cluster.get(Fine))
    on_the_page(quoted, failed.value)


async def test_a_slice_that_nobody_wants_is_said_in_the_words_of_the_page(aether_cluster):
    cluster = await aether_cluster(Fine, nodes=1)
    with pytest.raises(aether.NoInstance) as failed:
        await cluster.get(Absent).f()
    on_the_page("it is not deployed", failed.value)
