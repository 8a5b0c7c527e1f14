"""Each rule of a contract is checked at decoration, with a message that shows the fix."""

import abc
import functools
from collections.abc import AsyncIterator, Callable
from typing import Any, ClassVar, Protocol

import attrs
import pytest

import aether
from aether.slice_api.contract import contract_of


def refused(make: Callable[[], object], *words: str) -> None:
    with pytest.raises(aether.ContractError) as caught:
        make()
    for word in words:
        assert word in str(caught.value), str(caught.value)


class Pricing(Protocol):
    async def quote(self, sku: str) -> int: ...


def test_the_decorated_class_is_the_same_object_and_hashable():
    """slots=True would make another class, eq=True an unhashable one."""

    class Plain:
        async def ping(self) -> None: ...

    assert aether.slice(Plain) is Plain
    assert len({Plain(), Plain()}) == 2


def test_constructor_names_equal_field_names_private_ones_too():
    """attrs strips the underscore otherwise, and the checker and the run time disagree."""

    @aether.slice
    class Cached:
        _cache: dict[str, int] = aether.state(factory=dict)
        limit: int = 3

    made = Cached(_cache={"a": 1}, limit=4)
    assert made._cache == {"a": 1}
    with pytest.raises(TypeError, match="positional"):
        Cached({})


def test_state_is_made_anew_for_each_instance():
    @aether.slice
    class Counting:
        seen: list[int] = aether.state(factory=list)

    one, other = Counting(), Counting()
    one.seen.append(1)
    assert other.seen == []


def test_an_own_init_is_refused():
    def make():
        @aether.slice
        class Own:
            def __init__(self) -> None: ...

    refused(make, "Own", "__init__", "@aether.lifespan")

    class Base:
        def __init__(self) -> None: ...

    refused(lambda: aether.slice(type("Sub", (Base,), {})), "its base Base")


def test_slots_are_refused():
    refused(lambda: aether.slice(type("Slotted", (), {"__slots__": ()})), "__slots__", "delete the line")


@pytest.mark.parametrize("default", [[], {}, set(), bytearray()])
def test_a_mutable_default_is_refused_with_the_factory_to_write(default):
    """It would be shared by all instances."""
    body = {"__annotations__": {"seen": type(default)}, "seen": default}
    refused(lambda: aether.slice(type("Sharing", (), body)), "Sharing.seen", f"factory={type(default).__name__}")


def test_an_unannotated_specifier_is_refused():
    """attrs would drop all dependencies without a word."""

    def make():
        @aether.slice
        class Bare:
            pricing: Pricing
            currency = aether.config("shop.currency", default="EUR")

    refused(make, "Bare.currency", "no annotation")


def test_annotated_fields_in_an_undecorated_base_are_refused_and_class_variables_are_not():
    class Base:
        kind: ClassVar[str] = "x"
        limit: int = 3

    class Fine:
        kind: ClassVar[str] = "x"

        async def ping(self) -> None: ...

    refused(lambda: aether.slice(type("Sub", (Base,), {})), "Sub", "Base", "'limit'", "decorate")
    assert list(contract_of(aether.slice(type("Other", (Fine,), {}))).methods) == ["ping"]


def test_a_decorated_base_gives_its_fields_and_methods():
    @aether.slice
    class Base:
        limit: int = 3

        async def ping(self) -> int:
            return self.limit

    @aether.slice
    class Sub(Base):
        more: int = 4

    assert [field.name for field in contract_of(Sub).fields] == ["limit", "more"]
    assert list(contract_of(Sub).methods) == ["ping"]


def test_an_undecorated_subclass_of_a_slice_is_no_slice():
    @aether.slice
    class Base:
        async def ping(self) -> None: ...

    class Sub(Base): ...

    refused(lambda: contract_of(Sub), "Sub is no slice", "@aether.slice")
    refused(lambda: contract_of(Sub()), "is an object; give the class")


def test_an_unimplemented_method_of_a_protocol_base_is_refused():
    """The Protocol's own body would return None at run time."""

    def make():
        @aether.slice
        class Forgetful(Pricing):
            async def other(self) -> None: ...

    refused(make, "Forgetful", "Pricing", "'quote'", "async def quote")


def test_a_protocol_cannot_be_decorated():
    refused(lambda: aether.slice(Pricing), "Protocol", "implements")


def method(function: Any) -> Callable[[], object]:
    return lambda: aether.slice(type("Slice", (), {"do": function}))


async def unannotated(self, a) -> None: ...
async def without_return(self, a: int): ...
async def stars(self, *args: int) -> None: ...
async def double_stars(self, **kwargs: int) -> None: ...
async def positional(self, a: int, /) -> None: ...
async def no_self() -> None: ...
def plain(self) -> int: ...


def hiding(function):
    async def wrapper(*args, **kwargs):
        return await function(*args, **kwargs)

    return wrapper


def sync_wrapper(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


def honest(function):
    @functools.wraps(function)
    async def wrapper(*args, **kwargs):
        return await function(*args, **kwargs)

    return wrapper


async def good(self, a: int) -> int:
    return a


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (unannotated, ("parameter 'a'", "a: <type>")),
        (without_return, ("return annotation", "-> None")),
        (stars, ("*args", "travel by name")),
        (double_stars, ("**kwargs", "travel by name")),
        (positional, ("'a' is positional-only", "remove the `/`")),
        (no_self, ("no `self`",)),
        (plain, ("plain `def`", "async def do", "@aether.blocking", "_do")),
        (hiding(good), ("functools.wraps",)),
        (sync_wrapper(good), ("decorator returns a plain `def`", "functools.wraps")),
        (functools.partial(good), ("partial", "hides")),
        (functools.lru_cache(good), ("hides",)),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_method_that_cannot_travel_is_refused_with_the_fix(function, words):
    refused(method(function), "Slice.do", *words)


def test_a_wrapper_that_shows_the_signature_is_fine():
    cls = method(honest(good))()
    assert str(contract_of(cls).methods["do"].signature) == "(a: int) -> int"


def test_private_methods_properties_and_class_methods_are_outside_the_contract():
    @aether.slice
    class Helpful:
        def _help(self) -> int:
            return 1

        @property
        def size(self) -> int:
            return 2

        @classmethod
        def make(cls) -> "Helpful":
            return cls()

        @staticmethod
        def add(a: int, b: int) -> int:
            return a + b

        async def ping(self) -> None: ...

    assert list(contract_of(Helpful).methods) == ["ping"]


@pytest.mark.parametrize("arguments", [(0, 3), (None,), ("x",), (5,)])
def test_slice_given_no_class_asks_whether_the_builtin_was_shadowed(arguments):
    """`from aether import slice`, then `slice(0, 3)` somewhere else in the module."""
    refused(lambda: aether.slice(*arguments), "shadow the builtin", "service")
    refused(lambda: aether.map(str, [1]), "shadow the builtin")


def test_service_is_slice_under_another_name():
    assert aether.service is aether.slice


@pytest.mark.parametrize(
    "options",
    [
        {"instances": 0},
        {"instances": True},
        {"concurrency": 0},
        {"queue": -1},
        {"json_case": "kebab"},
        {"deadline_s": 0},
        {"deadline_s": float("inf")},
        {"deadline_s": "5"},
        {"host": "Process"},
        {"host": None},
        {"host": "process", "memory_mb": 1},
        {"host": "process", "memory_mb": 512.0},
        {"memory_mb": 512},
        {"instnaces": 3},
    ],
    ids=str,
)
def test_a_wrong_option_is_refused(options):
    refused(lambda: aether.slice(**options), next(iter(options)))


def test_blocking_and_wrong_uses_of_decorators_are_refused():
    refused(lambda: aether.blocking(good), "async already")
    refused(lambda: aether.method(deadline_s=-1), "deadline_s=-1")
    refused(lambda: aether.config("not a key"), "dotted")
    refused(lambda: aether.secret(""), "dotted")
    refused(lambda: aether.map("a b"), "no name of a map")
    refused(lambda: aether.map("a", entries_max=0), "entries_max=0")
    refused(lambda: aether.state(factory=3), "factory=")


def test_a_field_that_nothing_can_fill_is_refused():
    class Repository: ...

    def undecorated():
        @aether.slice
        class Uses:
            repository: Repository

    def number():
        @aether.slice
        class Uses:
            limit: int

    def nameless_map():
        @aether.slice
        class Uses:
            orders: aether.Map[str, int]

    def wrong_map():
        @aether.slice
        class Uses:
            orders: dict[str, int] = aether.map("orders")

    refused(undecorated, "Uses.repository", "Repository is neither a slice nor a Protocol")
    refused(number, "Uses.limit", "aether.config")
    refused(nameless_map, "Uses.orders", "aether.map(...)")
    refused(wrong_map, "Uses.orders", "aether.Map[K, V]")


def test_lifecycle_methods_have_one_shape():
    def no_generator():
        @aether.slice
        class Wrong:
            @aether.lifespan
            async def lifespan(self) -> AsyncIterator[None]: ...

    def parameters():
        @aether.slice
        class Wrong:
            @aether.lifespan
            async def lifespan(self, other: int) -> AsyncIterator[None]:
                yield

    def two():
        @aether.slice
        class Wrong:
            @aether.lifespan
            async def one(self) -> AsyncIterator[None]:
                yield

            @aether.lifespan
            async def other(self) -> AsyncIterator[None]:
                yield

    def background():
        @aether.slice
        class Wrong:
            @aether.background
            async def refresh(self, often: int) -> None: ...

    refused(no_generator, "yields once")
    refused(parameters, "takes other", "nursery: trio.Nursery")
    refused(two, "two lifespans")
    refused(background, "async def refresh(self) -> None")


def test_streams_are_async_generators_in_slices_and_plain_functions_in_protocols():
    def without_yield():
        @aether.slice
        class Wrong:
            async def watch(self) -> AsyncIterator[int]: ...

    def wrong_annotation():
        @aether.slice
        class Wrong:
            async def watch(self) -> int:
                yield 1

    refused(without_yield, "yield")
    refused(wrong_annotation, "AsyncIterator")


def test_a_plain_def_that_returns_an_iterator_hands_a_stream_on():
    @aether.slice
    class Board:
        def watch(self, sku: str) -> AsyncIterator[int]:
            raise NotImplementedError

    method = contract_of(Board).methods["watch"]
    assert (method.stream, method.returns) == (True, int)


def test_a_parameter_that_is_a_stream_has_its_rules():
    def with_default():
        @aether.slice
        class Wrong:
            async def total(self, numbers: AsyncIterator[int] = ...) -> int: ...

    def blocking():
        @aether.slice
        class Wrong:
            @aether.blocking
            def total(self, numbers: AsyncIterator[int]) -> int: ...

    def optional():
        @aether.slice
        class Wrong:
            async def total(self, numbers: AsyncIterator[int] | None) -> int: ...

        contract_of(Wrong)

    def nested():
        @aether.slice
        class Wrong:
            async def total(self, numbers: AsyncIterator[AsyncIterator[int]]) -> int: ...

        contract_of(Wrong)

    refused(with_default, "'numbers'", "default")
    refused(blocking, "'numbers'", "async def")
    refused(optional, "numbers")
    refused(nested, "numbers[]")


def test_a_protocol_with_an_attribute_is_refused_as_a_contract():
    class Sized(Protocol):
        size: int

    refused(lambda: contract_of(Sized), "'size'", "only methods")


def test_a_class_that_is_neither_slice_nor_protocol_has_no_contract():
    refused(lambda: contract_of(attrs.make_class("Other", [])), "@aether.slice", "Protocol")


def test_one_map_named_by_two_fields_is_refused():
    def make():
        @aether.slice
        class Twice:
            one: aether.Map[str, int] = aether.map("rows")
            other: aether.Map[str, str] = aether.map("rows")

    refused(make, "Twice", "rows", "a map of its own")


def test_an_abstract_method_left_open_is_refused():
    class Base(abc.ABC):
        @abc.abstractmethod
        async def ping(self) -> None: ...

    refused(lambda: aether.slice(type("Open", (Base,), {})), "Open leaves abstract: ping")


def test_decorators_without_their_parentheses_say_so():
    refused(lambda: aether.method(good), "@aether.method(idempotent=True)")
    refused(lambda: aether.get(good), '@aether.get("/orders")')

    def generator(self, n: int):
        yield n

    refused(lambda: aether.blocking(generator), "generator")
