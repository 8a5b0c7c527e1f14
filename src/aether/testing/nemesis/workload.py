"""`python -m aether.testing.nemesis.workload`: clients in a process of their own, recording what they see.

Knows: which operation a client tries next, and how fast.
Never: faults, verdicts.
Holds: an operation is recorded when it has ended, and SIGTERM lets those in flight end: a history lacks nothing that
       was asked. Values are unique over all clients, so that whoever reads one knows who wrote it.
"""

from __future__ import annotations

import json
import random
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TextIO

import attrs
import httpx
import trio

from aether.testing.linearizability import Operation, Outcome, write_operation
from aether.testing.nemesis.client import REQUEST_S, RegisterClient

KEY_S = 0.25
"""A new key becomes popular so often: few operations per key keep the check short."""

POPULAR = 4
PAST = 60
PAST_SHARE = 0.15
MOVE_SHARE = 0.05
BACK_OFF_S = 0.1


@attrs.frozen(kw_only=True)
class WorkloadPlan:
    """What one process of clients does. Travels as JSON on its command line.

    began      monotonic time at which keys begin to be counted, the same for all processes
    rate       operations per second of all its clients together; 0 = as fast as they are answered
    urls       what each node is asked at: its management address, or for orders its own HTTP address
    """

    name: str
    seed: int
    clients: int
    rate: float
    began: float
    history: str
    urls: dict[str, str]
    tokens: dict[str, str]
    reads_locally: bool = False


class Worker:
    """One client: one operation after the other, on one node until that one does not answer."""

    def __init__(
        self, client: RegisterClient, plan: WorkloadPlan, number: int, record: Callable[[Operation], None]
    ) -> None:
        self._client, self._plan, self._record = client, plan, record
        self._rng = random.Random(f"{plan.seed} {plan.name} {number}")
        self._nodes = sorted(plan.urls)
        self._node = self._nodes[number % len(self._nodes)]
        self._writes = 0
        self._seen: dict[str, int] = {}

    async def run(self, pause_s: float) -> None:
        due = trio.current_time() + self._rng.random() * pause_s
        while True:
            await trio.sleep_until(due)
            operation = await self._recorded()
            if operation.outcome is not Outcome.OK:
                await trio.sleep(BACK_OFF_S * self._rng.random())
            if operation.outcome is not Outcome.OK or self._rng.random() < MOVE_SHARE:
                self._node = self._rng.choice(self._nodes)
            due = max(due + pause_s, trio.current_time() - 1.0)

    async def _recorded(self) -> Operation:
        """One operation, whatever happens to this task: what was asked is recorded. Bounded by REQUEST_S."""
        done: list[Operation] = []
        with trio.CancelScope(shield=True):
            done.append(await self._one())
            self._record(done[0])
        return done[0]

    async def _one(self) -> Operation:
        key = self._key()
        kind = self._rng.choices(["get", "put", "cas", "delete"], [45, 25, 27, 3])[0]
        self._writes += 1
        value = f"{self._client.process}.{self._writes}"
        if kind == "put":
            return await self._client.put(self._node, key, value)
        if kind == "cas" and key in self._seen:
            return await self._client.cas(self._node, key, self._seen[key], value)
        if kind == "delete":
            return await self._client.delete(self._node, key)
        read = await self._client.get(self._node, key)
        if read.outcome is Outcome.OK:
            self._remember(key, read.result)
        return read

    def _remember(self, key: str, result: Any) -> None:
        if len(self._seen) > PAST + POPULAR:
            del self._seen[next(iter(self._seen))]
        self._seen[key] = result[1]

    def _key(self) -> str:
        newest = int((time.monotonic() - self._plan.began) / KEY_S)
        back = PAST if self._rng.random() < PAST_SHARE else POPULAR
        return f"{max(0, newest - self._rng.randrange(back)):05d}"


def recorder(history: TextIO) -> Callable[[Operation], None]:
    """Writes an operation as soon as it has ended: a process that dies leaves what it saw."""

    def record(operation: Operation) -> None:
        history.write(write_operation(operation) + "\n")
        history.flush()

    return record


async def run_workload(plan: WorkloadPlan, history: TextIO) -> None:
    """All clients of `plan` until SIGTERM."""
    record = recorder(history)
    limits = httpx.Limits(max_connections=2 * plan.clients, max_keepalive_connections=plan.clients)
    async with httpx.AsyncClient(timeout=REQUEST_S, limits=limits, trust_env=False) as http:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cancel_on_signal, nursery.cancel_scope)
            for number in range(plan.clients):
                client = RegisterClient(f"{plan.name}.{number}", http, plan.urls, plan.tokens, plan.reads_locally)
                worker = Worker(client, plan, number, record)
                nursery.start_soon(worker.run, plan.clients / plan.rate if plan.rate else 0.0)


async def cancel_on_signal(scope: trio.CancelScope) -> None:
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        async for _ in signals:
            scope.cancel()


def main(arguments: Sequence[str], run: Callable[[WorkloadPlan, TextIO], Awaitable[None]]) -> int:
    """The process of some clients: its plan is the one argument, as JSON."""
    plan = WorkloadPlan(**json.loads(arguments[0]))
    with open(plan.history, "w") as history:  # noqa: PTH123 - a path from JSON
        trio.run(run, plan, history)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], run_workload))
