"""What a node does because of its own duty: it retires its HTTP port, lets another lead, ends its process.

Knows: the row with an operator's word, leadership.
Never: moves instances (the leader does), judges the word.
Holds: level-triggered: a node that was away does what the row says now; a word said to an earlier process is void.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn

import trio

from aether.kv import keys
from aether.kv.service import KvService
from aether.model.duty import Duty, node_duty
from aether.model.rows import MemberRow

_log = logging.getLogger("aether.node")

LOOK_S: Final = 1.0  # a hand-over that failed is tried again so often


class DutyKeeper:
    """Of one node.

    member    this process's row as it should be
    retire    told whether the node is out of work, so that clients leave its HTTP port; never blocks
    hand_over as leader, let another voter lead; does nothing for others
    leave     drain, hand over, and let the process end
    """

    def __init__(
        self,
        kv: KvService,
        member: Callable[[], MemberRow],
        *,
        retire: Callable[[bool], None],
        hand_over: Callable[[], Awaitable[None]],
        leave: Callable[[], Awaitable[None]],
    ) -> None:
        self._kv = kv
        self._member = member
        self._retire = retire
        self._hand_over = hand_over
        self._leave = leave

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Serve until cancelled."""
        member = self._member()
        key, said = keys.duty(member.node), Duty.ON_DUTY
        async with self._kv.watch(key.text, keys.leadership.text) as watch:
            task_status.started()
            while True:
                duty = node_duty(member, self._kv.get(key), is_ready=True)
                if duty is not said:
                    _log.info("%s is %s", member.node, duty)
                    said = duty
                self._retire(duty is not Duty.ON_DUTY)
                if duty is Duty.SHUTTING_DOWN:
                    await self._leave()
                    await trio.sleep_forever()
                if duty is Duty.ON_DUTY or self._kv.leadership is None:
                    await watch.changed()
                    continue
                await self._hand_over()
                with trio.move_on_after(LOOK_S):
                    await watch.changed()
