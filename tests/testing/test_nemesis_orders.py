"""What orders must be, what customers conclude, and which clocks lie: without a node."""

import os
import random
import subprocess
import sys
from collections import Counter

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.forge.demo import order_demo
from aether.testing.linearizability import Operation, Outcome, check, read_history, write_operation
from aether.testing.nemesis.client import HarnessError
from aether.testing.nemesis.clocks import make_clocks
from aether.testing.nemesis.order_client import OrderClient
from aether.testing.nemesis.order_workload import PRODUCTS, demo_orders, order_under
from aether.testing.nemesis.orders import OrderModel, order_ids, unsettled, wrong_copies

INITIAL = 100


def op(kind, result, called, *, key="k", outcome=Outcome.OK, lasts=0.5, process="p"):
    returned = None if outcome is Outcome.UNKNOWN else called + lasts
    return Operation(
        process=process, key=key, kind=kind, result=result, called=called, returned=returned, outcome=outcome
    )


def placed(called, order_id="ORD-1", status="CONFIRMED", **rest):
    return op("place", (order_id, status), called, **rest)


def verdict(*history):
    return check(list(history), OrderModel())


# --- the model --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "history",
    [
        [placed(0), placed(2), op("read", "CONFIRMED", 4)],
        [placed(0, lasts=3), placed(1, lasts=3, process="q")],
        [placed(0), op("cancel", "CANCELLED", 2), op("read", "CANCELLED", 4), placed(6, status="CANCELLED")],
        [
            placed(0),
            op("cancel", None, 2, outcome=Outcome.UNKNOWN),
            op("read", "CONFIRMED", 4),
            op("read", "CANCELLED", 6),
        ],
        [op("place", None, 0, outcome=Outcome.UNKNOWN), op("read", None, 1), placed(3), op("read", "CONFIRMED", 5)],
        [op("place", None, 0, outcome=Outcome.FAILED), op("read", None, 1)],
    ],
)
def test_what_may_happen_to_an_order(history):
    assert verdict(*history).is_linearizable


@pytest.mark.parametrize(
    "history",
    [
        [placed(0), op("read", None, 2)],  # acknowledged, then lost
        [placed(0), placed(2, order_id="ORD-2")],  # one key, two orders
        [placed(0, lasts=3), placed(1, order_id="ORD-2", lasts=3, process="q")],  # at once, too
        [placed(0), op("cancel", "CANCELLED", 2), op("read", "CONFIRMED", 4)],  # it came back
        [placed(0), op("read", "CANCELLED", 2)],  # nobody cancelled it
        [op("place", None, 0, outcome=Outcome.FAILED), op("read", "CONFIRMED", 1)],  # it never happened
        [placed(0), op("cancel", "CANCELLED", 2), placed(4)],  # and was confirmed again
    ],
)
def test_what_may_not_happen_to_an_order(history):
    assert not verdict(*history).is_linearizable


@given(st.lists(st.sampled_from(["place", "read", "cancel"]), max_size=12), st.randoms(use_true_random=False))
def test_a_history_of_operations_one_by_one_has_an_order_and_one_lie_in_it_has_none(kinds, rng):
    history, status = [placed(0)], "CONFIRMED"
    for number, kind in enumerate(kinds, 1):
        if kind == "cancel":
            status = "CANCELLED"
        history.append(placed(number, status=status) if kind == "place" else op(kind, status, number))
    assert verdict(*history).is_linearizable

    spot = rng.randrange(len(history) + 1)
    lie = op("read", None, spot - 0.4, lasts=0.1) if spot else None
    if lie is not None:
        assert not verdict(*history, lie).is_linearizable


def test_an_order_survives_the_file():
    history = [placed(0), op("cancel", None, 1, outcome=Outcome.UNKNOWN), op("read", None, 2)]

    assert list(read_history([write_operation(each) for each in history])) == history


# --- the rows ---------------------------------------------------------------------------------------------------------


def copy_of(orders, taken=None):
    """Rows of both maps: `orders` maps order id to (key, status), each of one piece of one product."""
    rows = {
        i: {"key": key, "status": status, "items": [{"product_id": "PROD-A", "quantity": 1}]}
        for i, (key, status) in orders.items()
    }
    sold = [i for i, (_, status) in orders.items() if status == "CONFIRMED"]
    inventory = {f"reservation/{i}/PROD-A": {"quantity": 1, "released": False} for i in sold}
    inventory["stock/PROD-A"] = {"available": INITIAL - (len(sold) if taken is None else taken)}
    return rows, inventory


def test_copies_that_agree_with_the_history_have_nothing_against_it():
    copies = {n: copy_of({"ORD-1": ("k", "CONFIRMED"), "ORD-2": ("l", "CANCELLED")}) for n in ("a", "b")}
    history = [placed(0), placed(1, order_id="ORD-2", key="l"), op("cancel", "CANCELLED", 2, key="l")]

    assert wrong_copies(history, copies, INITIAL) == []


@pytest.mark.parametrize(
    ("orders", "taken", "said"),
    [
        ({"ORD-2": ("l", "CONFIRMED")}, None, "1 acknowledged and lost: ORD-1"),
        ({"ORD-1": ("k", "CONFIRMED"), "ORD-9": ("k", "CONFIRMED")}, None, "idempotency keys with two orders: k"),
        ({"ORD-1": ("k", "CONFIRMED"), "ORD-9": ("m", "PENDING")}, None, "orders without a decision: ORD-9"),
        ({"ORD-1": ("k", "CONFIRMED")}, 2, "pieces do not add up"),
        ({"ORD-1": ("k", "REJECTED")}, None, "acknowledged and lost"),
    ],
)
def test_what_rows_may_say_against_a_history(orders, taken, said):
    assert any(said in problem for problem in wrong_copies([placed(0)], {"a": copy_of(orders, taken)}, INITIAL))


def test_an_acknowledged_cancellation_is_in_every_copy_and_copies_are_the_same():
    history = [placed(0), op("cancel", "CANCELLED", 2)]
    copies = {"a": copy_of({"ORD-1": ("k", "CANCELLED")}), "b": copy_of({"ORD-1": ("k", "CONFIRMED")})}
    problems = wrong_copies(history, copies, INITIAL)

    assert any(p.startswith("b: order ORD-1 of k, cancelled") for p in problems)
    assert any("a and b differ in 1 rows of orders" in p for p in problems)


def test_orders_that_nobody_was_told_of_are_to_be_settled():
    history = [placed(0), op("place", None, 1, key="l", outcome=Outcome.UNKNOWN), op("place", None, 2, key="k")]
    history[2] = op("place", None, 2, key="k", outcome=Outcome.UNKNOWN)

    assert unsettled(history) == ["l"]
    assert order_ids(history) == {"k": "ORD-1"}


# --- customers --------------------------------------------------------------------------------------------------------


async def ask(kind, answers):
    """One operation of a customer who is answered so, in turn; what it was, and which nodes were asked."""
    asked = []

    def answer(request):
        asked.append(request.url.host)
        told = answers[min(len(asked), len(answers)) - 1]
        if isinstance(told, Exception):
            raise told
        return told

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        client = OrderClient("p", http, {n: f"http://{n}" for n in "abc"}, order_s=10.0)
        rng = random.Random(1)
        if kind == "place":
            return await client.place("k", {}, rng), asked
        return await getattr(client, kind)("k", "ORD-1", rng), asked


GOOD = httpx.Response(200, json={"orderId": "ORD-1", "status": "CONFIRMED"})
GONE = httpx.Response(404, json={"fault": "OrderNotFound"})
BUSY = httpx.Response(503, json={})


async def test_an_order_is_placed_again_elsewhere_until_the_answer_is_definite(autojump_clock):
    done, asked = await ask("place", [BUSY, httpx.ReadTimeout("silence"), httpx.ConnectError("refused"), GOOD])

    assert (done.outcome, done.result) == (Outcome.OK, ("ORD-1", "CONFIRMED"))
    assert len(asked) == 4
    assert len(set(asked[:3])) == 3


async def test_a_503_may_come_after_the_first_of_several_writes(autojump_clock):
    done, _ = await ask("place", [BUSY])

    assert done.outcome is Outcome.UNKNOWN


async def test_what_reached_nobody_has_failed(autojump_clock):
    done, asked = await ask("place", [httpx.ConnectError("refused")])

    assert done.outcome is Outcome.FAILED
    assert Counter(asked).keys() == {"a", "b", "c"}


async def test_a_read_of_an_order_that_is_not_there_is_an_answer(autojump_clock):
    done, _ = await ask("read", [GONE])

    assert (done.outcome, done.result) == (Outcome.OK, None)


async def test_an_answer_to_a_wrong_question_is_the_harness_s_fault():
    with pytest.raises(HarnessError, match="422"):
        await ask("place", [httpx.Response(422, json={"fault": "KeyReused"})])


@given(st.text(max_size=20))
def test_the_same_key_always_asks_for_the_same_order(key):
    orders = demo_orders()

    assert order_under(key, orders) is order_under(key, orders)
    assert all("discountCode" not in order for order in orders)


def test_nothing_is_wrong_with_the_orders_of_the_workload():
    sold = (order_demo() / "pricing.py").read_text()

    assert all(f'"{product}"' in sold for product in PRODUCTS)
    assert {item["productId"] for order in demo_orders() for item in order["items"]} == PRODUCTS


# --- clocks -----------------------------------------------------------------------------------------------------------

TELL = "import time, sys; print(time.time(), time.monotonic(), time.perf_counter(), flush=True); sys.stdin.readline();"


@pytest.mark.process
def test_the_clocks_of_one_node_jump_while_it_runs_and_those_of_others_do_not(tmp_path):
    clocks = make_clocks(tmp_path / "clocks", ["a", "b"])
    command = [sys.executable, "-c", TELL * 2, "--node-id"]
    environment = {**os.environ, **clocks.environment()}
    started = [
        subprocess.Popen([*command, node], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for node in ("a", "b", "stranger")
    ]
    before = [[float(each) for each in process.stdout.readline().split()] for process in started]
    clocks.set_wall("a", -5_000.0)
    clocks.jump("a", 700.0)
    clocks.jump("a", 300.0)
    for process in started:
        process.stdin.write("\n")
        process.stdin.flush()
    after = [[float(each) for each in process.stdout.readline().split()] for process in started]
    for process in started:
        process.communicate("\n")

    jumped, true, strange = ([b - a for a, b in zip(*pair, strict=True)] for pair in zip(before, after, strict=True))
    assert -5_000 <= jumped[0] < -4_000
    assert all(1_000 <= each < 1_060 for each in jumped[1:])
    assert all(0 <= each < 60 for each in (*true, *strange))
    assert clocks.shifts("a") == (-5_000.0, 1_000.0)
