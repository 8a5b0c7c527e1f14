"""Every call is lost once in every way, and the one that breaks the test is named."""

import secrets
from collections import Counter
from collections.abc import AsyncIterator

import pytest
import trio
from examples.order_demo import CancelOrder, InventoryService, PlaceOrder, PricingService
from examples.order_demo.domain import Item, Order, OrderStatus, Reservation
from examples.order_demo.inventory import Reserved, reservation_id
from examples.order_demo.orders import CANCELLABLE, OrderCancelled, decide, order_ids, reservations

import aether
from aether.testing import BrokenByFailure, each_failure
from aether.testing.watching import Loss

# --- a small shop: a till moves money from one account to another -----------------------------------------------------


@aether.slice(artifact="tests.failures:accounts:1.0.0")
class Accounts:
    balances: aether.Map[str, int] = aether.map("balances")
    done: aether.Map[str, bool] = aether.map("done")

    async def change(self, name: str, by: int) -> int:
        return await self.balances.update(name, lambda now: (now or 0) + by) or 0

    @aether.method(idempotent=True)
    async def change_once(self, name: str, by: int, key: str) -> int:
        if await self.done.put_if_absent(f"{key}/{name}", True):
            return await self.change(name, by)
        return await self.balances.get(name) or 0

    @aether.method(idempotent=True)
    async def balance(self, name: str) -> int:
        return await self.balances.get(name) or 0


@aether.slice(artifact="tests.failures:hasty:1.0.0")
class Hasty:
    """Takes, gives, and thinks of no failure in between."""

    accounts: Accounts

    async def move(self, cents: int) -> None:
        await self.accounts.change("ann", -cents)
        await self.accounts.change("bob", cents)


@aether.slice(artifact="tests.failures:careful:1.0.0")
class Careful:
    """Repeats each step under a key until it is done."""

    accounts: Accounts

    @aether.method(idempotent=True)
    async def move(self, cents: int, key: str = "k") -> None:
        for name, by in (("ann", -cents), ("bob", cents)):
            for _ in range(3):
                try:
                    await self.accounts.change_once(name, by, key)
                    break
                except aether.OutcomeUnknown:
                    continue


async def nothing_is_made_or_lost(cluster):
    accounts = cluster.get(Accounts)
    assert await accounts.balance("ann") + await accounts.balance("bob") == 0


def move_with(cls):
    async def move(cluster):
        await cluster.get(cls).move(30)

    return move


def test_code_that_survives_every_loss_passes():
    done = each_failure([Careful, Accounts], move_with(Careful), invariant=nothing_is_made_or_lost)

    assert [str(call) for call in done.calls] == [
        "Careful.move(cents=30)",
        "Accounts.change_once(name='ann', by=-30, key='k')",
        "Accounts.change_once(name='bob', by=30, key='k')",
    ]
    assert done.runs == 1 + 3 * len(Loss)


def test_each_call_that_breaks_the_invariant_is_named_with_how_it_was_lost():
    with pytest.raises(BrokenByFailure) as caught:
        each_failure([Hasty, Accounts], move_with(Hasty), invariant=nothing_is_made_or_lost)

    found = [(str(each.call), each.loss) for each in caught.value.broken]
    assert found == [
        ("Accounts.change(name='ann', by=-30)", Loss.REPLY_LOST),
        ("Accounts.change(name='bob', by=30)", Loss.NEVER_ARRIVED),
    ]
    assert str(caught.value).startswith(
        "2 of 6 failures break the test:\n"
        "- call 2, Accounts.change(name='ann', by=-30), called by Hasty.move: it was done but its reply was lost\n"
        "    then AssertionError: "
    )
    assert caught.value.__cause__ is caught.value.broken[0].error


def test_a_method_that_only_says_that_it_is_idempotent_is_found():
    @aether.slice(artifact="tests.failures:accounts:1.0.0")
    class Boasting(Accounts):
        @aether.method(idempotent=True)
        async def change_once(self, name: str, by: int, key: str) -> int:
            return await self.change(name, by)

    async def body(cluster):
        await cluster.get(Careful).move(30)

    with pytest.raises(BrokenByFailure) as caught:
        each_failure([Careful, Boasting], body, invariant=nothing_is_made_or_lost)
    assert {each.loss for each in caught.value.broken} == {Loss.REPLY_LOST, Loss.DONE_TWICE}


def test_without_an_invariant_the_body_itself_asserts():
    """It must then catch what the losses inside make of its call; the loss of its own call ends a run."""

    async def body(cluster):
        try:
            await cluster.get(Hasty).move(30)
        except aether.OutcomeUnknown:
            return
        await nothing_is_made_or_lost(cluster)

    assert each_failure([Hasty, Accounts], body).runs == 1 + 6 + 2 * len(Loss)


def test_an_error_that_a_loss_inside_makes_is_not_swallowed():
    async def body(cluster):
        await cluster.get(Hasty).move(30)

    with pytest.raises(BrokenByFailure, match=r"called by Hasty\.move: it never arrived") as caught:
        each_failure([Hasty, Accounts], body)
    assert all(each.call.by for each in caught.value.broken)
    assert len(caught.value.broken) == 4


def test_what_breaks_without_any_loss_is_raised_as_it_is():
    async def body(cluster):
        assert await cluster.get(Accounts).balance("ann") == 5

    with pytest.raises(AssertionError) as caught:
        each_failure([Accounts], body)
    assert not isinstance(caught.value, BrokenByFailure)


def test_pytest_fail_in_a_body_is_a_failure_and_skip_is_not():
    async def failing(cluster):
        try:
            await cluster.get(Accounts).change("ann", 1)
        except aether.OutcomeUnknown:
            pytest.fail("not like this")

    async def skipping(cluster):
        pytest.skip("not here")

    with pytest.raises(BrokenByFailure, match="Failed: not like this"):
        each_failure([Accounts], failing)
    with pytest.raises(pytest.skip.Exception):
        each_failure([Accounts], skipping)


def test_a_test_that_hangs_after_a_loss_is_named():
    async def body(cluster):
        try:
            await cluster.get(Accounts).change("ann", 1)
        except aether.OutcomeUnknown:
            await trio.sleep_forever()

    with pytest.raises(BrokenByFailure, match="did not end within 60 s") as caught:
        each_failure([Accounts], body)
    assert len(caught.value.broken) == 2


def test_calls_with_arguments_of_chance_are_found_again_by_their_place():
    async def body(cluster):
        accounts = cluster.get(Accounts)
        for _ in range(2):
            await accounts.change(secrets.token_hex(8), 1)

    assert each_failure([Accounts], body).runs == 5


def test_a_call_that_is_not_made_again_is_said():
    """Silence would let the reader believe that it was tried."""
    runs = []

    async def body(cluster):
        runs.append(1)
        if len(runs) == 1:
            await cluster.get(Accounts).change("ann", 1)

    with pytest.raises(BrokenByFailure, match="not made again"):
        each_failure([Accounts], body)


def test_calls_side_by_side_are_told_apart_by_their_arguments():
    lost = []

    async def body(cluster):
        async def one(name):
            try:
                await cluster.get(Accounts).change(name, 1)
            except aether.OutcomeUnknown:
                lost.append(name)

        async with trio.open_nursery() as nursery:
            for name in "abcd":
                nursery.start_soon(one, name)

    each_failure([Accounts], body)

    assert sorted(lost) == sorted("abcd" * 2)


@aether.slice(artifact="tests.failures:ledger:1.0.0")
class Ledger:
    written: aether.Map[str, int] = aether.map("written")

    async def write(self, name: str) -> None:
        await self.written.update(name, lambda now: (now or 0) + 1)

    async def read(self, name: str) -> AsyncIterator[int]:
        await self.write(name)
        for n in range(3):
            yield n

    async def take(self, numbers: AsyncIterator[int]) -> int:
        return sum([n async for n in numbers])


async def numbers():
    for n in range(4):
        yield n


@pytest.mark.parametrize("way", ["send", "each", "read", "take"])
def test_every_way_to_call_is_lost_in_its_turn(way):
    lost = []

    async def body(cluster):
        ledger = cluster.get(Ledger)
        await trio.sleep(1)  # `each` does not wait for instances
        try:
            if way == "send":
                await aether.send(ledger.write)("a")
            elif way == "each":
                await aether.each(ledger.write)("a")
            elif way == "take":
                assert await ledger.take(numbers()) == 6
            else:
                async with aether.stream(ledger.read("a")) as items:
                    assert [n async for n in items] == [0, 1, 2]
        except aether.OutcomeUnknown:
            lost.append(way)

    done = each_failure([Ledger], body)

    assert [call.method for call in done.calls] == ["write" if way in ("send", "each") else way]
    assert lost == [way, way]


def test_too_many_failures_are_refused_before_they_are_tried():
    runs = []

    async def body(cluster):
        runs.append(1)
        for _ in range(5):
            await cluster.get(Accounts).change("ann", 1)

    with pytest.raises(aether.BadInput, match="5 calls need 11 runs"):
        each_failure([Accounts], body, runs_max=10)
    assert len(runs) == 1


async def test_inside_a_loop_it_says_where_to_call_it():
    with pytest.raises(aether.BadInput, match="ordinary `def` test"):
        each_failure([Accounts], nothing_is_made_or_lost)


# --- the order demo ---------------------------------------------------------------------------------------------------

ANN, A, B = "CUST-00000001", "PROD-ABC123", "PROD-DEF456"
ORDER = next(order_ids("k"))
INITIAL = 100
DEMO = {"inventory.initial": INITIAL}


def place_or_cancel(cancel):
    """A client who does not learn what became of its order cancels it, and repeats that until it is answered."""

    async def body(cluster):
        try:
            await cluster.get(PlaceOrder).place_order(ANN, [Item(A, 2), Item(B, 1)], None, "k")
        except aether.OutcomeUnknown:
            for _ in range(2):
                try:
                    await cluster.get(cancel).cancel_order(ORDER, "unknown")
                except aether.OutcomeUnknown:
                    continue
                except aether.Fault:
                    pass  # it never came into being
                return

    return body


async def the_books_balance(cluster):
    """What is missing on the shelf is reserved for an order that holds."""
    orders = cluster.nodes[0].map("orders", str, Order)
    held = Counter()
    for _, order in await orders.items():
        if order.status is OrderStatus.CONFIRMED:
            held.update({item.product_id: item.quantity for item in order.items})
    for product in (A, B):
        stock = await cluster.get(InventoryService).check_stock(product, 1)
        assert INITIAL - stock.available == held[product]


def test_the_order_demo_survives_the_loss_of_any_call():
    done = each_failure(
        [PlaceOrder, CancelOrder, InventoryService, PricingService],
        place_or_cancel(CancelOrder),
        invariant=the_books_balance,
        config=DEMO,
    )

    names = [call.name for call in done.calls]
    assert names.count("InventoryService.reserve_stock") == 2
    assert names.count("InventoryService.check_stock") == 2
    assert done.runs == 1 + 3 * len(names) == 19


def test_a_compensation_that_is_missing_in_the_order_demo_is_found():
    """Planted: who cancels an order that was never confirmed believes that nothing was reserved for it."""

    @aether.slice(artifact="tests.failures:cancel-order:1.0.0", json_case="camel")
    class Forgetful(CancelOrder):
        @aether.method(idempotent=True)
        async def cancel_order(self, order_id: str, reason: str = "") -> OrderCancelled:
            before = await self.orders.get(order_id)
            order = await decide(self.orders, order_id, CANCELLABLE, OrderStatus.CANCELLED, reason)
            if before is None or before.status is OrderStatus.CONFIRMED:
                for reservation in reservations(order):
                    await self.inventory.release_stock(reservation)
            return OrderCancelled(order_id, order.status, order.refusal, order.updated_at)

    with pytest.raises(BrokenByFailure) as caught:
        each_failure(
            [PlaceOrder, Forgetful, InventoryService, PricingService],
            place_or_cancel(Forgetful),
            invariant=the_books_balance,
            config=DEMO,
        )

    found = [(each.call.name, each.call.arguments["product_id"], each.loss) for each in caught.value.broken]
    assert found == [
        ("InventoryService.reserve_stock", A, Loss.REPLY_LOST),
        ("InventoryService.reserve_stock", B, Loss.NEVER_ARRIVED),
        ("InventoryService.reserve_stock", B, Loss.REPLY_LOST),
    ]


def test_a_reservation_of_the_order_demo_that_is_not_idempotent_is_found():
    """Planted: a repeat takes the pieces a second time."""

    @aether.slice(artifact="org.pragmatica-lite.aether.demo:inventory-service:0.1.0", json_case="camel")
    class Careless(InventoryService):
        @aether.method(idempotent=True)
        async def reserve_stock(self, product_id: str, quantity: int, order_id: str) -> Reserved:
            stock, version = await self._stock(product_id)
            reservation = reservation_id(order_id, product_id)
            existing = await self.rows.entry(f"reservation/{order_id}/{product_id}")
            left = type(stock)(stock.available - quantity)
            await self._change(product_id, left, version, reservation, Reservation(quantity), existing.version)
            return Reserved(reservation, product_id, quantity)

    with pytest.raises(BrokenByFailure) as caught:
        each_failure(
            [PlaceOrder, CancelOrder, Careless, PricingService],
            place_or_cancel(CancelOrder),
            invariant=the_books_balance,
            config=DEMO,
        )
    assert {(each.call.name, each.loss) for each in caught.value.broken} == {
        ("Careless.reserve_stock", Loss.DONE_TWICE)
    }
