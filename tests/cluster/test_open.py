"""Opening one node: what is refused at the door, what reaches slices, how errors leave."""

import logging
import socket
from typing import Protocol

import pytest
import trio

import aether
from aether.cluster.opening import open_node
from aether.deployment.cluster_manager import ClusterDeploymentManager
from aether.deployment.placement import spread
from aether.deployment.slice_store import ClassStore
from aether.kv import keys
from aether.model.ids import StoreId
from aether.node.config import NodeConfig
from aether.node.seams import OpenedStorage, Seams
from aether.storage.memory import MemoryStorage


class Pricing(Protocol):
    async def quote(self, sku: str) -> int: ...


@aether.slice(artifact="tests.open:list-pricing:1.0.0")
class ListPricing(Pricing):
    key: str = aether.secret("pricing.key", default="none")
    fast: bool = aether.config("pricing.fast", default=False)
    skus: list[str] = aether.config("pricing.skus", default="")

    async def quote(self, sku: str) -> int:
        return 1

    async def settings(self) -> list[str]:
        return [self.key, str(self.fast), *self.skus]


@aether.slice(artifact="tests.open:other-pricing:1.0.0")
class OtherPricing(Pricing):
    async def quote(self, sku: str) -> int:
        return 2


@aether.slice(artifact="tests.open:shop:1.0.0")
class Shop:
    pricing: Pricing

    async def buy(self, sku: str) -> int:
        return await self.pricing.quote(sku)


@aether.slice(artifact="tests.open:till:1.0.0")
class Till:
    shop: Shop

    async def pay(self) -> int:
        return await self.shop.buy("a")


@aether.slice(artifact="tests.open:modest:1.0.0")
class Modest:
    pricing: Pricing | None

    async def has_pricing(self) -> bool:
        return self.pricing is not None


@aether.slice(artifact="tests.open:many:1.0.0", instances=3)
class Many:
    async def one(self) -> int:
        return 1


# --- refused at the door ----------------------------------------------------------------------------------------------


async def test_a_slice_whose_dependency_nobody_brings_is_refused_by_name():
    """Alone, nobody else will ever bring it: a wait would be a hang."""
    with trio.fail_after(10), pytest.raises(aether.ContractError, match=r"Till\.shop needs Shop .*open it too"):
        async with aether.Cluster.open(Till):
            pass


async def test_a_protocol_that_nobody_implements_is_refused():
    with trio.fail_after(10), pytest.raises(aether.ContractError, match=r"Shop\.pricing: nothing implements Pricing"):
        async with aether.Cluster.open(Shop):
            pass


async def test_an_ambiguous_protocol_is_refused_with_the_line_to_add():
    """Guessing would make the answer depend on the order of arguments."""
    with trio.fail_after(10), pytest.raises(aether.ContractError, match=r"bind=\[aether\.bind\(Pricing\)"):
        async with aether.Cluster.open(Shop, ListPricing, OtherPricing):
            pass


async def test_a_binding_settles_an_ambiguous_protocol():
    bind = [aether.bind(Pricing).to(OtherPricing)]
    async with aether.Cluster.open(Shop, ListPricing, OtherPricing, bind=bind) as cluster:
        assert await cluster.get(Shop).buy("a") == 2


async def test_a_binding_to_a_slice_that_is_not_opened_is_refused():
    bind = [aether.bind(Pricing).to(OtherPricing)]
    with trio.fail_after(10), pytest.raises(aether.ContractError, match="open it too"):
        async with aether.Cluster.open(Shop, bind=bind):
            pass


async def test_an_optional_dependency_may_be_missing():
    async with aether.Cluster.open(Modest) as cluster:
        assert not await cluster.get(Modest).has_pricing()


async def test_an_unknown_dependency_does_not_hang_a_local_cluster(aether_cluster):
    """No further node can come to a cluster in memory either."""
    with trio.fail_after(60), pytest.raises(aether.ContractError, match=r"Till\.shop needs Shop"):
        await aether_cluster(Till, nodes=3)


async def test_a_slice_that_cannot_start_does_not_hang_a_local_cluster(aether_cluster):
    @aether.slice(artifact="tests.open:broken:1.0.0")
    class Broken:
        needed: str = aether.config("no.such.setting")

        async def nothing(self) -> None: ...

    with trio.fail_after(60), pytest.raises(aether.NoInstance, match=r"no\.such\.setting"):
        await aether_cluster(Broken, nodes=3)


async def test_a_taken_port_leaves_as_itself():
    """`except aether.AddressInUse` around `open` must work: the block was never entered."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(aether.AddressInUse, match=str(port)):
            async with aether.Cluster.open(http=port):
                pass


@pytest.mark.parametrize("options", [{"name": "a b"}, {"calls": "wired"}, {"peers": {"a": "nowhere"}}, {"http": 70000}])
async def test_wrong_options_are_refused_as_bad_input(options):
    with pytest.raises(aether.BadInput):
        async with aether.Cluster.open(**options):
            pass


async def test_a_version_in_force_that_nobody_brings_is_said_and_not_waited_for(tmp_path):
    """New code changes what is available, not what is wanted: a developer who raised the version must be told."""

    @aether.slice(artifact="tests.open:many:2.0.0", instances=3)
    class Newer:
        async def one(self) -> int:
            return 1

    async with aether.Cluster.open(Many, name="n", data=tmp_path / "n"):
        pass

    with trio.fail_after(20), pytest.raises(aether.NoInstance, match=r"many:1\.0\.0.*unsatisfied"):
        async with aether.Cluster.open(Newer, name="n", data=tmp_path / "n"):
            pass


async def test_a_shortage_does_not_keep_a_node_from_opening(tmp_path, caplog):
    """One instance of three serves; an application that does not start at all serves nothing."""
    wish = '[[slices]]\nartifact = "tests.open:many:1.0.0"\ninstances = 3\nmax_per_node = 1\n'
    async with aether.Cluster.open(Many, name="n", data=tmp_path / "n") as cluster:
        await cluster.undeploy(Many)
        await cluster.apply(f'id = "app"\n{wish}')

    with trio.fail_after(20), caplog.at_level(logging.WARNING):
        async with aether.Cluster.open(Many, name="n", data=tmp_path / "n") as cluster:
            assert await cluster.get(Many).one() == 1
    assert "2 cannot be placed" in caplog.text


# --- what opening does ------------------------------------------------------------------------------------------------


async def test_three_instances_on_one_node_are_said(caplog):
    with caplog.at_level(logging.INFO, "aether.cluster"):
        async with aether.Cluster.open(Many):
            pass

    assert "3 instances of tests.open:many run on this one node" in caplog.text


async def test_deploying_a_class_takes_its_own_count():
    async with aether.Cluster.open(Many) as cluster:
        await cluster.undeploy(Many)
        await cluster.deploy(Many)

        rows = list(cluster.kv.rows(keys.DESIRED))
        assert [(row.blueprint, row.instances) for row in rows] == [("adhoc", 3)]


async def test_settings_and_secrets_reach_slices_in_their_types():
    """`config=` takes Python values; slices read text, strictly."""
    config = {"pricing": {"fast": True, "skus": ["a", "b"]}}
    async with aether.Cluster.open(ListPricing, config=config, secrets={"pricing.key": "s3"}) as cluster:
        assert await cluster.get(ListPricing).settings() == ["s3", "True", "a", "b"]


async def test_secrets_are_in_no_repr():
    config = NodeConfig(node="n", secrets={"pricing.key": "s3cret"})

    assert "s3cret" not in repr(config)


# --- replaceable parts ------------------------------------------------------------------------------------------------


async def test_a_placement_may_be_a_function_or_a_name():
    asked = []

    def placement(candidate):
        asked.append(candidate)
        return spread(candidate)

    async with aether.Cluster.open(Many, placement=placement):
        assert asked
    async with aether.Cluster.open(Many, placement="least_loaded") as cluster:
        assert await cluster.get(Many).one() == 1


async def test_managers_and_the_slice_store_may_be_objects():
    made = []

    class Manager(ClusterDeploymentManager):
        def __init__(self, *arguments, **options):
            made.append(self)
            super().__init__(*arguments, **options)

    class Store(ClassStore):
        loaded = 0

        async def load(self, artifact):
            self.loaded += 1
            return await super().load(artifact)

    store = Store([Many])
    async with aether.Cluster.open(Many, cluster_manager=Manager, slice_store=store):
        assert len(made) == 1
        assert store.loaded


async def test_managers_and_the_slice_store_may_be_names():
    names = {"cluster_manager": "reconcile", "node_manager": "host", "slice_store": "classes"}
    async with aether.Cluster.open(Many, **names) as cluster:
        assert await cluster.get(Many).one() == 1


@pytest.mark.parametrize("part", ["cluster_manager", "node_manager", "placement", "slice_store"])
async def test_an_unknown_name_is_refused_with_the_known_ones(part):
    with pytest.raises(aether.NotFound, match="known names: "):
        aether.Cluster.open(**{part: "no-such"})


# --- how errors leave -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt()])
async def test_an_error_of_the_body_leaves_as_itself(error):
    with pytest.raises(type(error)) as caught:
        async with aether.Cluster.open(Many):
            raise error
    assert caught.value is error


async def test_a_failure_of_the_node_leaves_as_a_group():
    """Whoever embeds a node can tell its death from errors of their own code."""
    storage = MemoryStorage()
    opened = OpenedStorage(storage, StoreId("s"))

    async def lose_the_disk():
        async with open_node(NodeConfig(node="n"), (), (), Seams(), opened) as node:
            await node.ready.wait()
            storage.fail()
            node.consensus.propose(b"")
            await trio.sleep(5)

    with pytest.raises(BaseExceptionGroup) as caught:
        await lose_the_disk()
    assert caught.group_contains(aether.StorageFailed)


async def test_a_second_drain_waits_for_the_first():
    """Leaving the block while another task drains must not cut off what that drain waits for."""
    served = []
    begun = trio.Event()

    @aether.slice(artifact="tests.open:slow:1.0.0")
    class Slow:
        async def sleep(self) -> int:
            begun.set()
            await trio.sleep(0.5)
            served.append(1)
            return 1

    async with trio.open_nursery() as nursery:
        async with aether.Cluster.open(Slow) as cluster:
            nursery.start_soon(cluster.get(Slow).sleep)
            with trio.fail_after(10):
                await begun.wait()
            nursery.start_soon(cluster.drain)
            await trio.sleep(0.05)
    assert served == [1]


@pytest.mark.parametrize("host", ["::1", "[::1]"])
async def test_a_node_listens_on_ipv6(host):
    async with aether.Cluster.open(Many, host=host, http=0, port=0, management=0) as cluster:
        assert cluster.http_url.startswith("http://[::1]:")
        assert cluster.addresses.cluster_address.startswith("[::1]:")


# --- joining ----------------------------------------------------------------------------------------------------------


async def test_a_node_without_data_joins_works_and_is_forgotten_when_its_block_ends(tmp_path):
    """A notebook, a batch job, one more web server: it calls what runs elsewhere, and leaves nothing behind."""
    with trio.fail_after(30):
        async with aether.Cluster.open(Shop, ListPricing, name="a", port=0, data=tmp_path / "a") as first:
            async with aether.Cluster.open(join=first.addresses.cluster_address) as guest:
                assert await guest.proxy(Shop).buy("x") == 1
                assert first.kv.get(keys.member(guest.node)).ephemeral
                assert first._node.consensus.status.configuration.learners == (guest.node,)
            while first._node.consensus.status.configuration.learners:
                await trio.sleep(0.05)
            assert first._node.consensus.status.voters == ("a",)


async def test_a_node_with_data_joins_under_its_own_name(tmp_path):
    with trio.fail_after(30):
        async with aether.Cluster.open(name="a", port=0, data=tmp_path / "a") as first:
            for _ in range(2):  # at its first start, and with the same words at each later one
                join = [first.addresses.cluster_address]
                async with aether.Cluster.open(name="b", data=tmp_path / "b", join=join) as second:
                    assert second.kv.get(keys.cluster) == first.kv.get(keys.cluster)
            assert first._node.consensus.status.configuration.learners == ("b",)


@pytest.mark.parametrize(
    "options",
    [
        {"join": "nowhere"},
        {"join": "127.0.0.1:1", "data": "here"},
        {"join": "127.0.0.1:1", "peers": {"b": "127.0.0.1:1"}, "name": "a", "port": 0, "data": "here"},
    ],
)
async def test_what_contradicts_joining_is_refused(options, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(aether.BadInput, match="join"):
        async with aether.Cluster.open(**options):
            pytest.fail("it opened")

    assert not (tmp_path / "here").exists()
