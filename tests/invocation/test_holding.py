"""Calls for a slice that sleeps: held within their time and its queue, told on when it cannot wake."""

import pytest
import trio

from aether.errors import NoInstance, Overloaded
from aether.invocation.endpoints import EndpointRegistry, View
from aether.invocation.local import LocalInstance
from aether.invocation.reply import FULL, Done, Form, NotStarted
from aether.model.artifact import Artifact
from aether.model.ids import Incarnation, InstanceId, NodeId
from aether.model.lifecycle import SliceState
from aether.model.rows import DesiredRow, InstanceRow, MemberRow, RouteRow

PRICING = Artifact.parse("shop:pricing:1.0.0")
BASE = PRICING.base
ME = NodeId("n1")
MEMBER = MemberRow(node=ME, incarnation=Incarnation("x"))
ROUTES = RouteRow(artifact=BASE, queue=3)


def desired(instances=0, minimum=0):
    return DesiredRow(artifact=PRICING, instances=instances, blueprint="app", instances_min=minimum)


def row(state, name="i1", reason=""):
    return InstanceRow(
        instance=InstanceId(name), artifact=PRICING, node=ME, incarnation=MEMBER.incarnation, state=state, reason=reason
    )


def view(*rows, instances=0, minimum=0):
    return View(
        instances=rows, members=[MEMBER], routes=[ROUTES], desired=[desired(instances, minimum)], connected=set()
    )


# --- the table --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shown", "state"),
    [
        (view(), "IDLE"),
        (view(row(SliceState.DEACTIVATING)), "IDLE"),
        (view(row(SliceState.FAILED)), "IDLE"),  # of before it fell asleep
        (view(instances=1), "IDLE"),
        (view(row(SliceState.LOADING), instances=1), "IDLE"),
        (view(row(SliceState.FAILED), row(SliceState.LOADING, "i2"), instances=1), "IDLE"),
        (view(row(SliceState.LOADING), row(SliceState.FAILED, "i2"), instances=1), "IDLE"),
        (view(row(SliceState.FAILED), instances=1), "FAILED"),
        (view(row(SliceState.ACTIVE), instances=1), "ACTIVE"),
        (view(instances=1, minimum=None), "UNSATISFIED"),
        (view(minimum=1), "UNSATISFIED"),
    ],
)
def test_a_slice_that_may_sleep_is_idle_until_it_has_an_instance_or_all_failed(shown, state):
    registry = EndpointRegistry(ME)
    registry.rebuild(shown)

    assert registry.state(BASE)[0] == state


def test_falling_asleep_and_waking_are_changes_of_the_table():
    registry = EndpointRegistry(ME)

    assert registry.rebuild(view(instances=1))
    assert registry.rebuild(view())
    assert registry.is_asleep(BASE)
    assert not registry.rebuild(view())


# --- calls ------------------------------------------------------------------------------------------------------------


@pytest.fixture
async def sleeper(lone_node, nursery):
    """A node alone whose slice sleeps; `node.woken` are the wakes it was told, `node.show` its next view."""
    woken = []
    node = lone_node(None, "n1", wake=lambda target, until: woken.append((target, until)))
    node.woken = woken

    def show(*rows, **wish):
        if node.registry.rebuild(view(*rows, **wish)):
            node.invoker.endpoints_changed()

    node.show = show
    await nursery.start(node.invoker.run)
    show()
    yield node
    nursery.cancel_scope.cancel()


class Instance(LocalInstance):
    """Takes `room` calls, each for a second; refuses others as full."""

    name = "Pricing"

    def __init__(self, room=100):
        self.room = room
        self.served = 0

    async def serve(self, method, payload, form, scope, around=None):
        if not self.room:
            return NotStarted(FULL, 1, 0.01)
        self.room -= 1
        with scope:
            await trio.sleep(1)
            self.served += 1
            return Done(payload)
        return None


async def call(node, payload=1):
    return await node.invoker.call(BASE, "quote", payload, form=Form.WIRE)


async def test_a_call_waits_says_that_it_does_and_goes_when_somebody_is_there(autojump_clock, sleeper, nursery):
    answers = []

    async def ask():
        answers.append(await call(sleeper))

    nursery.start_soon(ask)
    await trio.sleep(0.1)
    assert [target for target, _ in sleeper.woken] == [BASE]
    assert 29 < sleeper.woken[0][1] - trio.current_time() < 30  # as long as the call may last

    sleeper.show(row(SliceState.ACTIVATING), instances=1)
    await trio.sleep(0.1)
    assert len(sleeper.woken) == 1

    sleeper.instances[InstanceId("i1")] = Instance()
    sleeper.show(row(SliceState.ACTIVE), instances=1)
    await trio.sleep(2)
    assert answers == [Done(1)]


async def test_one_that_falls_asleep_again_while_a_call_waits_is_to_be_woken_again(autojump_clock, sleeper, nursery):
    nursery.start_soon(call, sleeper)
    await trio.sleep(0.1)
    sleeper.show(instances=1)
    sleeper.show()
    await trio.sleep(0.1)

    assert len(sleeper.woken) == 2


async def test_over_its_queue_a_call_is_refused_with_the_time_to_come_again(autojump_clock, sleeper, nursery):
    for _ in range(3):
        nursery.start_soon(call, sleeper)
    await trio.sleep(0.1)

    with pytest.raises(Overloaded, match=r"held while shop:pricing wakes has 3 waiting already; repeat in 1.0 s"):
        await call(sleeper)


async def test_a_call_that_gave_up_makes_room_for_the_next(autojump_clock, sleeper):
    for _ in range(10):
        with pytest.raises(NoInstance, match=r"IDLE.*sleeps"), trio.fail_after(1):
            await call(sleeper)


async def test_calls_learn_why_the_slice_cannot_wake(autojump_clock, sleeper, nursery):
    errors = []

    async def ask():
        with pytest.raises(NoInstance) as caught:
            await call(sleeper)
        errors.append(str(caught.value))

    for _ in range(3):
        nursery.start_soon(ask)
    await trio.sleep(0.1)
    sleeper.show(row(SliceState.FAILED, reason="ValueError: no key"), instances=1)
    await trio.sleep(0.1)
    assert len(errors) == 3
    assert all("FAILED" in error and "no key" in error for error in errors)

    nursery.start_soon(ask)  # and so does one that comes later
    await trio.sleep(0.1)
    assert len(errors) == 4


async def test_held_calls_that_find_the_first_instance_full_wait_on_within_their_time(autojump_clock, sleeper, nursery):
    """All of them were let go at once, by every node: that is no reason to refuse what was held."""
    answers = []

    async def ask():
        answers.append(await call(sleeper))

    for _ in range(3):
        nursery.start_soon(ask)
    await trio.sleep(0.1)
    instance = sleeper.instances[InstanceId("i1")] = Instance(room=1)
    sleeper.show(row(SliceState.ACTIVE), instances=1)
    await trio.sleep(1.5)
    assert instance.served == 1
    instance.room = 2
    await trio.sleep(3)
    assert len(answers) == 3


async def test_a_call_that_was_not_held_is_refused_when_all_are_full(autojump_clock, sleeper):
    sleeper.instances[InstanceId("i1")] = Instance(room=0)
    sleeper.show(row(SliceState.ACTIVE), instances=1)

    with pytest.raises(Overloaded):
        await call(sleeper)
