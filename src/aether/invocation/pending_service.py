"""Calls that wait for a reply from another node.

Knows: parked tasks by correlation id, the node that owes each a reply, deadlines that no scope of the caller covers.
Never: which instance to ask, what a reply means.
Holds: a call is in the table exactly while its task is parked; whoever takes it out wakes or aborts that task, once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final, NoReturn

import attrs
import outcome
import trio
from trio.lowlevel import Abort, RaiseCancelT

from aether.invocation.deadlines import Deadlines
from aether.invocation.messages import CallCancel
from aether.invocation.reply import Abandoned, Outcome
from aether.model.ids import NodeId
from aether.model.limits import CANCEL_REASON_CHARS_MAX

Send = Callable[[NodeId, object, str], bool]


class Expired:
    """Stands for the reply that did not come before the deadline."""


EXPIRED: Final = Expired()
_SOURCES: Final[Mapping[str, str]] = {
    "deadline": "the deadline of the caller has passed",
    "nursery": "a task beside the caller failed",
    "shutdown": "the process of the caller ends",
}


@attrs.define(eq=False)
class _Pending:
    """A parked task and the node whose reply wakes it."""

    task: trio.lowlevel.Task
    node: NodeId
    request_id: str


def reason_of(cancelled: RaiseCancelT) -> str:
    """Why a task is cancelled, in the words of whoever did it when there are any; of bounded length."""
    try:
        cancelled()
    except trio.Cancelled as error:
        reason = words(error)
    except BaseException as error:  # noqa: BLE001 - it is raised in the task; here only its name is wanted
        reason = type(error).__name__
    return reason[:CANCEL_REASON_CHARS_MAX]


def words(error: trio.Cancelled) -> str:
    """The reason that whoever cancelled gave, or what stands for none; of bounded length."""
    return (error.reason or _SOURCES.get(error.source, "the caller was cancelled"))[:CANCEL_REASON_CHARS_MAX]


class PendingCalls:
    """The calls in flight from this node. `first_id` is random: replies to an earlier process must not match."""

    def __init__(self, send: Send, first_id: int) -> None:
        self._send = send
        self._last_id = first_id
        self._pending: dict[int, _Pending] = {}
        self._deadlines = Deadlines(self._pending)
        self._earlier = trio.lowlevel.ParkingLot()

    def __len__(self) -> int:
        return len(self._pending)

    def new_id(self) -> int:
        self._last_id += 1
        return self._last_id

    async def reply(self, node: NodeId, call_id: int, request_id: str, deadline: float) -> Outcome | Expired:
        """Park until `node` replies, is lost, or `deadline` comes. Cancelled, or late, it tells the callee to stop.

        deadline  infinity when a scope of the caller ends the wait: that costs nothing here
        """

        def abort(cancelled: RaiseCancelT) -> Abort:
            del self._pending[call_id]
            self._send(node, CallCancel(call_id, reason_of(cancelled)), request_id)
            return Abort.SUCCEEDED

        self._pending[call_id] = _Pending(trio.lowlevel.current_task(), node, request_id)
        if deadline < math.inf and self._deadlines.add(deadline, call_id):
            self._earlier.unpark_all()
        result: Outcome | Expired = await trio.lowlevel.wait_task_rescheduled(abort)
        return result

    def settle(self, sender: NodeId, call_id: int, reply: Outcome) -> None:
        """The reply of `sender`; one that nobody waits for is late or doubled, and ignored."""
        pending = self._pending.get(call_id)
        if pending is not None and pending.node == sender:
            del self._pending[call_id]
            trio.lowlevel.reschedule(pending.task, outcome.Value(reply))

    def peer_lost(self, node: NodeId) -> None:
        """No reply will come from `node`."""
        lost = Abandoned(f"the connection to {node} was lost")
        for call_id in [call_id for call_id, pending in self._pending.items() if pending.node == node]:
            self.settle(node, call_id, lost)

    def abandon(self, reason: str) -> None:
        """This node stops: nobody will hear a reply."""
        for call_id, pending in list(self._pending.items()):
            self.settle(pending.node, call_id, Abandoned(reason))

    async def keep_deadlines(self) -> NoReturn:
        """End calls whose deadline has come, until cancelled."""
        while True:
            next_at = self._deadlines.next_at()
            with trio.move_on_at(math.inf if next_at is None else next_at):
                await self._earlier.park()
            for call_id in self._deadlines.due(trio.current_time()):
                self._expire(call_id)

    def _expire(self, call_id: int) -> None:
        pending = self._pending.pop(call_id)
        self._send(pending.node, CallCancel(call_id, "its deadline has passed"), pending.request_id)
        trio.lowlevel.reschedule(pending.task, outcome.Value(EXPIRED))
