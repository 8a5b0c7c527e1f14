"""Questions about the controller find the leader, and are over in time."""

import pytest
import trio
import trio.testing

from aether.control.desk_service import ControlDesk
from aether.control.messages import (
    BODY_CHARS_MAX,
    MESSAGES,
    ControlAnswer,
    ControlQuestion,
    decode_answer,
    decode_question,
    encode_answer,
    encode_question,
)
from aether.errors import BadInput, NotFound, Overloaded, TryAgain
from aether.model.ids import NodeId
from aether.model.limits import CONTROL_ASK_S, CONTROL_QUESTIONS_MAX

A, B = NodeId("a"), NodeId("b")


class Wire:
    """Two desks, and what they say to each other; `cut` drops it."""

    def __init__(self, answering, leader=A):
        self.desks = {}
        self.leader = leader
        self.cut = False
        for node in (A, B):
            self.desks[node] = ControlDesk(node, self.sender(node), lambda: self.leader, answering)

    def sender(self, sender):
        def send(to, message, _):
            if not self.cut:
                desk = self.desks[to]
                (desk.asked if isinstance(message, ControlQuestion) else desk.told)(sender, message)
            return True

        return send


async def echo(topic, body):
    if topic == "wrong":
        raise NotFound("topic", topic, "there is another")
    if topic == "never":
        await trio.sleep_forever()
    return f"{topic} {body}"


@pytest.fixture
async def wire(nursery):
    made = Wire(echo)
    for desk in made.desks.values():
        await nursery.start(desk.run)
    return made


async def test_the_leader_answers_itself_and_others(autojump_clock, wire):
    assert await wire.desks[A].ask("status") == "status {}"
    assert await wire.desks[B].ask("status", '{"a":1}') == 'status {"a":1}'


async def test_a_refusal_is_told_with_its_words(autojump_clock, wire):
    with pytest.raises(NotFound):
        await wire.desks[A].ask("wrong")
    with pytest.raises(TryAgain, match="there is another"):
        await wire.desks[B].ask("wrong")


async def test_who_is_not_answered_is_told_so_in_time(autojump_clock, wire):
    began = trio.current_time()
    for topic in ("never", "status"):
        wire.cut = topic == "status"
        with pytest.raises(TryAgain, match="did not answer"):
            await wire.desks[B].ask(topic)

    assert trio.current_time() - began == 2 * CONTROL_ASK_S


async def test_without_a_leader_nobody_is_asked(autojump_clock, wire):
    wire.leader = None
    with pytest.raises(TryAgain, match="nobody leads"):
        await wire.desks[B].ask("status")


async def test_a_lost_connection_ends_the_wait(autojump_clock, wire, nursery):
    began = trio.current_time()
    nursery.start_soon(later, wire.desks[B])
    with pytest.raises(TryAgain, match="the connection is gone"):
        await wire.desks[B].ask("never")

    assert trio.current_time() - began == 1.0


async def later(desk):
    await trio.sleep(1)
    desk.peer_lost(A)


async def test_answers_of_others_and_late_ones_are_ignored(autojump_clock, wire, nursery):
    async def false_answer():
        await trio.sleep(1)
        wire.desks[B].told(B, ControlAnswer(1, True, "false"))
        wire.desks[B].told(A, ControlAnswer(99, True, "late"))

    nursery.start_soon(false_answer)
    with pytest.raises(TryAgain, match="did not answer"):
        await wire.desks[B].ask("never")


async def test_questions_are_bounded(autojump_clock, wire, nursery):
    async def ask():
        with pytest.raises(TryAgain):
            await wire.desks[B].ask("never")

    async with trio.open_nursery() as asking:
        for _ in range(CONTROL_QUESTIONS_MAX):
            asking.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(Overloaded):
            await wire.desks[B].ask("status")


def test_messages_are_spelt_and_read_the_same():
    question, answer = ControlQuestion(3, "status", "{}"), ControlAnswer(3, False, "é")

    assert decode_question(encode_question(question)) == question
    assert decode_answer(encode_answer(answer)) == answer
    assert sorted(MESSAGES) == [50, 51]


@pytest.mark.parametrize(
    ("read", "fields"),
    [
        (decode_question, [1, "status"]),
        (decode_question, ["1", "status", "{}"]),
        (decode_question, [True, "status", "{}"]),
        (decode_question, [1, "x" * 100, "{}"]),
        (decode_question, [1, "status", "x" * (BODY_CHARS_MAX + 1)]),
        (decode_answer, [1, 1, "{}"]),
        (decode_answer, []),
    ],
)
def test_what_is_no_message_is_refused(read, fields):
    with pytest.raises(BadInput):
        read(fields)
