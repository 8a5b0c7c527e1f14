"""Traces through the admin API."""

from aether.management.trace_view import ShownCall
from aether.model.ids import NodeId


def call_of(name, at, spent_s, depth=0, request_id="r-1", node="node-1"):
    return ShownCall(
        request_id=request_id,
        trace_id="t-1",
        name=name,
        node=NodeId(node),
        instance="i",
        at=at,
        spent_s=spent_s,
        outcome="Done",
        depth=depth,
    )


async def test_a_request_is_a_waterfall_from_its_first_call_on(world):
    world.traces.lines = [call_of("Orders.place", 10.0, 0.5), call_of("Pricing.quote", 10.1, 0.2, 1, node="node-2")]
    world.traces.unheard = (NodeId("node-3"),)

    answer = (await world.ask("GET", "/traces/r-1")).json

    assert (answer["beganAt"], answer["spentMs"], answer["unheard"]) == (10.0, 500.0, ["node-3"])
    assert [(s["name"], s["startMs"], s["spentMs"], s["depth"]) for s in answer["spans"]] == [
        ("Orders.place", 0.0, 500.0, 0),
        ("Pricing.quote", 100.0, 200.0, 1),
    ]


async def test_a_request_that_nobody_remembers_is_not_found(world):
    assert (await world.ask("GET", "/traces/r-9")).status == 404


async def test_the_last_calls_are_listed_up_to_a_limit(world):
    world.traces.lines = [call_of(f"A.m{n}", 1.0, 0.1) for n in range(5)]

    assert [t["name"] for t in (await world.ask("GET", "/traces?limit=2")).json["traces"]] == ["A.m0", "A.m1"]
    assert (await world.ask("GET", "/traces?limit=0")).status == 400
