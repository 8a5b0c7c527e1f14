"""From what came of a call to what the HTTP port answers, and back to errors.

Knows: the replies of invocation, the slice answers of web.
Never: HTTP bytes, endpoints.
"""

from __future__ import annotations

import itertools
import re
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Generator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any, Final, cast

from aether.errors import BadInput, NoInstance
from aether.invocation.proxy import failed_error
from aether.invocation.reply import Done, Failed, Faulted, Form, NotStarted, Reply, TimedOut
from aether.invocation.rules import carried_on
from aether.invocation.service import Invoker
from aether.invocation.streaming import Input
from aether.model.artifact import ArtifactBase
from aether.model.limits import IDEMPOTENCY_KEY_CHARS_MAX
from aether.model.trace import parse_trace
from aether.slice_api.call import PLAIN, CallOptions
from aether.slice_api.current import NOTHING_CARRIED, RUNNING, Running
from aether.slice_api.http import HttpInput
from aether.slice_api.principal import carried_principal
from aether.web.slices import FaultAnswer, Faulting, SliceAnswer, answered

_KEY: Final = "idempotency-key"
_CREATING: Final = ("POST", "PATCH")
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\["\\])*)"')


class SliceCalls:
    """Calls made over HTTP, carried by the Invoker."""

    def __init__(self, invoker: Invoker) -> None:
        self._invoker = invoker
        self._keys = f"node-{secrets.token_hex(8)}"
        self._numbers = itertools.count(1)

    def __call__(
        self, target: ArtifactBase, method: str, asked: HttpInput, request_id: str
    ) -> SliceAnswer | Awaitable[SliceAnswer]:
        """The answer, now or when awaited, or the error that web turns into a problem.

        The Idempotency-Key of a POST or PATCH is the key of the call.
        Raises CallFailed, OutcomeUnknown, NoInstance, BadInput, trio.TooSlowError.
        """
        key = client_key(asked)
        running = self._running(asked, request_id)
        self._give_key(asked)
        if key or running is not None:
            return self._called(target, method, asked, request_id, CallOptions(key=key) if key else PLAIN, running)
        reply = self._invoker.begin(target, method, asked, form=Form.HTTP, request_id=request_id)
        if type(reply) is Done:
            return answered(reply.payload)
        return (
            self._later(target, reply) if isinstance(reply, Awaitable) else slice_answer(self._invoker, target, reply)
        )

    async def _later(self, target: ArtifactBase, making: Awaitable[Reply]) -> SliceAnswer:
        return slice_answer(self._invoker, target, await making)

    async def _called(
        self,
        target: ArtifactBase,
        method: str,
        asked: HttpInput,
        request_id: str,
        options: CallOptions,
        running: Running | None,
    ) -> SliceAnswer:
        with _told(running):
            reply = await self._invoker.call(
                target, method, asked, form=Form.HTTP, request_id=request_id, options=options
            )
        return slice_answer(self._invoker, target, reply)

    @asynccontextmanager
    async def opened(
        self,
        artifact: ArtifactBase,
        method: str,
        asked: HttpInput,
        request_id: str,
        inputs: Mapping[str, AsyncIterator[Any]],
    ) -> AsyncGenerator[AsyncIterator[object]]:
        """The stream of a method, whose items begin with a head. Raises as a call does, and Faulting."""

        def error(reply: Reply) -> BaseException:
            try:
                answer = slice_answer(self._invoker, artifact, reply)
            except Exception as error:  # noqa: BLE001 - handed to whoever reads the stream
                return error
            return Faulting(cast("FaultAnswer", answer))

        self._give_key(asked)
        given = {name: Input(source) for name, source in inputs.items()}
        async with AsyncExitStack() as stack:
            with _told(self._running(asked, request_id)):
                opening = self._invoker.stream(
                    artifact,
                    method,
                    asked,
                    form=Form.HTTP,
                    request_id=request_id,
                    inputs=given,
                    error=error,
                )
                items = await stack.enter_async_context(opening)
            yield items

    def _running(self, asked: HttpInput, request_id: str) -> Running | None:
        """What the calls made for a request are told as. None: as what they are, since nothing is to be told."""
        traceparent = asked.headers.get("traceparent", "")
        fields = self._invoker.ruled_fields
        if not traceparent and not fields and RUNNING.get() is None:
            return None
        carried = carried_on(asked.headers, asked.cookies, fields) if fields else NOTHING_CARRIED
        if principal := carried_principal():
            carried = {**carried, **principal}
        trace = parse_trace(traceparent, asked.headers.get("tracestate", ""))
        return Running(request_id=request_id, incoming=trace, carried=carried)

    def _give_key(self, asked: HttpInput) -> None:
        """An Idempotency-Key, where a client that creates something sent none.

        It is the same in all repeats that the runtime makes of one request, so that a method can recognise them.
        """
        if asked.verb in _CREATING and not asked.headers.get(_KEY):
            headers: Any = asked.headers
            headers[_KEY] = f"{self._keys}-{next(self._numbers)}"


def client_key(asked: HttpInput) -> str:
    """The key that the client of a POST or PATCH sent, "" = none: a quoted string as in RFC 9651, or the bare text.

    Raises BadInput, malformed, for one that is empty, too long or not of visible characters.
    """
    sent = asked.headers.get(_KEY)
    if sent is None or asked.verb not in _CREATING:
        return ""
    quoted = _QUOTED.fullmatch(sent.strip())
    key = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else sent.strip()
    if not key or len(key) > IDEMPOTENCY_KEY_CHARS_MAX or not key.isascii() or not key.isprintable():
        rule = f"1 to {IDEMPOTENCY_KEY_CHARS_MAX} visible ASCII characters, in double quotes or bare; a UUID is best"
        raise BadInput(f"Idempotency-Key: {sent[:40]!r} is none", (rule,), malformed=True)
    return key


@contextmanager
def _told(running: Running | None) -> Generator[None]:
    """The calls made inside belong to what the request says of itself: its trace, what rules look at."""
    token = RUNNING.set(running)
    try:
        yield
    finally:
        RUNNING.reset(token)


def slice_answer(invoker: Invoker, target: ArtifactBase, reply: Reply) -> SliceAnswer:
    match reply:
        case Done(payload):
            return answered(payload)
        case Faulted(fault):
            return FaultAnswer(fault.name, fault.status, fault.title, fault.detail, fault.fields)
        case Failed():
            raise failed_error(reply)
        case TimedOut(hops):
            raise invoker.too_slow(hops)
        case NotStarted(reason):
            raise NoInstance(str(target), "no instance took the call", reason)
