"""How long silence may last until a member counts as lost."""

import pytest
import trio

from aether.deployment.cluster_manager import ClusterDeploymentManager
from aether.deployment.presence import Presence
from aether.kv import keys
from aether.kv.commands import Batch, Put
from aether.model.artifact import Artifact
from aether.model.ids import Incarnation, NodeId
from aether.model.lifecycle import SliceState
from aether.model.limits import MEMBER_GONE_S, MEMBER_LOST_S
from aether.model.rows import DesiredRow, MemberRow

N1 = NodeId("n1")
PRICING = Artifact.parse("shop:pricing:1.0.0")
S = SliceState
ROW = MemberRow(node=N1, incarnation=Incarnation("i"))


def test_a_silent_member_is_waited_for_and_one_that_has_ended_for_less_long():
    presence = Presence(MEMBER_LOST_S, 30.0)
    silent = presence.look([ROW], {}, {}, 10.0)
    assert (silent.members, silent.suspect) == ({N1: ROW}, {N1})
    assert presence.pause_s(10.0) == pytest.approx(MEMBER_GONE_S)

    assert presence.look([ROW], {}, {}, 9.9 + MEMBER_GONE_S, {N1}).members == {N1: ROW}
    assert presence.look([ROW], {}, {}, 10.1 + MEMBER_GONE_S).members == {N1: ROW}
    assert presence.look([ROW], {}, {}, 10.1 + MEMBER_GONE_S, {N1}).members == {}
    assert presence.look([ROW], {}, {}, 10.1 + MEMBER_LOST_S).members == {}


def test_a_member_that_answers_is_there_whatever_its_address_says():
    """A listener that is opened anew, or an address that moved."""
    presence = Presence(MEMBER_LOST_S, 30.0)
    for now in range(5):
        found = presence.look([ROW], {N1: ROW.incarnation}, {}, float(now), {N1})
        assert (found.members, found.suspect) == ({N1: ROW}, frozenset())


async def test_what_ran_in_a_process_that_ended_is_replaced_before_silence_would_tell(autojump_clock, world):
    """Three seconds for a heal leave none to spare for a process that is known to be dead."""
    gone = set()
    make = world.make_cluster_manager
    world.make_cluster_manager = lambda *args, **limits: make(*args, gone=lambda: gone, **limits)
    assert make is ClusterDeploymentManager
    for name in ("n1", "n2"):
        await world.start(name, "shop:pricing:1.0.0")
    world.elect("n1")
    wish = DesiredRow(artifact=PRICING, instances=2, blueprint="app")
    world.log.apply(Batch((), (Put(keys.desired(PRICING.base), wish),)))
    await trio.sleep(2)
    kv = world.nodes["n1"].kv
    assert {(row.node, row.state) for row in kv.rows(keys.INSTANCES)} == {("n1", S.ACTIVE), ("n2", S.ACTIVE)}

    world.kill("n2")
    gone.add(NodeId("n2"))
    killed = trio.current_time()
    while any(row.node == "n2" for row in kv.rows(keys.INSTANCES)):
        await trio.sleep(0.01)

    assert MEMBER_GONE_S <= trio.current_time() - killed < MEMBER_GONE_S + 0.2
