"""The audit finds what it is there to find."""

import pytest

from aether.forge.audit import audit
from aether.forge.load import OrderOutcome, percentile

INITIAL = 100


def outcome(key, order_id, status=200):
    return OrderOutcome(
        key=key, order={}, sent_s=0.0, latency_s=0.01, repeats=0, status=status, answer={"orderId": order_id}
    )


def order(key, status="CONFIRMED", quantity=3):
    return {"key": key, "status": status, "items": [{"product_id": "P", "quantity": quantity}]}


def good():
    orders = {"O1": order("k1"), "O2": order("k2", "CANCELLED")}
    inventory = {
        "stock/P": {"available": INITIAL - 3},
        "reservation/O1/P": {"quantity": 3, "released": False},
        "reservation/O2/P": {"quantity": 3, "released": True},
    }
    return [outcome("k1", "O1")], orders, inventory


def test_a_sound_copy_is_clean():
    outcomes, orders, inventory = good()

    assert audit("n", outcomes, orders, inventory, INITIAL).clean


def test_nothing_acknowledged_is_not_clean():
    """An audit that had nothing to look at proves nothing."""
    _, orders, inventory = good()

    assert not audit("n", [], orders, inventory, INITIAL).clean


@pytest.mark.parametrize(
    ("damage", "field"),
    [
        (lambda o, i: o.pop("O1"), "missing"),
        (lambda o, i: o.update(O1=order("another")), "missing"),
        (lambda o, i: o.update(O1=order("k1", "CANCELLED")), "missing"),
        (lambda o, i: o.update(O3=order("k1")), "duplicated"),
        (lambda o, i: o.update(O4=order("k4", "PENDING")), "undecided"),
    ],
)
def test_a_lost_doubled_or_undecided_order_is_found(damage, field):
    outcomes, orders, inventory = good()
    damage(orders, inventory)

    found = audit("n", outcomes, orders, inventory, INITIAL)

    assert getattr(found, field)
    assert not found.clean


@pytest.mark.parametrize(
    "damage",
    [
        lambda i: i.update({"stock/P": {"available": INITIAL - 4}}),
        lambda i: i.pop("reservation/O1/P"),
        lambda i: i["reservation/O2/P"].update(released=False),
    ],
)
def test_stock_that_does_not_add_up_is_found(damage):
    """Taken, sold and reserved are counted from three different places."""
    outcomes, orders, inventory = good()
    damage(inventory)

    assert not audit("n", outcomes, orders, inventory, INITIAL).clean


def test_percentiles_use_the_nearest_rank():
    values = [float(n) for n in range(1, 101)]

    assert (percentile(values, 0.5), percentile(values, 0.99)) == (51.0, 100.0)
    assert percentile([], 0.5) != percentile([], 0.5)  # NaN
