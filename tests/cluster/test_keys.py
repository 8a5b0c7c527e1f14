"""One idempotency key, one effect: over instances, crashes and restarts, in virtual time."""

import pytest
import trio

import aether
from aether.invocation import keyed, keyed_service
from aether.kv import keys
from aether.model.limits import CALL_ANSWER_BYTES_MAX
from aether.model.rows import KeyState
from aether.testing.clusters import memory_cluster


class World:
    """What is outside of the cluster: it outlives nodes, and a method can be made to stand still in it."""

    def __init__(self):
        self.effects = []
        self.stops = set()
        self.reached = trio.Event()
        self.go_on = trio.Event()

    async def at(self, place):
        if place in self.stops:
            self.reached.set()
            await self.go_on.wait()


WORLD = World()


class Refused(aether.Fault):
    """The bank said no."""

    status = 402
    order: str


@aether.slice(artifact="tests.keys:payment:1.0.0", instances=3)
class Payment:
    async def charge(self, order: str, amount: int = 1) -> int:
        return await self._charged(order)

    @aether.method(idempotent=True)
    async def settle(self, order: str, amount: int = 1) -> int:
        return await self._charged(order)

    async def _charged(self, order: str) -> int:
        await WORLD.at("before")
        WORLD.effects.append(order)
        if order == "poor":
            raise Refused(order=order)
        if order == "broken":
            raise ValueError(order)
        if order == "slow":
            await trio.sleep(5)
        await WORLD.at("after")
        return len(WORLD.effects)

    async def report(self, size: int) -> str:
        WORLD.effects.append(size)
        return "x" * size


@pytest.fixture(autouse=True)
def world():
    WORLD.__init__()
    return WORLD


async def charged(node, method="charge", order="o", key="k", **arguments):
    return await aether.call(getattr(node.get(Payment), method), key=key)(order, **arguments)


def row_of(cluster):
    (row,) = cluster.nodes[0].kv.rows(keys.CALLS)
    return row


async def test_a_repeat_gets_the_answer_of_the_first_call_from_any_node(aether_cluster):
    cluster = await aether_cluster(Payment, nodes=3)

    assert [await charged(node) for node in cluster.nodes] == [1, 1, 1]
    assert WORLD.effects == ["o"]
    assert await charged(cluster.nodes[0], key="another") == 2


async def test_a_fault_and_a_failure_are_answers_too(aether_cluster):
    """The card was refused; asking again with the same key must not try it a second time."""
    cluster = await aether_cluster(Payment, nodes=3)
    for node in cluster.nodes:
        with pytest.raises(Refused) as refused:
            await charged(node, order="poor")
        assert refused.value.order == "poor"
        with pytest.raises(aether.CallFailed, match="ValueError: broken"):
            await charged(node, order="broken", key="k2")

    assert WORLD.effects == ["poor", "broken"]


async def test_a_failure_of_an_idempotent_method_may_be_tried_again(aether_cluster):
    cluster = await aether_cluster(Payment, nodes=3)
    for node in cluster.nodes:
        with pytest.raises(aether.CallFailed):
            await charged(node, "settle", order="broken")

    assert WORLD.effects == ["broken"] * 3


async def test_another_call_with_the_same_key_is_refused(aether_cluster):
    """A key names one call; two calls under it would give one of them the other's answer."""
    cluster = await aether_cluster(Payment, nodes=3)
    await charged(cluster.nodes[0])
    for arguments in ({"order": "p"}, {"amount": 2}):
        with pytest.raises(aether.BadInput, match="belongs to a call with other arguments"):
            await charged(cluster.nodes[1], **arguments)

    assert WORLD.effects == ["o"]


async def test_the_same_key_of_another_method_is_another_key(aether_cluster):
    cluster = await aether_cluster(Payment, nodes=3)

    assert [await charged(cluster.nodes[0]), await charged(cluster.nodes[0], "settle")] == [1, 2]


async def test_arguments_that_do_not_fit_use_no_key(aether_cluster):
    cluster = await aether_cluster(Payment, nodes=3)
    with pytest.raises(aether.BadInput):
        await charged(cluster.nodes[0], amount="many")

    assert await charged(cluster.nodes[0]) == 1


async def test_a_repeat_waits_for_a_call_that_runs(aether_cluster):
    cluster = await aether_cluster(Payment, nodes=3)
    answers = []
    async with trio.open_nursery() as nursery:

        async def call(node):
            answers.append(await charged(node, order="slow"))

        for node in cluster.nodes:
            nursery.start_soon(call, node)

    assert answers == [1, 1, 1]


async def test_a_repeat_that_waits_keeps_its_own_deadline(aether_cluster):
    cluster = await aether_cluster(Payment, nodes=3)
    WORLD.stops = {"before"}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(charged, cluster.nodes[0])
        await WORLD.reached.wait()
        with pytest.raises(trio.TooSlowError), trio.fail_after(1):
            await charged(cluster.nodes[1])
        WORLD.go_on.set()

    assert await charged(cluster.nodes[1]) == 1


async def test_a_call_that_was_cancelled_half_way_is_not_begun_again(aether_cluster):
    """Whether it had its effect cannot be known. Only an idempotent method may begin anew."""
    cluster = await aether_cluster(Payment, nodes=3)
    for method, expected in (("charge", aether.OutcomeUnknown), ("settle", None)):
        WORLD.__init__()
        WORLD.stops = {"after"}
        with trio.move_on_after(1):
            await charged(cluster.nodes[0], method, key=method)
        assert WORLD.effects == ["o"]
        WORLD.stops.clear()
        await trio.sleep(1)
        if expected is None:
            assert await charged(cluster.nodes[1], method, key=method) == 2
        else:
            with pytest.raises(expected, match="was cut off"):
                await charged(cluster.nodes[1], method, key=method)


async def test_a_method_that_shields_its_effect_is_answered_after_a_cancellation(aether_cluster):
    """What the method finishes counts, although nobody waited for it."""

    @aether.slice(artifact="tests.keys:till:1.0.0")
    class Till:
        async def take(self, order: str) -> int:
            with trio.CancelScope(shield=True):
                await trio.sleep(2)
                WORLD.effects.append(order)
            return len(WORLD.effects)

    cluster = await aether_cluster(Till, nodes=3)
    with trio.move_on_after(1):
        await aether.call(cluster.nodes[0].get(Till).take, key="k")("o")
    await trio.sleep(3)

    assert await aether.call(cluster.nodes[1].get(Till).take, key="k")("o") == 1
    assert WORLD.effects == ["o"]


@pytest.mark.parametrize("method", ["charge", "settle"])
@pytest.mark.parametrize("stop", ["before", "after"])
async def test_a_crash_while_the_method_runs(aether_cluster, stop, method):
    """Before or after the effect: nobody can tell, so a method that is not idempotent is never begun again."""
    cluster = await aether_cluster(Payment, nodes=3)
    WORLD.stops = {stop}
    outcomes = []
    async with trio.open_nursery() as nursery:

        async def first():
            try:
                outcomes.append(await charged(cluster.node("node-1"), method))
            except Exception as error:
                outcomes.append(error)

        nursery.start_soon(first)
        await WORLD.reached.wait()
        WORLD.stops.clear()
        await cluster.kill(row_of(cluster).node)

    for node in cluster.nodes:
        with trio.fail_after(20):
            if method == "settle":
                assert await charged(node, method) == len(WORLD.effects)
            else:
                with pytest.raises(aether.OutcomeUnknown):
                    await charged(node, method)
    began_again = method == "settle"
    assert len(WORLD.effects) == (stop == "after") + began_again
    assert all(not isinstance(outcome, int) or outcome == len(WORLD.effects) for outcome in outcomes)


async def test_a_crash_after_the_effect_and_before_the_answer_is_kept(aether_cluster):
    cluster = await aether_cluster(Payment, nodes=3)
    WORLD.stops = {"after"}
    async with trio.open_nursery() as nursery:

        async def first():
            with pytest.raises((aether.OutcomeUnknown, aether.Draining, aether.TryAgain, trio.TooSlowError)):
                await charged(cluster.node("node-1"))

        nursery.start_soon(first)
        await WORLD.reached.wait()
        running = row_of(cluster).node
        cluster.partition([running], [node.node for node in cluster.nodes if node.node != running])
        WORLD.go_on.set()  # it ends, and what came of it can be written nowhere
        await trio.sleep(1)
        await cluster.kill(running)
        cluster.heal()

    for node in cluster.nodes:
        with trio.fail_after(20), pytest.raises(aether.OutcomeUnknown):
            await charged(node)
    assert WORLD.effects == ["o"]


async def test_a_crash_after_the_answer_is_kept(aether_cluster):
    cluster = await aether_cluster(Payment, nodes=3)
    assert await charged(cluster.node("node-1")) == 1
    await cluster.kill(row_of(cluster).node)

    for node in cluster.nodes:
        with trio.fail_after(20):
            assert await charged(node) == 1
    assert WORLD.effects == ["o"]


async def test_a_reply_that_is_lost_is_found_by_the_caller_itself(aether_cluster):
    """The method is not idempotent; its key makes it safe to ask another instance, which knows the answer."""
    cluster = await aether_cluster(Payment, nodes=3)
    await cluster.nodes[0].scale("tests.keys:payment", 2)
    caller = await node_without_instance(cluster)
    WORLD.stops = {"after"}
    answers = []
    async with trio.open_nursery() as nursery:

        async def first():
            answers.append(await charged(caller))

        nursery.start_soon(first)
        await WORLD.reached.wait()
        running = await owner_of_row(cluster)
        cluster.node(running)._node.invoker._server._send = lambda *reply: True  # it never arrives
        WORLD.go_on.set()
        await trio.sleep(1)
        assert row_of(cluster).state is KeyState.ANSWERED
        assert answers == []
        caller._node.invoker.peer_lost(running)

    assert answers == [1]
    assert WORLD.effects == ["o"]


async def owner_of_row(cluster):
    """Who runs the call; the node that is asked may hear of the row a little later than the one that runs it."""
    with trio.fail_after(30):
        while not list(cluster.nodes[0].kv.rows(keys.CALLS)):
            await trio.sleep(0.01)
    return row_of(cluster).node


async def node_without_instance(cluster):
    with trio.fail_after(30):
        while len(rows := list(cluster.nodes[0].kv.rows(keys.INSTANCES))) != 2:
            await trio.sleep(0.1)
    hosts = {row.node for row in rows}
    return next(node for node in cluster.nodes if node.node not in hosts)


async def test_keys_hold_over_a_restart_of_the_whole_cluster(aether_cluster):
    cluster = await aether_cluster(Payment, nodes=3)
    assert await charged(cluster.nodes[0]) == 1
    for name in ("node-1", "node-2", "node-3"):
        await cluster.kill(name)
    async with trio.open_nursery() as nursery:
        for name in ("node-1", "node-2", "node-3"):
            nursery.start_soon(cluster.restart, name)

    with trio.fail_after(60):
        assert [await charged(node) for node in cluster.nodes] == [1, 1, 1]
    assert WORLD.effects == ["o"]


async def test_a_key_is_free_again_when_its_time_is_over(aether_cluster, monkeypatch):
    """In log time: clocks of nodes are never compared."""
    kept_s = 30.0  # a day of heartbeats takes minutes, even when time jumps
    monkeypatch.setattr(keyed, "KEPT_MS", kept_s * 1000)
    monkeypatch.setattr(keyed_service, "KEPT_MS", kept_s * 1000)
    cluster = await aether_cluster(Payment, nodes=3)
    await charged(cluster.nodes[0])
    await trio.sleep(kept_s + 1)
    await charged(cluster.nodes[0], key="another")  # the log learns how late it is
    await charged(cluster.nodes[0], key="third")  # whoever adds a key drops what is out of date

    assert len(list(cluster.nodes[0].kv.rows(keys.CALLS))) == 2
    assert await charged(cluster.nodes[0], key="another") == 2, "taken while the log was idle, and kept its whole time"
    assert await charged(cluster.nodes[1]) == 4


async def test_an_answer_that_is_too_large_is_given_once(aether_cluster):
    cluster = await aether_cluster(Payment, nodes=3)
    report = aether.call(cluster.nodes[0].get(Payment).report, key="k")
    assert len(await report(CALL_ANSWER_BYTES_MAX)) == CALL_ANSWER_BYTES_MAX
    with pytest.raises(aether.OutcomeUnknown, match="larger than"):
        await report(CALL_ANSWER_BYTES_MAX)

    assert len(WORLD.effects) == 1


async def test_without_a_majority_nothing_runs(autojump_clock):
    """The key must be kept before the method begins."""
    async with memory_cluster(Payment, nodes=3) as cluster:
        await cluster.kill("node-2")
        await cluster.kill("node-3")
        with pytest.raises((aether.TryAgain, trio.TooSlowError)), trio.fail_after(30):
            await charged(cluster.node("node-1"))

        assert WORLD.effects == []


async def test_a_row_says_how_far_its_call_is(aether_cluster):
    cluster = await aether_cluster(Payment, nodes=3)
    WORLD.stops = {"before"}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(charged, cluster.nodes[0])
        await WORLD.reached.wait()
        assert row_of(cluster).state is KeyState.RUNNING
        WORLD.go_on.set()

    assert row_of(cluster).state is KeyState.ANSWERED
