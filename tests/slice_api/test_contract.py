"""What a contract knows: fields by kind, methods, routes, lifecycle, names resolved late, plain unit tests."""

import contextlib
import sys
import types
from collections.abc import AsyncIterator
from typing import Annotated, Any, Protocol

import attrs
import pytest

import aether
from aether.model.route import Route
from aether.slice_api.contract import contract_of
from aether.slice_api.decorators import attach_runner
from aether.slice_api.http import Header


@attrs.frozen
class Order:
    sku: str
    quantity: int


class Pricing(Protocol):
    async def quote(self, sku: str) -> int: ...


@aether.slice
class ListPricing(Pricing):
    async def quote(self, sku: str) -> int:
        return len(sku)


@aether.slice(artifact="shop.orders:place-order:1.2.0", instances=3, concurrency=8, queue=2, deadline_s=5)
class PlaceOrder:
    """Takes orders.

    And more.
    """

    pricing: Pricing
    other: ListPricing | None
    spare: Pricing | None = None
    orders: aether.Map[str, Order] = aether.map("orders", entries_max=2)
    seen: list[str] = aether.state(factory=list)
    currency: str = aether.config("shop.currency", default="EUR")
    key: str = aether.secret("shop.key", default="hush")
    limit: int = 3

    @aether.post("/api/orders", idempotent=True)
    @aether.put("/api/orders/{sku}")
    async def place(self, sku: str, quantity: int = 1) -> Order:
        """Place one."""
        order = Order(sku, quantity * await self.pricing.quote(sku))
        await self.orders.put(sku, order)
        return order

    @aether.get("/api/orders")
    async def listed(self) -> list[Order]:
        return [order for _, order in await self.orders.items()]

    @aether.method(idempotent=True, deadline_s=1.5)
    async def count(self, *, minimum: int = 0) -> int:
        return max(minimum, await self.orders.count())

    @aether.blocking
    @aether.method(idempotent=True)
    def crunch(self, number: int) -> int:
        return number + self.limit

    async def ticks(self, to: int) -> AsyncIterator[int]:
        for number in range(to):
            yield number

    @aether.lifespan
    async def lifespan(self, nursery: Any) -> AsyncIterator[None]:
        self.seen.append("start")
        yield
        self.seen.append("stop")

    @aether.background
    async def refresh(self) -> None: ...


def test_fields_are_sorted_into_kinds():
    fields = {field.name: field for field in contract_of(PlaceOrder).fields}
    assert {name: field.kind for name, field in fields.items()} == {
        "pricing": "dependency",
        "other": "dependency",
        "spare": "dependency",
        "orders": "map",
        "seen": "state",
        "currency": "config",
        "key": "secret",
        "limit": "default",
    }
    assert [(fields[n].type, fields[n].optional, fields[n].has_default) for n in ("pricing", "other", "spare")] == [
        (Pricing, False, False),
        (ListPricing, True, False),
        (Pricing, True, True),
    ]
    assert (fields["orders"].key_type, fields["orders"].value_type) == (str, Order)
    assert fields["orders"].spec.entries_max == 2


def test_methods_carry_what_their_decorators_said():
    methods = contract_of(PlaceOrder).methods
    assert list(methods) == ["place", "listed", "count", "crunch", "ticks"]
    assert [(m.idempotent, m.blocking, m.stream, m.deadline_s) for m in methods.values()] == [
        (True, False, False, None),
        (True, False, False, None),
        (True, False, False, 1.5),
        (True, True, False, None),
        (False, False, True, None),
    ]
    assert methods["place"].doc == "Place one."
    assert methods["ticks"].returns is int
    assert str(methods["count"].signature) == "(*, minimum: int = 0) -> int"


def test_routes_options_lifecycle_and_artifact_are_known():
    contract = contract_of(PlaceOrder)
    assert contract.routes == (
        Route("POST", "/api/orders", "place", True),
        Route("PUT", "/api/orders/{sku}", "place", True),
        Route("GET", "/api/orders", "listed", True),
    )
    assert (contract.options.instances, contract.options.concurrency, contract.options.deadline_s) == (3, 8, 5)
    assert (contract.lifespan.name, contract.lifespan.wants_nursery, contract.backgrounds) == (
        "lifespan",
        True,
        ("refresh",),
    )
    assert str(contract.artifact) == "shop.orders:place-order:1.2.0"
    assert contract.doc == "Takes orders.\n\nAnd more."
    assert contract_of(PlaceOrder) is contract


async def test_a_slice_is_unit_tested_by_constructing_it():
    """No cluster, no mocks: a fake is any object, maps are in memory, a stream is an async generator."""
    slice_ = PlaceOrder(pricing=ListPricing(), other=None)
    assert await slice_.place("abc", 2) == Order("abc", 6)
    assert await slice_.listed() == [Order("abc", 6)]
    assert await slice_.crunch(4) == 7
    assert [tick async for tick in slice_.ticks(3)] == [0, 1, 2]
    async with contextlib.asynccontextmanager(slice_.lifespan)(None):
        assert slice_.seen == ["start"]
    await slice_.place("b")
    with pytest.raises(aether.QuotaExceeded):
        await slice_.place("c")
    assert await PlaceOrder(pricing=ListPricing(), other=None).count() == 0


def test_a_secret_never_shows_in_repr():
    assert "hush" not in repr(PlaceOrder(pricing=ListPricing(), other=None))


async def test_a_running_slice_sends_its_blocking_methods_through_its_runner():
    slice_ = PlaceOrder(pricing=ListPricing(), other=None)
    ran = []

    async def runner(function):
        ran.append(function)
        return function() * 10

    attach_runner(slice_, runner)
    assert await slice_.crunch(number=1) == 40
    assert len(ran) == 1


def test_config_is_read_from_text_strictly_and_a_secret_never_shows_in_errors():
    @aether.slice
    class Configured:
        limit: int = aether.config("shop.limit")
        names: list[str] = aether.config("shop.names", default=())
        order: Order = aether.config("shop.order")
        pin: int = aether.secret("shop.pin")

    fields = {field.name: field for field in contract_of(Configured).fields}
    assert fields["limit"].read("12") == 12
    assert fields["names"].read("a,b") == ["a", "b"]
    assert fields["order"].read('{"sku": "a", "quantity": 2}') == Order("a", 2)
    with pytest.raises(aether.BadInput, match=r"config shop\.limit .*expected int, got 'many'"):
        fields["limit"].read("many")
    with pytest.raises(aether.BadInput, match=r"shop\.order\.quantity"):
        fields["order"].read('{"sku": "a", "quantity": "2"}')
    with pytest.raises(aether.BadInput, match=r"expected JSON"):
        fields["order"].read("{")
    with pytest.raises(aether.BadInput) as caught:
        fields["pin"].read("s3cret")
    assert (
        "s3cret" not in f"{caught.value!r}{caught.value.__context__!r}{caught.value}"
        or caught.value.__suppress_context__
    )
    assert "s3cret" not in str(caught.value)


def test_arguments_travel_by_name_and_omitted_ones_stay_absent():
    """The callee's defaults fill them, so that a default may change without its callers."""
    place = contract_of(PlaceOrder).methods["place"]
    assert place.bind(("a",), {}) == {"sku": "a"}
    assert place.bind((), {"quantity": 2, "sku": "a"}) == {"sku": "a", "quantity": 2}
    for args, kwargs, what in (
        ((), {}, "missing 1"),
        (("a", 1, 2), {}, "positional"),
        (("a",), {"qty": 1}, "unexpected"),
    ):
        with pytest.raises(TypeError, match=rf"PlaceOrder\.place\(\).*{what}"):
            place.bind(args, kwargs)


def test_arguments_are_checked_on_both_sides_with_every_problem_at_once():
    place = contract_of(PlaceOrder).methods["place"]
    with pytest.raises(aether.BadInput) as caught:
        place.encode_arguments({"sku": 1, "quantity": 2**63})
    assert caught.value.problems == (
        "sku: expected str, got 1 (int)",
        "quantity: expected an int of 64 bits, got a larger one; use Decimal or str",
    )
    with pytest.raises(aether.BadInput) as caught:
        place.decode_arguments({"quantity": "2", "qty": 3})
    assert caught.value.problems == (
        "quantity: expected int, got '2' (str)",
        "qty: unknown; PlaceOrder.place takes sku, quantity",
        "sku: missing",
    )
    for plain in ([], None, "x", 3, {1: 2}):
        with pytest.raises(aether.BadInput):
            place.decode_arguments(plain)
    assert place.decode_arguments({"sku": "a"}) == {"sku": "a"}


def test_a_wrong_result_is_the_callees_mistake():
    place = contract_of(PlaceOrder).methods["place"]
    assert place.decode_result(place.encode_result(Order("a", 1))) == Order("a", 1)
    with pytest.raises(TypeError, match=r"PlaceOrder\.place must return Order: expected Order, got 'a'"):
        place.encode_result("a")
    with pytest.raises(aether.BadInput, match=r"result\.sku: missing"):
        place.decode_result({"quantity": 1})


def test_types_without_codec_are_found_at_registration_in_parameters_and_returns():
    @aether.slice
    class Takes:
        async def do(self, orders: list[dict[str, object]]) -> None: ...

    @aether.slice
    class Gives:
        async def do(self) -> list[object]: ...

    @aether.slice
    class Keeps:
        kept: aether.Map[float, int] = aether.map("kept")

    for cls, path in (
        (Takes, r"Takes\.do: orders\[\]\[\]: object"),
        (Gives, r"Gives\.do: return\[\]"),
        (Keeps, r"Keeps\.kept\.key: float"),
    ):
        with pytest.raises(aether.ContractError, match=path):
            contract_of(cls)


def test_names_of_enclosing_functions_are_found():
    class Local(Protocol):
        async def ping(self) -> None: ...

    @attrs.frozen
    class Value:
        number: int

    @aether.slice
    class Uses:
        local: "Local"

        async def do(self, values: "list[Value]") -> "Value": ...

    contract = contract_of(Uses)
    assert contract.fields[0].type is Local
    assert contract.methods["do"].returns is Value


def module(name: str, source: str) -> types.ModuleType:
    made = types.ModuleType(name)
    sys.modules[name] = made
    exec(compile(source, f"<{name}>", "exec"), made.__dict__)
    return made


def test_a_name_may_be_defined_after_the_slice_or_be_a_registered_slice():
    later = module(
        "later_names",
        """
from __future__ import annotations
import aether, attrs
@aether.slice
class First:
    second: Second
    async def do(self, value: Value) -> None: ...
@aether.slice
class Second:
    async def do(self) -> None: ...
@attrs.frozen
class Value:
    number: int
@aether.slice
class Third:
    elsewhere: Elsewhere
""",
    )
    assert contract_of(later.First).fields[0].type is later.Second
    with pytest.raises(aether.ContractError, match=r"'Elsewhere' is not known at run time.*registered"):
        contract_of(later.Third)
    assert contract_of(later.Third, {"Elsewhere": ListPricing}).fields[0].type is ListPricing


def test_a_type_imported_under_type_checking_is_named_with_its_line(tmp_path, monkeypatch):
    """Linters move imports there; the message says that slices need them at run time, and the setting."""
    (tmp_path / "moved_import.py").write_text("""from __future__ import annotations
from typing import TYPE_CHECKING
import aether
if TYPE_CHECKING:
    from decimal import Decimal
@aether.slice
class Uses:
    async def do(self, amount: Decimal) -> None: ...
""")
    monkeypatch.syspath_prepend(tmp_path)
    import moved_import

    with pytest.raises(aether.ContractError) as caught:
        contract_of(moved_import.Uses)
    for word in (
        "parameter 'amount'",
        "'Decimal'",
        "line 5 of moved_import",
        "TYPE_CHECKING",
        "runtime-evaluated-decorators",
    ):
        assert word in str(caught.value)


def test_no_frame_and_no_locals_are_kept():
    """A slice defined in a function must not keep that function's other locals alive."""
    import gc
    import weakref

    class Big: ...

    def define():
        big = Big()

        @attrs.frozen
        class Value:
            number: int

        @aether.slice
        class Uses:
            async def do(self, value: "Value") -> None: ...

        return Uses, weakref.ref(big)

    _kept, big = define()
    gc.collect()
    assert big() is None


def test_two_routes_of_one_shape_in_one_slice_are_refused():
    def make():
        @aether.slice
        class Twice:
            @aether.get("/a/{one}")
            async def first(self, one: str) -> None: ...

            @aether.get("/a/{other}")
            async def second(self, other: str) -> None: ...

    with pytest.raises(aether.ContractError, match=r"first and second both serve GET /a/\{other\}"):
        make()


def test_markers_are_taken_off_the_types():
    @aether.slice
    class Marked:
        async def do(
            self, agent: Annotated[str, aether.Header("user-agent")], x: Annotated[int, aether.Query]
        ) -> None: ...

    parameters = contract_of(Marked).methods["do"].parameters
    assert (parameters["agent"].type, parameters["agent"].marker) == (str, Header("user-agent"))
    assert parameters["x"].marker == aether.Query()


def test_a_parameter_in_two_places_is_refused():
    def make():
        @aether.slice
        class Marked:
            async def do(self, x: Annotated[int, aether.Query(), aether.Body()]) -> None: ...

    with pytest.raises(aether.ContractError, match="two places"):
        make()


def test_a_fault_of_the_slices_module_without_codec_is_found_at_registration():
    made = module(
        "odd_faults",
        """
import aether
class Odd(aether.Fault):
    thing: object
@aether.slice
class Uses:
    async def do(self) -> None: ...
""",
    )
    with pytest.raises(aether.ContractError, match=r"Odd\.thing: object has no codec"):
        contract_of(made.Uses)


def test_stacked_decorators_may_come_in_any_order():
    """Each only marks the function, so no order is wrong."""

    @aether.slice
    class Stacked:
        @aether.blocking
        @aether.get("/a", deadline_s=2)
        @aether.method(idempotent=False)
        def one(self) -> int:
            return 1

        @aether.method(idempotent=False)
        @aether.get("/b", deadline_s=2)
        @aether.blocking
        def other(self) -> int:
            return 2

    for spec in contract_of(Stacked).methods.values():
        assert (spec.idempotent, spec.blocking, spec.deadline_s, len(spec.routes)) == (False, True, 2, 1)
    assert [spec.function(Stacked()) for spec in contract_of(Stacked).methods.values()] == [1, 2]
