"""What stands around every call that a node serves, over HTTP or not.

Knows: what a middleware is told, and the order of several.
Never: endpoints, HTTP bytes, how a method is run.
Holds: the first in the list is the outermost; one that raises before it has yielded refuses the call, and those inside
       it never hear of it; none can swallow what a method raised.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing
from types import MappingProxyType
from typing import Any, Final, Protocol

import attrs

from aether.slice_api.http import HttpInput

NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


@attrs.frozen(kw_only=True)
class ServedCall:
    """A call as a middleware sees it, before its method runs.

    slice, method   names of the class and of its method; artifact  `group:artifact:version`; instance, node  where
    stream          the method is a stream: the block lasts as long as it does
    arguments       by name, structured; those that are streams are left out. Empty for a slice in a worker process
    verb, template  of the HTTP route, "" for a call of another slice; headers  of the request, lower-case names
    """

    slice: str
    method: str
    artifact: str
    instance: str
    node: str
    stream: bool = False
    arguments: Mapping[str, Any] = NOTHING
    verb: str = ""
    template: str = ""
    headers: Mapping[str, str] = NOTHING


class Middleware(Protocol):
    """`@asynccontextmanager async def timed(call): ...; yield; ...`: entered before each call, left after it."""

    def __call__(self, call: ServedCall, /) -> AbstractAsyncContextManager[object]: ...


def served_call(about: ServedCall, method: str, arguments: Mapping[str, Any], request: HttpInput | None) -> ServedCall:
    """The description of one call of the slice that `about` describes."""
    frozen = MappingProxyType(dict(arguments))
    if request is None:
        return attrs.evolve(about, method=method, arguments=frozen)
    return attrs.evolve(
        about,
        method=method,
        arguments=frozen,
        verb=request.verb,
        template=request.template,
        headers=MappingProxyType(dict(request.headers)),
    )


async def inside(middleware: Sequence[Middleware], call: ServedCall, run: Callable[[], Awaitable[Any]]) -> Any:
    """What `run` returns, inside all of `middleware`. Raises what they and it raise."""
    async with AsyncExitStack() as stack:
        for each in middleware:
            await stack.enter_async_context(each(call))
        return await run()
    raise _swallowed(call)


async def inside_stream(
    middleware: Sequence[Middleware], call: ServedCall, run: Callable[[], AsyncGenerator[Any]]
) -> AsyncGenerator[Any]:
    """The items of `run`, inside all of `middleware`."""
    async with AsyncExitStack() as stack:
        for each in middleware:
            await stack.enter_async_context(each(call))
        async with aclosing(run()) as items:
            async for item in items:
                yield item
        return
    raise _swallowed(call)


def _swallowed(call: ServedCall) -> RuntimeError:
    return RuntimeError(
        f"a middleware swallowed what {call.slice}.{call.method} raised, so its caller has no answer; raise it again"
    )
