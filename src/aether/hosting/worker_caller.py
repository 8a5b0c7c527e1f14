"""What an instance in a worker process uses of its node: calls of its dependencies, and its maps.

Knows: open questions by id; deadlines as seconds that are left; where the time of a call went.
Never: endpoints, retries, the store: the node's own Invoker and KvService carry everything out.
Holds: a question is open exactly while its task waits; whoever is cancelled withdraws it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Unpack, cast

import attrs
import outcome
import trio
from trio.lowlevel import Abort, RaiseCancelT, Task

from aether.errors import BadInput, Overloaded
from aether.hosting.worker_errors import decode_error, decode_heard
from aether.hosting.worker_link import Link
from aether.hosting.worker_messages import Answer, CallOut, MapAccess, Withdraw
from aether.hosting.worker_streams import Sides, opened_by_node, span_begun
from aether.invocation.hops import Hop, path_text, tell
from aether.invocation.outgoing import reserve_s
from aether.invocation.reply import Abandoned, Form, NotStarted, Outcome, Reply, TimedOut, decode_reply
from aether.invocation.span import Span
from aether.invocation.streaming import OpenStream, Wishes
from aether.invocation.tracer import passed_on
from aether.model.artifact import ArtifactBase
from aether.model.ids import InstanceId
from aether.model.limits import WORKER_CALLS_OUT_MAX
from aether.slice_api.call import PLAIN, CallOptions
from aether.slice_api.current import RUNNING
from aether.slice_api.maps import RawEntry


class Questions:
    """What a worker has asked its node."""

    def __init__(self, link: Callable[[], Link]) -> None:
        self._link = link
        self._last_id = 0
        self._open: dict[int, Task] = {}

    def new_id(self) -> int:
        self._last_id += 1
        return self._last_id

    async def ask(self, question: CallOut | MapAccess, request_id: str = "") -> object:
        """The value of the answer. Raises what the node raised, and what cannot be sent as `Link.send` does."""
        call_id = question.call_id

        def abort(_: RaiseCancelT) -> Abort:
            del self._open[call_id]
            self._link().post(Withdraw(call_id))
            return Abort.SUCCEEDED

        if not self._link().send(question, request_id):
            raise Overloaded("this worker process", WORKER_CALLS_OUT_MAX)
        self._open[call_id] = trio.lowlevel.current_task()
        answer: Answer = await trio.lowlevel.wait_task_rescheduled(abort)
        if answer.error:
            raise decode_error(answer.error)
        return answer.value

    def answered(self, answer: Answer) -> None:
        """Wake whoever asked; an answer to a withdrawn question is late, and ignored."""
        task = self._open.pop(answer.call_id, None)
        if task is not None:
            trio.lowlevel.reschedule(task, outcome.Value(answer))


class NodeCaller:
    """Caller for the proxies of an instance in a worker: each call travels to the node, which makes it."""

    def __init__(self, questions: Questions, sides: Sides) -> None:
        self._questions = questions
        self._sides = sides

    async def call(
        self,
        target: ArtifactBase,
        method: str,
        payload: object,
        *,
        form: Form,
        options: CallOptions = PLAIN,
    ) -> Reply:
        """As Invoker.call: the same replies and errors, the deadline of the scope in force."""
        span, request_id = span_begun(target, method)
        answered = False
        try:
            reply = await self._asked(target, method, payload, span, request_id, options)
            answered = type(reply) is not TimedOut
            return reply
        finally:
            span.close(trio.current_time(), answered=answered)

    async def each(
        self,
        target: ArtifactBase,
        method: str,
        payload: object,
        *,
        form: Form,
        options: CallOptions = PLAIN,
    ) -> Mapping[InstanceId, Outcome | Exception]:
        """As Invoker.each."""
        span, request_id = span_begun(target, method)
        question = self._question(target, method, payload, span, options)
        try:
            answer: Any = await self._questions.ask(question, request_id)
        finally:
            span.close(trio.current_time(), answered=True)
        if answer and isinstance(answer[0], str):  # its time was over, and this is a TimedOut
            span.remote = cast("TimedOut", decode_reply(answer)).hops
            raise self.too_slow(span.hop(trio.current_time()))
        return decode_heard(answer)

    def stream(
        self,
        target: ArtifactBase,
        method: str,
        payload: object,
        *,
        form: Form,
        request_id: str = "",
        options: CallOptions = PLAIN,
        **wishes: Unpack[Wishes],
    ) -> AbstractAsyncContextManager[OpenStream]:
        """As Invoker.stream. Raises BadInput for a balancer."""
        spelt_options(options)
        return opened_by_node(self._sides, target, method, payload, form, request_id, **wishes)

    async def _asked(
        self, target: ArtifactBase, method: str, payload: object, span: Span, request_id: str, options: CallOptions
    ) -> Reply:
        deadline = trio.current_effective_deadline()
        question = self._question(target, method, payload, span, options)
        reply = decode_reply(await self._questions.ask(question, request_id))
        if isinstance(reply, NotStarted | Abandoned):
            raise BadInput(f"the node answered a call with {reply!r}")
        if isinstance(reply, TimedOut):
            span.remote = reply.hops
            if trio.current_time() >= span.began_s + question.remaining_s:
                await trio.sleep_until(deadline)  # so that fail_after and move_on_after keep their meaning
            return TimedOut(span.hop(trio.current_time()))
        return reply

    def _question(
        self, target: ArtifactBase, method: str, payload: object, span: Span, options: CallOptions
    ) -> CallOut:
        left_s = trio.current_effective_deadline() - span.began_s
        return CallOut(
            self._questions.new_id(),
            str(target),
            method,
            left_s - reserve_s(left_s),
            payload,
            spelt_options(options),
            dict(passed_on(RUNNING.get())),
        )

    def too_slow(self, hops: Hop) -> trio.TooSlowError:
        """As Invoker.too_slow."""
        return tell(trio.TooSlowError(path_text(hops)), hops)


def spelt_options(options: CallOptions) -> dict[str, Any]:
    """The options that were set, as plain data. Raises BadInput for a balancer: an object stays in its process."""
    if options.balancer is not None:
        raise BadInput(
            "a call from a worker process cannot bring a balancer; give the slice an affinity, or host it in the node"
        )
    set_ = {field.name: getattr(options, field.name) for field in attrs.fields(CallOptions)}
    return {name: value for name, value in set_.items() if value != getattr(PLAIN, name)}


class NodeMap:
    """MapBackend of a map of the cluster: each access travels to the node."""

    def __init__(self, questions: Questions, name: str) -> None:
        self._questions = questions
        self._name = name

    async def get(self, key: bytes) -> RawEntry | None:
        found = await self._ask("get", key)
        return None if found is None else _entry(found)

    async def apply(self, changes: Mapping[bytes, bytes | None], if_versions: Mapping[bytes, int]) -> bool:
        return await self._ask("apply", list(changes.items()), list(if_versions.items())) is True

    async def scan(self, prefix: bytes, after: bytes | None, limit: int) -> Sequence[RawEntry]:
        return [_entry(plain) for plain in cast("list[object]", await self._ask("scan", prefix, after, limit))]

    async def count(self) -> int:
        return cast("int", await self._ask("count"))

    async def _ask(self, operation: str, *arguments: object) -> object:
        return await self._questions.ask(MapAccess(self._questions.new_id(), self._name, operation, list(arguments)))


def _entry(plain: object) -> RawEntry:
    key, value, version = cast("tuple[bytes, bytes, int]", plain)
    return RawEntry(key, value, version)
