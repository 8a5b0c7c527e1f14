"""Contracts of running slices: published in rows, read from outside, used without the code, over two versions."""

import importlib.util
import json
import logging
import sys
from pathlib import Path

import attrs
import httpx
import pytest
import trio

import aether
from aether.cli.main import run
from aether.deployment.slice_store import ClassStore
from aether.forge.polling import until
from aether.kv import keys
from aether.kv.commands import Batch, Put
from aether.model.artifact import Artifact
from aether.model.limits import CONTRACTS_KEPT
from aether.model.rows import ContractRow


@attrs.frozen
class Placed:
    order_id: str
    total: int = 0


class Gone(aether.Fault):
    """Not there any more."""

    status = 410
    sku: str


@aether.slice(artifact="tests.contracts:orders:1.2.0")
class Orders:
    """Takes orders."""

    @aether.post("/orders")
    async def place(self, customer: str, skus: list[str]) -> Placed:
        if not skus:
            raise Gone(sku=customer)
        return Placed(f"{customer}-1", len(skus))


def loaded(text, tmp_path, name):
    path = tmp_path / f"{name}.py"
    path.write_text(text)
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


async def command(*arguments):
    return await trio.to_thread.run_sync(run, list(arguments))


async def published(address, count=1):
    """The answer of GET /contracts once it has `count`."""
    async with httpx.AsyncClient(base_url=f"http://{address}") as client:
        with trio.fail_after(10):
            while len(found := (await client.get("/contracts")).json()["contracts"]) != count:
                await trio.sleep(0.01)
        return found


async def test_a_contract_is_exported_checked_and_used_against_the_real_slice(tmp_path, capsys):
    """The whole way: another repository calls the slice with what the cluster told it."""
    file = tmp_path / "orders_contract.py"
    async with aether.Cluster.open(Orders, management=0, insecure=True) as cluster:
        address = cluster.addresses.management_address
        assert await published(address) == [{"artifact": "tests.contracts:orders:1.2.0", "running": True}]

        assert await command("contract", "export", "tests.contracts:orders", "-o", str(file), "-c", address) == 0
        assert await command("contract", "export", "tests.contracts:orders", "--check", str(file), "-c", address) == 0
        module = loaded(file.read_text(), tmp_path, "orders_contract")
        orders = cluster.get(module.Orders)
        assert await orders.place("ann", ["a", "b"]) == module.Placed("ann-1", 2)
        with pytest.raises(module.Gone) as caught:
            await orders.place("bob", [])
        assert caught.value.sku == "bob"

        capsys.readouterr()
        file.write_text(file.read_text().replace("customer: str", "customer: int"))
        assert await command("contract", "export", "tests.contracts:orders", "--check", str(file), "-c", address) == 1
        shown = capsys.readouterr()
        assert "-    async def place(self, customer: int" in shown.out
        assert "+    async def place(self, customer: str" in shown.out
        assert "differs from the contract" in shown.err


async def test_diff_compares_the_cluster_with_a_class_and_a_file(tmp_path, capsys):
    (tmp_path / "newer.py").write_text(
        "import aether\n\n@aether.slice(artifact='tests.contracts:orders:2.0.0')\nclass Orders:\n"
        "    async def place(self, customer: int, skus: list[str], note: str = '') -> None: ...\n"
    )
    kept = tmp_path / "kept.json"
    async with aether.Cluster.open(Orders, management=0, insecure=True) as cluster:
        address = cluster.addresses.management_address
        await published(address)
        ask = ("-c", address)
        assert await command("contract", "export", "tests.contracts:orders:1.2.0", "-o", str(kept), *ask) == 0
        assert await command("diff", "tests.contracts:orders", str(kept), *ask) == 0
        assert "no changes" in capsys.readouterr().out
        new = ("newer:Orders", "--app-dir", str(tmp_path))
        assert await command("diff", str(kept), *new, "-o", "json", *ask) == 1
        found = json.loads(capsys.readouterr().out)

    assert found["breaking"] is True
    assert {(change["change"], change["where"]) for change in found["changes"] if change["breaking"]} == {
        ("parameter-narrowed", "place(customer)"),
        ("result-widened", "place result"),
        ("route-removed", "place"),
    }
    assert ("parameter-added", "place(note)") in {(c["change"], c["where"]) for c in found["changes"]}


async def test_what_is_not_known_is_said_in_words(tmp_path, capsys):
    broken = tmp_path / "broken.json"
    broken.write_text("{}")
    async with aether.Cluster.open(Orders, management=0, insecure=True) as cluster:
        ask = ("-c", cluster.addresses.management_address)
        assert await command("diff", "tests.contracts:orders:9.0.0", "tests.contracts:orders", *ask) == 1
        assert "no contract 'tests.contracts:orders:9.0.0'" in capsys.readouterr().err
        assert await command("diff", str(broken), str(broken), *ask) == 1
        assert "this release reads format 1" in capsys.readouterr().err
        assert await command("diff", str(tmp_path / "none.json"), str(broken), *ask) == 1
        assert "No such file" in capsys.readouterr().err
        assert await command("contract", "export", "a:b", "-o", "x", "--check", "y", *ask) == 2


async def test_the_oldest_versions_are_forgotten_and_all_with_the_slice():
    base = "tests.contracts:orders"
    async with aether.Cluster.open(management=0, insecure=True) as cluster:
        rows = [ContractRow(artifact=Artifact.parse(f"{base}:0.{n}.0"), text="{}") for n in range(CONTRACTS_KEPT)]
        await cluster.kv.propose(Batch((), tuple(Put(keys.contract(row.artifact), row) for row in rows)))
        known = await published(cluster.addresses.management_address, 0)  # nobody wants the slice
        assert known == []


async def test_callers_and_instances_of_two_versions_understand_each_other(tmp_path, caplog):
    """A newer caller at an older instance, in the middle of a rollout: unknown fields and arguments do no harm."""
    old = (
        "import attrs, aether\n\n@attrs.frozen\nclass Item:\n    sku: str\n    qty: int = 1\n\n"
        "class Sold(aether.Fault):\n    sku: str\n    since: int\n\n"
        "@aether.slice(artifact='tests.contracts:store:1.0.0')\nclass Store:\n"
        "    async def keep(self, item: Item, times: int = 2) -> Item:\n"
        "        if item.sku == 'sold':\n            raise Sold(sku=item.sku, since=7)\n"
        "        return Item(item.sku, item.qty * times)\n"
    )
    new = (
        "import attrs, aether\nfrom typing import Protocol\n\n@attrs.frozen\nclass Item:\n    sku: str\n"
        "    colour: str = 'red'\n\nclass Sold(aether.Fault):\n    sku: str\n    reason: str\n\n"
        "@aether.contract('tests.contracts:store:2.0.0')\nclass Store(Protocol):\n"
        "    async def keep(self, item: Item, note: str = '') -> Item: ...\n"
    )
    running = loaded(old, tmp_path, "store_old")
    calling = loaded(new, tmp_path, "store_new")
    caplog.set_level(logging.WARNING, "aether.hosting")
    async with aether.Cluster.local(running.Store, nodes=2) as cluster:
        for node in cluster.nodes:
            store = node.get(calling.Store)
            assert await store.keep(calling.Item("a", "blue")) == calling.Item("a", "red")
            assert await store.keep(calling.Item("a"), note="x") == calling.Item("a")
            with pytest.raises(aether.CallFailed) as caught:
                await store.keep(calling.Item("sold"))
            assert caught.value.kind == "Sold"
            assert caught.value.fields == {"sku": "sold", "since": 7}
    assert caplog.text.count("Store.keep ignores 'note'") == 1


def test_the_exported_file_of_the_howto_is_what_export_writes():
    """The page shows the real thing, shortened to one method."""
    page = (Path(__file__).parents[2] / "docs/howto/evolve-contracts.md").read_text()

    assert '@aether.contract("shop.orders:place-order:1.2.0")\nclass PlaceOrder(Protocol):' in page


def small(number):
    class Small:
        async def answer(self) -> int:
            return number

    return aether.slice(artifact=f"tests.contracts:s{number:02}:1.0.0")(Small)


async def test_contracts_of_many_slices_are_few_entries_of_the_log(tmp_path):
    """A hundred slices were a hundred proposals of each node, one after the other, while instances waited."""
    slices = [small(number) for number in range(60)]
    async with aether.Cluster.open(*slices, management=0, insecure=True) as cluster:
        await published(cluster.addresses.management_address, 60)
        written = {
            cluster.kv.version(keys.contract(Artifact.parse(f"tests.contracts:s{n:02}:1.0.0"))) for n in range(60)
        }

    assert len(written) <= 4


async def test_a_slice_that_cannot_be_loaded_keeps_no_other_contract_from_being_written(caplog):
    """A store of slices may be somebody else's code, which imports what somebody else wrote. It is tried again."""

    class Store(ClassStore):
        fails = True

        async def load(self, artifact):
            if artifact.base.name == "s01" and self.fails:
                self.fails = False
                raise ImportError("no module named nowhere")
            return await super().load(artifact)

    slices = [small(number) for number in range(3)]
    told = [keys.contract(Artifact.parse(f"tests.contracts:s{number:02}:1.0.0")) for number in range(3)]
    async with aether.Cluster.open(slices[2], slice_store=Store(slices)) as cluster:
        await until(lambda: all(cluster.kv.get(key) for key in told), 10.0)
        assert await cluster.get(slices[2]).answer() == 2
    why = "it cannot be loaded: ImportError: no module named nowhere"
    said = [record.getMessage() for record in caplog.records if "nowhere" in record.getMessage()]
    assert said == [f"the contract of tests.contracts:s01:1.0.0 stays unwritten, as {why}"]
