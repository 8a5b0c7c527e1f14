"""The example that the design opens with: it runs, and its slices are unit-tested like any classes."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

FILE = Path(__file__).parents[2] / "examples" / "section5.py"


@pytest.fixture(scope="module")
def shop():
    spec = importlib.util.spec_from_file_location("section5", FILE)
    module = importlib.util.module_from_spec(spec)
    sys.modules["section5"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["section5"]


async def test_its_slices_work_together_without_a_cluster(shop):
    """No mocks: the real pricing and inventory, with maps in memory."""
    inventory = shop.Inventory(initial=3)
    orders = shop.PlaceOrder(pricing=shop.ListPricing(), inventory=inventory)
    placed = await orders.place("ann", [shop.Line("a", 2), shop.Line("b", 1)])
    assert placed == shop.Placed("order-000001", 315, "EUR")
    assert await orders.order(placed.id) == shop.Order("ann", [shop.Line("a", 2), shop.Line("b", 1)], 315)
    with pytest.raises(shop.OutOfStock) as caught:
        await orders.place("bob", [shop.Line("b", 1), shop.Line("a", 2)])
    assert caught.value.sku == "a"
    assert await inventory.stock.items() == [("a", 1), ("b", 2)]
    assert await orders.order("order-000002") is None


@pytest.mark.process
def test_it_runs_as_a_script():
    done = subprocess.run([sys.executable, FILE], capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "order-000001: 3.15 EUR"
    assert "refused: There is not enough in stock. (sku='a')" in done.stdout
    assert done.stderr == "" or "Traceback" not in done.stderr
