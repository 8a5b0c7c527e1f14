"""Any mixture of drains, crashes, refusals and lost connections keeps the promises about how often a method ran."""

from collections import Counter

import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from aether.errors import NoInstance, OutcomeUnknown, Overloaded
from aether.invocation.reply import DRAINING, FULL, Abandoned, Done, NotStarted
from aether.model.artifact import Artifact

SERVICE_S = 0.3  # long enough for a fault to meet a running call
PRICING = Artifact.parse("shop:pricing:1.0.0")
FAULTS = st.lists(
    st.tuples(
        st.floats(0.0, 0.1),
        st.sampled_from(["drain", "serve", "full", "crash", "cut", "refuse", "heal"]),
        st.sampled_from(["b", "c"]),
    ),
    max_size=10,
)
CALLS = st.lists(st.tuples(st.floats(0.0, 0.2), st.booleans()), min_size=1, max_size=8)


class Callee:
    """An instance whose state the test changes while it serves."""

    def __init__(self, runs):
        self.runs = runs
        self.state = "serve"
        self.crashed = trio.Event()

    async def serve(self, method, payload):
        if self.state == "drain":
            return NotStarted(DRAINING)
        if self.state == "full":
            return NotStarted(FULL, 1)
        self.runs[payload] += 1
        with trio.move_on_after(SERVICE_S):
            await self.crashed.wait()
            return Abandoned("crashed")
        return Done(payload)


def apply(network, callees, caller, fault, name):
    callee, node = callees[name], network.nodes[name]
    if fault in ("drain", "serve", "full"):
        callee.state = fault
    elif fault == "crash":
        callee.crashed.set()
        callee.crashed = trio.Event()
    elif fault == "cut" and frozenset((caller.name, node.name)) not in network.cut:
        network.disconnect(caller, node)
    elif fault == "refuse":
        network.full.add(node.name)
    elif fault == "heal":
        network.full.discard(node.name)
        network.cut.discard(frozenset((caller.name, node.name)))
        network.publish()


@settings(max_examples=100)
@given(FAULTS, CALLS)
def test_a_method_runs_as_often_as_its_outcome_says(opened_network, faults, calls):
    """DONE: once, at least once when idempotent. Never started: not at all. Unknown: at most once, or idempotent."""
    runs, outcomes = Counter(), {}

    async def main():
        async with opened_network("a", "b", "c") as (network, a, b, c):
            network.idempotent("read")
            callees = {node.name: Callee(runs) for node in (b, c)}
            for node in (b, c):
                network.host(node, callees[node.name].serve)

            async def call(number, at, idempotent):
                await trio.sleep(at)
                try:
                    with trio.fail_after(2.0):
                        await a.call(PRICING, "read" if idempotent else "write", number)
                    outcomes[number] = "done"
                except (NoInstance, Overloaded):
                    outcomes[number] = "not started"
                except OutcomeUnknown:
                    outcomes[number] = "unknown"

            async def disturb():
                for pause_s, fault, name in faults:
                    await trio.sleep(pause_s)
                    apply(network, callees, a, fault, name)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(disturb)
                for number, (at, idempotent) in enumerate(calls):
                    nursery.start_soon(call, number, at, idempotent)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    for number, (_, idempotent) in enumerate(calls):
        some = range(1, 100) if idempotent else (1,)
        allowed = {"done": some, "unknown": (0, *some), "not started": (0,)}[outcomes[number]]
        assert runs[number] in allowed, (
            f"call {number}, idempotent={idempotent}: {outcomes[number]}, ran {runs[number]} x"
        )
