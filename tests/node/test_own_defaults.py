"""A slice counts for what it says of itself, also where whoever deploys it does not have its code."""

import trio

import aether
from aether.kv import keys
from aether.model.artifact import Artifact
from aether.model.lifecycle import SliceState

WIDE, ONCE = (Artifact.parse(f"tests.own:{name}:1.0.0") for name in ("wide", "once"))


@aether.slice(artifact=str(WIDE), instances=aether.Scale(2, 5, idle_s=600.0))
class Wide:
    async def say(self) -> str:
        return "wide"


@aether.slice(artifact=str(ONCE), singleton=True)
class Once:
    async def say(self) -> str:
        return "once"


async def test_a_node_without_the_code_deploys_as_the_slices_say(autojump_clock, group):
    await group.start("n1", join=False)
    await group.start("n2", slices=(Wide, Once))
    await group.ready("n1", "n2")
    kv, operator = group.node("n1").kv, group.node("n1").operator
    await group.until(lambda: all(kv.get(keys.contract(each)) is not None for each in (WIDE, ONCE)))
    assert kv.get(keys.desired(WIDE.base)) is None, "told before anybody wants it"

    await operator.apply(f'id = "own"\n[[slices]]\nartifact = "{WIDE}"\n')
    await operator.deploy(str(ONCE))

    wide, once = kv.get(keys.desired(WIDE.base)), kv.get(keys.desired(ONCE.base))
    assert (wide.instances, wide.instances_min, wide.instances_max, wide.idle_s) == (2, 2, 5, 600.0)
    assert (once.instances, once.singleton) == (1, True)

    def states(artifact):
        return [row.state for row in kv.rows(keys.instances_of(artifact.base))]

    await group.until(lambda: states(WIDE) == [SliceState.ACTIVE] * 2 and states(ONCE) == [SliceState.ACTIVE])
    await trio.sleep(5)
    assert states(ONCE) == [SliceState.ACTIVE]
