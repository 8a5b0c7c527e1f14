"""Nodes that run slices out of a directory: another version is copied in while they run, and replaces the first."""

import pytest

from aether.forge.polling import until
from aether.testing.trees import remove_tree, shop_tree

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]

SOON_S = 60.0


@pytest.fixture
def open_shops(open_cluster, tmp_path):
    """(slices, cluster) of nodes without any imported slice."""
    slices = tmp_path / "slices"
    slices.mkdir()

    def opened(**options):
        arguments = ("--slices", str(slices), *options.pop("arguments", ()))
        return open_cluster(apps=(), arguments=arguments, **options)

    return slices, opened


async def withdrawn(running, artifact):
    """No node offers it any more."""

    async def known():
        members = (await running.console.get("node-1", "/members"))["members"]
        return not any(artifact in member["available"] for member in members)

    await until(known, SOON_S, f"nobody offers {artifact}")


async def contract_known(running, artifact):
    """An update to it can be judged, though no instance of it ever ran."""

    async def is_known():
        known = (await running.console.get("node-1", "/contracts"))["contracts"]
        return artifact in {each["artifact"] for each in known}

    await until(is_known, SOON_S, f"the contract of {artifact}")


async def answer(running, node, path):
    return await running.client.get(f"{running.http(node)}{path}")


async def until_all_say(running, path, said):
    async def all_say():
        answers = [await answer(running, node, path) for node in running.processes.ports]
        return all(found.status_code == 200 and found.json() == said for found in answers)

    await until(all_say, SOON_S, f"{path} says {said!r} everywhere")


async def test_a_version_that_is_copied_in_while_nodes_run_replaces_the_first(open_shops):
    """The new code differs from the old in a method and has a new route; both have the same module name."""
    slices, opened = open_shops
    shop_tree(slices, "1.0.0")
    async with opened(nodes=3) as running:
        await running.ready()
        await running.offered("e2e:shop:1.0.0")
        await running.deploy("e2e:shop:1.0.0", instances=3)
        await until_all_say(running, "/shop/price/apple", 100)
        assert (await answer(running, "node-1", "/shop/stock/apple")).status_code == 404

        shop_tree(slices, "1.1.0")
        await running.offered("e2e:shop:1.1.0")
        await until_all_say(running, "/shop/version", "1.0.0")
        await contract_known(running, "e2e:shop:1.1.0")
        await running.deploy("e2e:shop:1.1.0")
        await until_all_say(running, "/shop/version", "1.1.0")
        await until_all_say(running, "/shop/price/apple?pieces=2", 180)
        await until_all_say(running, "/shop/stock/apple", 5)


async def test_a_tree_that_is_taken_away_is_offered_no_more_and_its_instances_stay(open_shops):
    slices, opened = open_shops
    place = shop_tree(slices, "1.0.0")
    async with opened(nodes=1) as running:
        await running.ready()
        await running.deploy("e2e:shop:1.0.0")
        pid = (await answer(running, "node-1", "/shop/pid")).json()
        assert pid != running.processes.process_id("node-1")

        remove_tree(place)
        await withdrawn(running, "e2e:shop:1.0.0")
        assert (await answer(running, "node-1", "/shop/pid")).json() == pid
