"""The order demo: its rules on plain objects, its promises on a cluster that loses nodes, its JSON over real HTTP."""

import attrs
import httpx
import pytest
import trio
from examples.order_demo import CancelOrder, GetOrderStatus, InventoryService, PlaceOrder, PricingService
from examples.order_demo.domain import (
    InsufficientStock,
    InvalidRequest,
    Item,
    KeyReused,
    Order,
    OrderNotCancellable,
    OrderNotFound,
    OrderRefused,
    OrderStatus,
    ProductNotFound,
    Reservation,
    ReservationReleased,
    Stock,
)
from examples.order_demo.orders import order_ids

import aether
from aether.cli.applications import load_slices
from aether.cluster.opening import open_node
from aether.forge.audit import audit
from aether.forge.demo import order_demo
from aether.forge.load import OrderOutcome
from aether.kv import keys
from aether.node.config import NodeConfig
from aether.node.seams import Seams

ALL = (CancelOrder, GetOrderStatus, InventoryService, PlaceOrder, PricingService)
ANN = "CUST-00000001"
A, B = "PROD-ABC123", "PROD-DEF456"


class Shop:
    """The five slices, plainly constructed, over two maps in memory."""

    def __init__(self, initial=100):
        self.orders = aether.MemoryMap(str, Order, name="orders")
        self.rows = aether.MemoryMap(str, Stock | Reservation, name="inventory")
        self.inventory = InventoryService(rows=self.rows, initial=initial)
        self.pricing = PricingService()
        self.place = self.another_place().place_order
        self.status = GetOrderStatus(orders=self.orders).get_order_status
        self.cancel = CancelOrder(inventory=self.inventory, orders=self.orders).cancel_order

    def another_place(self, inventory=None):
        return PlaceOrder(inventory=inventory or self.inventory, pricing=self.pricing, orders=self.orders)

    async def left(self, product):
        return (await self.inventory.check_stock(product, 1)).available


# --- rules ------------------------------------------------------------------------------------------------------------


async def test_an_order_is_priced_reserved_and_confirmed():
    shop = Shop()

    placed = await shop.place(ANN, [Item(A, 2), Item(B, 1)], "SAVE10", "k")

    assert placed.status is OrderStatus.CONFIRMED
    assert str(placed.total.amount) == "98.97"  # 109.97 less 11.00
    assert len(placed.reservation_ids) == 2
    assert (await shop.left(A), await shop.left(B)) == (98, 99)
    assert (await shop.status(placed.order_id)).items[0].quantity == 2


async def test_a_repeat_gets_the_same_order_and_takes_nothing():
    shop = Shop()
    first = await shop.place(ANN, [Item(A, 2)], None, "k")

    assert await shop.place(ANN, [Item(A, 2)], None, "k") == first
    assert await shop.left(A) == 98


async def test_a_key_is_not_good_for_another_order():
    """Answering with the first order would let the client believe that the second one was placed."""
    shop = Shop()
    await shop.place(ANN, [Item(A, 2)], None, "k")

    for customer, items in ((ANN, [Item(A, 3)]), ("CUST-00000002", [Item(A, 2)])):
        with pytest.raises(KeyReused):
            await shop.place(customer, items, None, "k")
    assert await shop.left(A) == 98


async def test_orders_without_a_key_are_different_orders():
    shop = Shop()

    assert await shop.place(ANN, [Item(A, 1)]) != await shop.place(ANN, [Item(A, 1)])


async def test_an_order_id_taken_by_another_key_is_passed_over():
    """32 bits of a digest do collide among a hundred thousand orders."""
    shop = Shop()
    other = await shop.place(ANN, [Item(A, 1)], None, "other")
    row = await shop.orders.get(other.order_id)
    first, second, *_ = order_ids("k")
    await shop.orders.put(first, attrs.evolve(row, order_id=first))

    placed = await shop.place(ANN, [Item(A, 1)], None, "k")

    assert placed.order_id == second
    assert await shop.place(ANN, [Item(A, 1)], None, "k") == placed


async def test_a_failed_later_reservation_releases_the_earlier_ones():
    """The original kept them: stock that nobody could ever buy."""
    shop = Shop(initial=10)

    class Greedy:
        """Somebody buys the rest of B between the check and the reservation."""

        check_stock, release_stock = shop.inventory.check_stock, shop.inventory.release_stock

        async def reserve_stock(self, product_id, quantity, order_id):
            if product_id == B:
                raise InsufficientStock(product_id=B, requested=quantity, available=0)
            return await shop.inventory.reserve_stock(product_id, quantity, order_id)

    place = shop.another_place(Greedy()).place_order
    for _ in range(2):
        with pytest.raises(OrderRefused):
            await place(ANN, [Item(A, 4), Item(B, 1)], None, "k")

    assert await shop.left(A) == 10
    assert [order.status for _, order in await shop.orders.items()] == [OrderStatus.REJECTED]


@pytest.mark.parametrize("crash_at", range(1, 5))
async def test_a_crash_between_any_two_steps_is_finished_by_the_repeat(crash_at):
    """A node may die after any reservation, and before or after the decision."""
    shop = Shop()
    steps = []

    def step():
        steps.append(1)
        if len(steps) == crash_at:
            raise RuntimeError("the node died")

    class Dying:
        check_stock, release_stock = shop.inventory.check_stock, shop.inventory.release_stock

        async def reserve_stock(self, *arguments):
            step()
            reserved = await shop.inventory.reserve_stock(*arguments)
            step()
            return reserved

    with pytest.raises(RuntimeError):
        await shop.another_place(Dying()).place_order(ANN, [Item(A, 2), Item(B, 3)], None, "k")

    placed = await shop.place(ANN, [Item(A, 2), Item(B, 3)], None, "k")

    assert placed.status is OrderStatus.CONFIRMED
    assert (await shop.left(A), await shop.left(B)) == (98, 97)


async def test_a_cancellation_gives_the_stock_back_once():
    shop = Shop()
    placed = await shop.place(ANN, [Item(A, 2)], None, "k")

    first = await shop.cancel(placed.order_id, "changed my mind")

    assert (first.status, first.reason) == (OrderStatus.CANCELLED, "changed my mind")
    assert await shop.cancel(placed.order_id, "again") == first
    assert await shop.left(A) == 100


async def test_a_cancelled_order_stays_cancelled_when_its_placing_is_repeated():
    shop = Shop()
    placed = await shop.place(ANN, [Item(A, 2)], None, "k")
    await shop.cancel(placed.order_id)

    assert (await shop.place(ANN, [Item(A, 2)], None, "k")).status is OrderStatus.CANCELLED
    assert await shop.left(A) == 100


async def test_a_late_reservation_of_a_cancelled_order_takes_nothing():
    """The tombstone: a reservation delayed on its way arrives after the release."""
    shop = Shop()
    reservation = f"RES-0a1b2c3d-{A.removeprefix('PROD-')}"

    await shop.inventory.release_stock(reservation)
    with pytest.raises(ReservationReleased):
        await shop.inventory.reserve_stock(A, 5, "ORD-0a1b2c3d")

    assert await shop.left(A) == 100


async def test_a_cancellation_in_the_middle_of_placing_wins_or_loses_whole():
    """Whatever the order of steps, stock taken equals stock of orders that stand."""
    shop = Shop()
    order_id = next(order_ids("k"))

    class Interrupted:
        check_stock, release_stock = shop.inventory.check_stock, shop.inventory.release_stock

        async def reserve_stock(self, product_id, quantity, order):
            if product_id == B:
                await shop.cancel(order_id)
            return await shop.inventory.reserve_stock(product_id, quantity, order)

    placed = await shop.another_place(Interrupted()).place_order(ANN, [Item(A, 2), Item(B, 1)], None, "k")

    assert placed.status is OrderStatus.CANCELLED
    assert (await shop.left(A), await shop.left(B)) == (100, 100)


@pytest.mark.parametrize("status", [OrderStatus.SHIPPED, OrderStatus.DELIVERED, OrderStatus.REJECTED])
async def test_an_order_that_went_too_far_is_not_cancelled(status):
    shop = Shop()
    placed = await shop.place(ANN, [Item(A, 2)], None, "k")
    row = await shop.orders.get(placed.order_id)
    await shop.orders.put(placed.order_id, attrs.evolve(row, status=status))

    with pytest.raises(OrderNotCancellable):
        await shop.cancel(placed.order_id)
    assert await shop.left(A) == 98


@pytest.mark.parametrize("quantity", [-5, 0, 1001])
async def test_nobody_reserves_a_negative_or_absurd_quantity(quantity):
    """A reservation of minus five would put five pieces on the shelf."""
    shop = Shop()
    with pytest.raises(InvalidRequest):
        await shop.inventory.reserve_stock(A, quantity, "ORD-0a1b2c3d")
    assert await shop.left(A) == 100


@pytest.mark.parametrize("reservation", ["", "RES", "RES-1-2", "RES-0a1b2c3d-abc", "../stock/PROD-ABC123", "RES-" * 99])
async def test_what_is_no_reservation_is_refused(reservation):
    with pytest.raises(InvalidRequest):
        await Shop().inventory.release_stock(reservation)


async def test_unknown_things_are_not_found():
    shop = Shop()
    with pytest.raises(OrderNotFound):
        await shop.status("ORD-00000000")
    with pytest.raises(OrderNotFound):
        await shop.cancel("ORD-00000000")
    with pytest.raises(ProductNotFound):
        await shop.inventory.reserve_stock("PROD-ZZZ000", 1, "ORD-0a1b2c3d")


@pytest.mark.parametrize(
    ("customer", "items", "key"),
    [
        ("CUST-1", [Item(A, 1)], ""),
        (ANN, [], ""),
        (ANN, [Item(A, 1), Item(A, 2)], ""),
        (ANN, [Item(A, 1)], "k" * 201),
    ],
)
async def test_a_bad_request_writes_nothing(customer, items, key):
    shop = Shop()
    with pytest.raises(InvalidRequest):
        await shop.place(customer, items, None, key)
    assert await shop.orders.count() == await shop.rows.count() == 0


async def test_a_refused_price_or_stock_writes_nothing():
    """Everything is checked before the first row, so that a refusal leaves nothing to clean up."""
    shop = Shop(initial=1)
    for items, code in (([Item(A, 2)], None), ([Item("PROD-ZZZ000", 1)], None), ([Item(A, 1)], "SAVE99")):
        with pytest.raises((aether.Fault, ExceptionGroup)):
            await shop.place(ANN, items, code, "k")
    assert await shop.orders.count() == await shop.rows.count() == 0


# --- on a cluster -----------------------------------------------------------------------------------------------------


async def placed_surely(cluster, key, items, start):
    """As a client does it: ask one node after another until one answers."""
    for turn in range(200):
        nodes = cluster.nodes
        try:
            with trio.fail_after(3):
                return (
                    await nodes[(start + turn) % len(nodes)]
                    .get(PlaceOrder)
                    .place_order(customer_id=ANN, items=items, idempotency_key=key)
                )
        except aether.Fault:
            raise
        except (aether.AetherError, trio.TooSlowError):
            await trio.sleep(0.1)
    raise AssertionError(f"{key} was never answered")


async def audited(node, outcomes, initial):
    orders = dict(await rows_of(node.map("orders", str, Order)))
    inventory = {key: attrs.asdict(row) for key, row in await rows_of(node.map("inventory", str, Stock | Reservation))}
    plain = {
        key: {
            "key": order.key,
            "status": order.status.value,
            "items": [{"product_id": i.product_id, "quantity": i.quantity} for i in order.items],
        }
        for key, order in orders.items()
    }
    return audit(node.node, outcomes, plain, inventory, initial)


async def rows_of(rows):
    found, after = [], None
    while page := await rows.items(after=after, limit=500):
        found += page
        after = page[-1][0]
    return found


@pytest.mark.parametrize("seed", range(3))
async def test_no_order_is_lost_or_doubled_when_nodes_die_under_concurrent_repeats(aether_cluster, seed):
    """The promise of the demo: three impatient clients per order, on different nodes, while nodes are killed."""
    cluster = await aether_cluster(*ALL, nodes=3, seed=seed, config={"inventory.initial": 1_000})
    answers = {}

    async def client(key, items, start):
        placed = await placed_surely(cluster, key, items, start)
        assert answers.setdefault(key, placed.order_id) == placed.order_id
        answers[key] = placed.order_id

    async with trio.open_nursery() as nursery:
        for number in range(20):
            items = [Item(A, number % 3 + 1), Item(B, 1)]
            for start in range(3):
                nursery.start_soon(client, f"k{number}", items, start)
            await trio.sleep(0.05)
            if number in (6, 13):
                leader = (await cluster.wait_leader()).node
                ready = [node.node for node in cluster.nodes if node.addresses.ready and node.node != leader]
                victim = leader if number == 6 else ready[-1]
                await cluster.kill(victim)
                nursery.start_soon(cluster.restart, victim)

    outcomes = [
        OrderOutcome(key=k, order={}, sent_s=0, latency_s=0, repeats=0, status=200, answer={"orderId": order_id})
        for k, order_id in answers.items()
    ]
    assert len(set(answers.values())) == 20
    for node in cluster.nodes:
        result = await audited(node, outcomes, 1_000)
        assert result.clean, result


async def test_the_last_pieces_are_sold_once_however_many_want_them(aether_cluster):
    """Ten orders of two for seven pieces: three are placed, seven are refused, one piece is left."""
    cluster = await aether_cluster(*ALL, nodes=3, config={"inventory.initial": 7})
    outcomes = []

    async def client(number):
        try:
            await placed_surely(cluster, f"k{number}", [Item(A, 2)], number)
            outcomes.append("placed")
        except (InsufficientStock, OrderRefused):
            outcomes.append("refused")

    async with trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(client, number)

    assert sorted(outcomes) == ["placed"] * 3 + ["refused"] * 7
    level = await cluster.get(InventoryService).check_stock(A, 1)
    assert level.available == 1


async def test_an_order_is_seen_from_every_node(aether_cluster):
    """The original kept orders per node: unknown one door further."""
    cluster = await aether_cluster(*ALL, nodes=3)
    placed = await placed_surely(cluster, "k", [Item(A, 1)], 0)

    for node in cluster.nodes:
        assert (await node.get(GetOrderStatus).get_order_status(placed.order_id)).status is OrderStatus.CONFIRMED


# --- over HTTP --------------------------------------------------------------------------------------------------------


@pytest.fixture
async def shop_url(nursery):
    async with aether.Cluster.open(*ALL, http=0, config={"inventory.initial": 50}) as cluster:
        yield cluster.http_url


@pytest.fixture
async def client():
    async with httpx.AsyncClient(trust_env=False) as client:
        yield client


def order(quantity=2, product=A, **more):
    return {"customerId": ANN, "items": [{"productId": product, "quantity": quantity}], **more}


async def test_the_json_is_the_originals(shop_url, client):
    placed = await client.post(f"{shop_url}/api/orders", json=order(discountCode="SAVE20"))
    assert placed.status_code == 200
    body = placed.json()
    assert body.keys() == {"orderId", "status", "total", "reservationIds"}
    assert body["total"] == {"amount": "47.98", "currency": "USD"}
    assert body["reservationIds"][0].startswith("RES-")

    seen = (await client.get(f"{shop_url}/api/orders/{body['orderId']}")).json()
    assert seen.keys() == {"orderId", "status", "total", "items", "createdAt", "updatedAt"}
    assert seen["items"][0].keys() == {"productId", "quantity", "unitPrice"}

    gone = await client.delete(f"{shop_url}/api/orders/{body['orderId']}", params={"reason": "late"})
    assert gone.json().keys() == {"orderId", "status", "reason", "cancelledAt"}
    assert (gone.json()["status"], gone.json()["reason"]) == ("CANCELLED", "late")


async def test_an_idempotency_key_is_kept_over_http(shop_url, client):
    first = await client.post(f"{shop_url}/api/orders", json=order(), headers={"Idempotency-Key": "k"})
    again = await client.post(f"{shop_url}/api/orders", json=order(), headers={"Idempotency-Key": "k"})
    other = await client.post(f"{shop_url}/api/orders", json=order(3), headers={"Idempotency-Key": "k"})

    assert again.json() == first.json()
    assert (other.status_code, other.json()["fault"]) == (422, "KeyReused")


async def test_requests_without_a_key_are_orders_of_their_own(shop_url, client):
    """The node gives each request a key, for its own repeats only."""
    ids = {(await client.post(f"{shop_url}/api/orders", json=order())).json()["orderId"] for _ in range(3)}

    assert len(ids) == 3


@pytest.mark.parametrize(
    ("body", "status", "fields"),
    [
        ({**order(), "customerId": "nobody"}, 400, {"fault": "InvalidRequest"}),
        (order(product="PROD-ZZZ000"), 404, {"fault": "ProductNotFound", "productId": "PROD-ZZZ000"}),
        (order(51), 409, {"fault": "InsufficientStock", "productId": A, "requested": 51, "available": 50}),
        (order(discountCode="SAVE99"), 422, {"fault": "DiscountCodeInvalid", "discountCode": "SAVE99"}),
        (order(0), 422, {}),
        (order(1001), 422, {}),
        (order(product="tea"), 422, {}),
        ({"items": []}, 422, {}),
    ],
)
async def test_a_refused_order_says_why(shop_url, client, body, status, fields):
    answer = await client.post(f"{shop_url}/api/orders", json=body)

    assert answer.status_code == status, answer.text
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["status"] == status
    assert problem["detail"]
    assert problem.items() >= fields.items()


async def test_unknown_orders_and_second_cancellations_over_http(shop_url, client):
    assert (await client.get(f"{shop_url}/api/orders/ORD-00000000")).json()["fault"] == "OrderNotFound"
    answer = await client.delete(f"{shop_url}/api/orders/ORD-00000000")
    assert (answer.status_code, answer.json()["orderId"]) == (404, "ORD-00000000")


# --- as an application ------------------------------------------------------------------------------------------------


def test_the_package_brings_all_five():
    assert set(load_slices(["examples.order_demo"], order_demo().parents[1])) == set(ALL)


async def test_the_blueprint_applies_to_a_node_that_has_the_package():
    async with open_node(NodeConfig(node="n"), ALL, (), Seams()) as node:
        await node.ready.wait()
        await node.operator.apply((order_demo() / "blueprint.toml").read_text())

        counts = {row.artifact.base.name: row.instances for row in node.kv.rows(keys.DESIRED)}
    assert counts == {
        "inventory-service": 2,
        "pricing-service": 2,
        "place-order": 3,
        "get-order-status": 2,
        "cancel-order": 2,
    }
