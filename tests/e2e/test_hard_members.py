"""Leadership and membership change under load and under faults; two clusters are wired together by mistake."""

import contextlib
import itertools

import attrs
import httpx
import pytest
import trio
from tests.e2e.hard_world import LEDGER, SOON_S, joined, ledger, load, long, until, writing

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]

TRANSFERS = 15


@long
async def test_leadership_goes_round_under_load_and_no_request_fails(open_cluster):
    """What arrives while nobody leads waits for the next leader."""
    async with ledger(open_cluster) as hard:
        nodes = list(hard.processes.ports)
        async with load(hard, nodes) as seen, writing(hard, nodes) as writers:
            for to in itertools.islice(itertools.cycle(nodes), TRANSFERS):
                await hard.hand_over(to)
                await writers.go_on(5)
        assert seen.failures == []
        assert (writers.refused, writers.unknown) == (set(), set())
        await writers.audit()
        hard.assert_no_defect()


@long
@pytest.mark.parametrize("victim", ["leader", "the one that is removed", "the one that joins"])
async def test_a_change_of_members_ends_one_way_although_a_node_dies_in_the_middle(open_cluster, victim):
    """The group has three voters again, all agree who they are, and nothing acknowledged is lost."""
    async with joined(open_cluster, 3) as hard:
        leader = await hard.leader()
        removed, stays = await hard.others(leader)
        open_nodes = [stays]
        async with writing(hard, open_nodes) as writers, trio.open_nursery() as nursery:
            await hard.processes.start("node-4")
            nursery.start_soon(ask_for_removal, hard, stays, removed)
            await hard.processes.kill({"leader": leader, "the one that joins": "node-4"}.get(victim, removed))

            async def gone():
                return removed not in {m["id"] for m in (await hard.console.get(stays, "/members"))["members"]}

            await until(gone, SOON_S, f"{removed} is a member no more")
            for node in {leader, "node-4"} - {*hard.processes.running}:
                await hard.processes.start(node)
            wanted = {leader, stays, "node-4"}
            for node in wanted:

                async def agreed(node=node):
                    with contextlib.suppress(httpx.HTTPError):  # it has just been started
                        return await hard.voters(node) == wanted
                    return False

                await until(agreed, SOON_S, f"{node} knows {sorted(wanted)} as voters")
            await writers.go_on()
            nursery.cancel_scope.cancel()
        await until(lambda: removed not in hard.processes.running, SOON_S, f"{removed} ends")
        await writers.audit()
        hard.assert_no_defect()


async def ask_for_removal(hard, by, node):
    """Until it is done, whoever leads: as an operator does whose command failed."""

    async def done():
        try:
            answer = await hard.console.post(by, "/members/remove?wait=30", body={"node": node})
        except httpx.HTTPStatusError as error:
            return error.response.status_code == 404
        except httpx.HTTPError:
            return False
        return answer["status"] == "removed"

    await until(done, SOON_S, f"{node} is removed", every_s=0.2)


@long
async def test_two_clusters_whose_addresses_were_confused_stay_apart(open_cluster):
    """A node of one cluster comes up where one of the other was: it is refused; neither learns a row of the other."""
    async with ledger(open_cluster) as hard:
        async with open_cluster(folder="other", nodes=1, app="hard_app") as alone:
            await alone.ready()
            stranger = alone.processes
            await alone.console.post("node-1", "/kv/put", body={"key": "maps/stranger/x", "value": "1"})
            down = (await hard.others(await hard.leader()))[0]
            await hard.processes.kill(down)
            await stranger.kill("node-1")
            stranger.ports["node-1"] = attrs.evolve(
                stranger.ports["node-1"], cluster=hard.processes.ports[down].cluster
            )
            await stranger.start("node-1")
            await alone.ready("node-1")
            async with writing(hard) as writers:
                await until(lambda: hard.said("refuses us"), SOON_S, "somebody is refused")
                await writers.go_on()
            keys = {row["key"] for row in (await alone.console.get("node-1", "/kv?prefix=maps/"))["rows"]}
            assert keys == {"maps/stranger/x"}
            for node in hard.processes.running:
                assert (await hard.console.get(node, "/kv?prefix=maps/stranger"))["rows"] == []
            await stranger.kill("node-1")
            await hard.restart(down)
            await hard.active(LEDGER, 3)
            await writers.audit()
