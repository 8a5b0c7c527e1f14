"""The gate in front of requests, and who opens and closes it.

Knows: the loop's clock; `pressure` decides.
Never: what a request is.
Holds: the newest request goes first: under overload the oldest ones are those whose clients give up next. Nobody waits
       longer than WAIT_S.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Final, NoReturn, cast

import outcome
import trio
from trio.lowlevel import Abort, RaiseCancelT, Task

from aether.model import limits
from aether.web.pressure import Pressure, own_lag_s

WAIT_S: Final = limits.HTTP_PRESSURE_WAIT_S
NEW_SHARE: Final = 8  # one in so many of those let in may be on a new connection, however many wait on others
WAITING_MAX: Final = limits.HTTP_PRESSURE_WAITING_MAX


class PressureGate:
    """Lets requests in, or holds them up where they are: in the kernel, or one per connection in memory.

    The time limits of a client do not run while its request waits here.
    """

    def __init__(self) -> None:
        self.closed: bool = False
        self._waiting: deque[tuple[Task, float]] = deque()  # since when, the newest at the end
        self._spare = 0
        self._accept_max = 0
        self._changed = trio.Event()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def close(self) -> None:
        self.closed = True

    def open(self) -> None:
        """Let everybody in."""
        self.closed = False
        self.admit(len(self._waiting))
        self._spare = 0

    def admit(self, count: int) -> None:
        """Let `count` in until the next time, the newest first; who has waited for WAIT_S is sent away."""
        let_in = count
        while self._waiting and count > 0:
            self._wake(self._waiting.pop()[0], let_in=True)
            count -= 1
        self._spare = count
        oldest = trio.current_time() - WAIT_S
        while self._waiting and self._waiting[0][1] <= oldest:
            self._wake(self._waiting.popleft()[0], let_in=False)
        self._accept_max = max(self._spare, -(-let_in // NEW_SHARE))
        self._changed.set()
        self._changed = trio.Event()

    async def passed(self) -> bool:
        """Whether the request may begin; False: it waited too long."""
        if not self.closed:
            return True
        if self._spare > 0:
            self._spare -= 1
            return True
        entry = (trio.lowlevel.current_task(), trio.current_time())

        def abort(_: RaiseCancelT) -> Abort:
            self._waiting.remove(entry)
            return Abort.SUCCEEDED

        self._waiting.append(entry)
        return cast("bool", await trio.lowlevel.wait_task_rescheduled(abort))

    async def may_accept(self) -> None:
        """Return once there is room for a connection that nobody has read from."""
        while self.closed and (self._accept_max <= 0 or len(self._waiting) >= WAITING_MAX):
            await self._changed.wait()
        self._accept_max -= 1

    def _wake(self, task: Task, *, let_in: bool) -> None:
        trio.lowlevel.reschedule(task, outcome.Value(let_in))


async def relieve(gate: PressureGate, worked_s: Callable[[], float] = time.thread_time) -> NoReturn:
    """Watch the loop until cancelled: close the gate when it runs late, let in what it can take, open it again.

    worked_s  seconds of work that this thread has done: a loop that is late because others have the processor is not
              helped by doing less
    """
    pressure = Pressure()
    while True:
        began, worked = trio.current_time(), worked_s()
        await trio.sleep(pressure.look_s)
        took_s = trio.current_time() - began
        was_closed = pressure.closed
        count = pressure.observe(own_lag_s(took_s - pressure.look_s, took_s, worked_s() - worked), gate.waiting)
        if pressure.closed:
            gate.close()
            gate.admit(count)
        elif was_closed:
            gate.open()
