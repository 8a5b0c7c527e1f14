"""A node tells others how far it has applied the log, when they ask."""

import trio

from aether.kv.commands import Batch
from aether.kv.messages import AskApplied


async def test_a_node_that_was_asked_says_when_it_has_applied_it(autojump_clock, cluster):
    """Whoever waits for all nodes hears from each, itself included, without asking twice."""
    writer = cluster.kv["a"]
    result = await writer.propose(Batch())
    with trio.fail_after(1):
        while writer.behind(("a", "b", "c"), result.revision):
            await writer.heard()


async def test_what_is_not_applied_anywhere_yet_has_all_behind(autojump_clock, cluster):
    """No node is believed to have what it did not say; once it has, the question of before is answered."""
    writer = cluster.kv["a"]
    revision = (await writer.propose(Batch())).revision
    later = revision + 1
    assert writer.behind(("a", "b", "c"), later) == {"a", "b", "c"}
    with trio.move_on_after(1) as waited:
        await writer.heard()
    assert waited.cancelled_caught

    with trio.fail_after(1):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(writer.heard)
            await trio.lowlevel.checkpoint()
            await writer.propose(Batch())
    assert "a" not in writer.behind(("a", "b", "c"), later)


async def test_questions_of_strangers_are_bounded(autojump_clock, cluster, monkeypatch):
    """A peer that asks for what never comes costs one remembered number."""
    monkeypatch.setattr("aether.kv.applied_service.PEERS_MAX", 2)
    asked = cluster.kv["b"]
    for n in range(10):
        asked.deliver(f"x{n}", AskApplied(2**40))
        asked.deliver("x0", AskApplied(2**40 + n))
    assert len(asked._reached._asked) == 2
