"""Questions about the controller find the leader, from any node.

Knows: questions under way, who leads.
Never: what an answer says.
Holds: a question is over within CONTROL_ASK_S; an answer that comes later, or from somebody else, is ignored; a node
       answers at most CONTROL_QUESTIONS_MAX at a time.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import NoReturn

import attrs
import trio

from aether.control.messages import ControlAnswer, ControlQuestion
from aether.errors import AetherError, Overloaded, TryAgain
from aether.model.ids import NodeId
from aether.model.limits import CONTROL_ASK_S, CONTROL_QUESTIONS_MAX

_log = logging.getLogger("aether.control")

Answering = Callable[[str, str], Awaitable[str]]


@attrs.define(eq=False)
class _Pending:
    leader: NodeId
    over: trio.Event = attrs.field(factory=trio.Event)
    answer: ControlAnswer | None = None


class ControlDesk:
    """Of one node. `run` answers those of others.

    send      puts a message into a peer's mailbox; False: it has none, or it is full
    leader    who leads, as far as this node knows
    answering what the leader says to (topic, body)
    """

    def __init__(
        self,
        node: NodeId,
        send: Callable[[NodeId, object, str], bool],
        leader: Callable[[], NodeId | None],
        answering: Answering,
    ) -> None:
        self._node = node
        self._send = send
        self._leader = leader
        self._answering = answering
        self._number = 0
        self._pending: dict[int, _Pending] = {}
        self._questions_out, self._questions_in = trio.open_memory_channel[tuple[NodeId, ControlQuestion]](
            CONTROL_QUESTIONS_MAX
        )

    async def ask(self, topic: str, body: str = "{}") -> str:
        """The leader's answer. Raises TryAgain, Overloaded, or what its own answer raises here. Cancelling is free."""
        leader = self._leader()
        if leader is None:
            raise TryAgain("nobody leads now, so nobody can say anything about the controller; ask again")
        if leader == self._node:
            return await self._answering(topic, body)
        if len(self._pending) >= CONTROL_QUESTIONS_MAX:
            raise Overloaded(f"node {self._node}, questions about the controller", CONTROL_QUESTIONS_MAX)
        self._number += 1
        number = self._number
        pending = self._pending[number] = _Pending(leader)
        try:
            return await self._wait(number, pending, topic, body)
        finally:
            del self._pending[number]

    async def _wait(self, number: int, pending: _Pending, topic: str, body: str) -> str:
        if not self._send(pending.leader, ControlQuestion(number, topic, body), ""):
            raise TryAgain(f"{pending.leader}, which leads, is not reached from {self._node}; ask again")
        with trio.move_on_after(CONTROL_ASK_S):
            await pending.over.wait()
        if pending.answer is None:
            raise TryAgain(f"{pending.leader}, which leads, did not answer within {CONTROL_ASK_S:g} s; ask again")
        if not pending.answer.answered:
            raise TryAgain(f"{pending.leader}: {pending.answer.text}")
        return pending.answer.text

    # --- the other side ---

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Answer until cancelled."""
        limiter = trio.CapacityLimiter(CONTROL_QUESTIONS_MAX)
        async with trio.open_nursery() as nursery:
            task_status.started()
            async for sender, question in self._questions_in:
                await limiter.acquire_on_behalf_of(question_mark := object())
                nursery.start_soon(self._answer, sender, question, limiter, question_mark)
        raise AssertionError("the channel of questions is never closed")

    async def _answer(
        self, sender: NodeId, question: ControlQuestion, limiter: trio.CapacityLimiter, mark: object
    ) -> None:
        try:
            with trio.move_on_after(CONTROL_ASK_S):
                answer = ControlAnswer(question.number, True, await self._answering(question.topic, question.body))
                self._send(sender, answer, "")
        except AetherError as error:
            self._send(sender, ControlAnswer(question.number, False, str(error)[:1000]), "")
        finally:
            limiter.release_on_behalf_of(mark)

    def asked(self, sender: NodeId, message: ControlQuestion) -> None:
        """A question of another node. Never blocks."""
        try:
            self._questions_out.send_nowait((sender, message))
        except trio.WouldBlock:
            self._send(sender, ControlAnswer(message.number, False, "too many ask at the same time"), "")

    def told(self, sender: NodeId, message: ControlAnswer) -> None:
        """An answer. Never blocks."""
        pending = self._pending.get(message.number)
        if pending is not None and sender == pending.leader:
            pending.answer = message
            pending.over.set()

    def peer_lost(self, node: NodeId) -> None:
        """The connection to `node` is gone: it will not answer."""
        for pending in self._pending.values():
            if pending.leader == node:
                pending.answer = ControlAnswer(0, False, "the connection is gone")
                pending.over.set()
