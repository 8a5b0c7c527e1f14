"""Three times as many calls as an instance can take, nobody waiting for anybody: whole nodes, virtual time."""

from random import Random

import pytest
import trio

import aether
from aether.kv import keys
from aether.node.answers import SliceCalls
from aether.node.route_cache import RouteCache
from aether.web.problem import problem_of
from aether.web.request import Request
from aether.web.slices_service import SliceHandler

SLOTS, SERVICE_S = 16, 0.02
CAPACITY = SLOTS / SERVICE_S
SECONDS = 2.0
NOTICED_S = 0.2  # until then it may be a burst, and the queue takes it


@aether.slice(artifact="shop:work:1.0.0", concurrency=SLOTS)
class Work:
    @aether.get("/work")
    async def work(self) -> int:
        await trio.sleep(SERVICE_S)
        return 7


async def open_loop(ask, load=3.0, seconds=SECONDS):
    """(seconds that each accepted call took, errors of the others), of calls that came when the overload was noticed.

    Calls come at random, whatever becomes of those before them.
    """
    took, errors, rng = [], [], Random(1)

    async def one():
        came = trio.current_time()
        error = await ask()
        if came < began + NOTICED_S:
            return
        if error is None:
            took.append(trio.current_time() - came)
        else:
            errors.append(error)

    began = trio.current_time()
    end = began + NOTICED_S + seconds
    async with trio.open_nursery() as nursery:
        while trio.current_time() < end:
            nursery.start_soon(one)
            await trio.sleep(rng.expovariate(load * CAPACITY))
    return sorted(took), errors


def assert_useful(took):
    assert len(took) >= 0.8 * CAPACITY * SECONDS
    assert took[int(len(took) * 0.99)] <= 2 * SERVICE_S


@pytest.mark.timeout(120)
async def test_calls_between_nodes_keep_the_capacity_and_stay_quick(aether_cluster):
    cluster = await aether_cluster(Work, nodes=2)
    home = next(iter(cluster.nodes[0].kv.rows(keys.INSTANCES))).node
    caller = next(node for node in cluster.nodes if node.node != home)
    work = caller.get(Work)

    async def ask():
        try:
            await work.work()
        except aether.Overloaded as error:
            return error
        return None

    took, errors = await open_loop(ask)

    assert_useful(took)
    assert min(error.retry_after_s for error in errors) > 0
    assert len({error.retry_after_s for error in errors}) > len(errors) / 2  # they do not all come back together


@pytest.mark.timeout(120)
async def test_requests_keep_the_capacity_and_the_refused_are_told_when_to_come_again(aether_cluster):
    cluster = await aether_cluster(Work, nodes=1)
    node = cluster.nodes[0]._node
    handler = SliceHandler(RouteCache(node.kv), SliceCalls(node.invoker), lambda: True)

    async def ask():
        try:
            assert (await handler(Request(verb="GET", path="/work"))).body == b"7"
        except aether.AetherError as error:
            return problem_of(error, "r1")
        return None

    took, refused = await open_loop(ask)

    assert_useful(took)
    assert {response.status for response in refused} == {429}
    assert all(int(response.headers["Retry-After"]) >= 1 for response in refused)


@pytest.mark.timeout(120)
async def test_urgent_calls_get_through_and_the_least_urgent_are_refused_first(aether_cluster):
    cluster = await aether_cluster(Work, nodes=1)
    work, rng = cluster.nodes[0].get(Work), Random(2)
    asked = {"low": 0, "normal": 0, "high": 0}
    answered = dict(asked)

    async def ask():
        priority = rng.choices(["low", "normal", "high"], [6, 3, 1])[0]
        asked[priority] += 1
        try:
            await aether.call(work.work, priority=priority)()
        except aether.Overloaded as error:
            return error
        answered[priority] += 1
        return None

    await open_loop(ask)
    share = {priority: answered[priority] / asked[priority] for priority in asked}

    assert share["high"] > 0.9
    assert share["high"] > share["normal"] > share["low"]
