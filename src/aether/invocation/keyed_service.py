"""Runs calls that carry an idempotency key, where their instance is: take the key, run, keep the answer.

Knows: the rows of keys in the replicated store, which instances still run, what `keyed` decides.
Never: who called, other instances, retries.
Holds: the row is written before the method begins, and the answer is given after it is kept. A run that is cut off says
       so in its row, or its instance's row goes: either way no repeat waits for it.
"""

from __future__ import annotations

import functools
import itertools
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, NoReturn

import attrs
import trio

from aether.errors import OutcomeUnknown, TryAgain
from aether.invocation.key_window import KeyWindow
from aether.invocation.keyed import (
    KEPT_MS,
    Answer,
    Keyed,
    Step,
    Wait,
    arguments_digest,
    decide_key,
    ended_row,
    keeps_own_book,
    key_digest,
)
from aether.invocation.local import Around, Ran
from aether.invocation.reply import Failed, NotStarted
from aether.kv import keys
from aether.kv.commands import Batch, Compare, Delete, Put
from aether.kv.history import Compacted
from aether.kv.key_kinds import Key
from aether.kv.service import KvService
from aether.model.artifact import ArtifactBase
from aether.model.ids import Incarnation, NodeId, Revision
from aether.model.limits import CALL_KEY_SETTLE_S, CALLS_IN_FLIGHT_MAX, CLEANUP_S
from aether.model.rows import CallKeyRow, KeyState

if TYPE_CHECKING:  # a worker starts without what describes contracts
    from aether.slice_api.described import AnyMethod

_LOOK_S: Final = 1.0  # log time passes without a change of the rows that are watched
_PAUSE_S: Final = 0.1
_STALE_MS: Final = 5_000
_LATE_S: Final = 2.0  # a proposal whose proposer gave up may be applied as late as that
_PAGE_ROWS: Final = 1_000

_log = logging.getLogger(__name__)


class KeptKeys:
    """The keys of calls to the instances of one node, in the replicated store. `run` writes what was left unwritten."""

    def __init__(self, node: NodeId, incarnation: Incarnation, kv: KvService) -> None:
        self._node = node
        self._incarnation = incarnation
        self._kv = kv
        self._numbers = itertools.count(1)
        self._window = KeyWindow()
        self._seen: Revision | None = None
        self._refreshing = trio.Lock()
        self._nursery: trio.Nursery | None = None
        self._settling = 0

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Until cancelled: what came of calls that were cut off is written in tasks of this one."""
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            await trio.sleep_forever()
        raise AssertionError("sleep_forever returned")

    def around(self, call: Keyed, *, idempotent: bool) -> Around:
        """What runs `call`, at most once for its key; an idempotent method again after a run that was cut off."""
        return functools.partial(self._carry_out, call, idempotent)

    async def _carry_out(
        self, call: Keyed, idempotent: bool, method: AnyMethod | None, run: Callable[[], Awaitable[Ran]], /
    ) -> Ran:
        if keeps_own_book(method, call.form):
            return await run()
        key = keys.call_key(call.target, call.method, key_digest(call.key, call.form, call.payload))
        arguments = arguments_digest(call.form, call.payload)
        while True:
            row = self._kv.get(key)
            step = self._decide(call, idempotent, row, arguments)
            if isinstance(step, Answer):
                return step.reply
            if isinstance(step, Wait):
                await self._wait(call, idempotent, key, arguments)
                continue
            taken = await self._take(key, row, self._row(call, arguments))
            if isinstance(taken, CallKeyRow) and self._kv.log_time_ms - taken.at_ms >= _STALE_MS:
                # The log was idle, and learned only now how late it is: an old stamp would free the key too early.
                if self._kv.get(key) != taken:
                    continue  # which it did: somebody else has it
                again = await self._take(key, row, self._stamped(call, taken))
                if isinstance(again, NotStarted):
                    self._settle_later(key, taken, row)  # nothing will run under the old stamp
                taken = again
            if isinstance(taken, NotStarted):
                return taken
            if taken is not None:
                return await self._run(call, idempotent, key, taken, run)

    def _decide(self, call: Keyed, idempotent: bool, row: CallKeyRow | None, arguments: bytes) -> Step:
        held = row is not None and self._held(call.target, row)
        now_ms = self._kv.log_time_ms
        return decide_key(row, arguments, held=held, now_ms=now_ms, idempotent=idempotent, name=call.name)

    async def _wait(self, call: Keyed, idempotent: bool, key: Key[CallKeyRow], arguments: bytes) -> None:
        """Until the call that holds the key may be over. The scope of this one is the bound."""
        async with self._kv.watch(key.text, keys.instances_of(call.target)) as watch:
            if isinstance(self._decide(call, idempotent, self._kv.get(key), arguments), Wait):
                with trio.move_on_after(_LOOK_S):
                    await watch.changed()

    def _held(self, target: ArtifactBase, row: CallKeyRow) -> bool:
        """Whether the instance that runs it is there still, in the same process."""
        instance = self._kv.get(keys.instance(target, row.instance))
        member = self._kv.get(keys.member(row.node))
        if instance is None or member is None:
            return False
        return instance.incarnation == row.incarnation == member.incarnation

    def _row(self, call: Keyed, arguments: bytes) -> CallKeyRow:
        row = CallKeyRow(
            arguments=arguments,
            node=self._node,
            incarnation=self._incarnation,
            instance=call.instance,
            number=next(self._numbers),
            at_ms=0,
            until_ms=0,
        )
        return self._stamped(call, row)

    def _stamped(self, call: Keyed, row: CallKeyRow) -> CallKeyRow:
        now_ms = self._kv.log_time_ms
        lasts_ms = int((call.left_s + CLEANUP_S + CALL_KEY_SETTLE_S) * 1000)
        return attrs.evolve(row, at_ms=now_ms, until_ms=now_ms + lasts_ms)

    async def _take(
        self, key: Key[CallKeyRow], old: CallKeyRow | None, row: CallKeyRow
    ) -> CallKeyRow | NotStarted | None:
        """The row, once it is ours; None when somebody was faster; NotStarted when it could not be written."""
        version = self._kv.version(key)
        drop = await self._to_drop(key)
        compares = (Compare(key, version), *(Compare(each, self._kv.version(each)) for each in drop))
        try:
            result = await self._kv.propose(Batch(compares, (Put(key, row), *map(Delete, drop))))
        except TryAgain as error:
            return NotStarted(f"its key could not be kept: {error}")
        except (OutcomeUnknown, trio.Cancelled) as error:
            self._settle_later(key, row, old, late_s=_LATE_S)  # it may be written still, and nothing will run
            if isinstance(error, trio.Cancelled):
                raise
            return NotStarted(f"its key could not be kept: {error}")
        return row if result.applied else None

    async def _run(
        self, call: Keyed, idempotent: bool, key: Key[CallKeyRow], row: CallKeyRow, run: Callable[[], Awaitable[Ran]]
    ) -> Ran:
        try:
            outcome = await run()
        except BaseException:  # cancelled, or its own time-out: the method was cut off
            self._settle_later(key, row, ended_row(row, None, idempotent=idempotent))
            raise
        ended = ended_row(row, outcome, idempotent=idempotent)
        written = self._settle_later(key, row, ended)
        if written is not None:
            await written.event.wait()
        if isinstance(outcome, NotStarted):
            return outcome
        if written is None or not written.kept:
            return Failed(
                kind="OutcomeUnknown",
                message=f"{call.name}: it has run, and what came of it could not be kept for its key",
                slice=call.name.rpartition(".")[0],
                method=call.method,
                instance=call.instance,
                node=self._node,
            )
        return outcome

    # --- what came of it ----------------------------------------------------------------------------------------------

    def _settle_later(
        self, key: Key[CallKeyRow], ours: CallKeyRow, ended: CallKeyRow | None, *, late_s: float = 0.0
    ) -> _Written | None:
        """Write `ended` in place of `ours`, None = delete it, in a task of this node: nobody's cancellation ends that.

        late_s  `ours` may appear as late as that
        """
        if self._nursery is None or self._settling >= CALLS_IN_FLIGHT_MAX:
            return None
        written = _Written()
        self._settling += 1
        self._nursery.start_soon(self._settle, key, ours, ended, written, trio.current_time() + late_s)
        return written

    async def _settle(
        self,
        key: Key[CallKeyRow],
        ours: CallKeyRow,
        ended: CallKeyRow | None,
        written: _Written,
        late_until: float,
    ) -> None:
        try:
            with trio.move_on_after(CALL_KEY_SETTLE_S):
                written.kept = await self._settled(key, ours, ended, late_until)
            if not written.kept:
                _log.warning("what came of the call behind %s is not kept: a repeat will not learn it", key)
        finally:
            self._settling -= 1
            written.event.set()

    async def _settled(
        self, key: Key[CallKeyRow], ours: CallKeyRow, ended: CallKeyRow | None, late_until: float
    ) -> bool:
        while True:
            row, version = self._kv.get(key), self._kv.version(key)
            if row is None or row.number != ours.number or row.incarnation != ours.incarnation:
                if trio.current_time() >= late_until:
                    return row is None or row == ended  # it left the window, or somebody took over
                await trio.sleep(_PAUSE_S)
                continue
            if row == ended:
                return True
            change = Delete(key) if ended is None else Put(key, ended)
            try:
                await self._kv.propose(Batch((Compare(key, version),), (change,)))
            except (TryAgain, OutcomeUnknown):
                await trio.sleep(_PAUSE_S)
            else:
                if ended is None:
                    return True

    # --- the window ---------------------------------------------------------------------------------------------------

    async def _to_drop(self, key: Key[CallKeyRow]) -> list[Key[CallKeyRow]]:
        """Keys that whoever adds `key` drops: those too many, and those out of date; never one that still runs."""
        await self._refresh_window()
        method = key.text.rpartition("/")[0]
        surplus = self._window.surplus(method)
        found: list[Key[CallKeyRow]] = []
        for text in dict.fromkeys((*surplus, *self._window.oldest(method))):
            old: Key[CallKeyRow] = keys.parse(text)
            row = self._kv.get(old)
            if row is None or text == key.text:
                continue
            now_ms = self._kv.log_time_ms
            over = row.state is not KeyState.RUNNING or now_ms >= row.until_ms
            if over and (text in surplus or now_ms - row.at_ms >= KEPT_MS):
                found.append(old)
        return found

    async def _refresh_window(self) -> None:
        """Bring the window up to what is applied here."""
        async with self._refreshing:
            await self._refreshed()

    async def _refreshed(self) -> None:
        try:
            if self._seen is not None:
                seen = self._kv.revision
                for text in reversed(self._kv.changed_after(self._seen, keys.CALLS)):
                    self._window.put(text, sum(len(raw) + len(text) for _, raw, _ in self._kv.scan(text)))
                self._seen = seen
                return
        except Compacted:
            pass
        self._seen = None  # until all are known, also when whoever looks is cancelled half-way
        seen = self._kv.revision
        rows: list[tuple[Revision, str, int]] = []
        after = ""
        while page := self._kv.page(keys.CALLS, after, _PAGE_ROWS):
            rows += ((version, text, len(raw) + len(text)) for text, raw, version in page)
            after = page[-1][0]
            await trio.lowlevel.checkpoint()
        self._window.clear()
        for _, text, size in sorted(rows):
            self._window.put(text, size)
        self._seen = seen


@attrs.define(eq=False)
class _Written:
    """event  set once what came of a call is written, or will not be; kept  it is"""

    event: trio.Event = attrs.field(factory=trio.Event)
    kept: bool = False
