"""An ASGI application as a slice: `aether.asgi(app, at="/admin")`.

Knows: ASGI's lifespan protocol; the routes and the slice class that stand for an application.
Never: one request (module asgi_exchange_service), sockets.
Holds: the application is started before the first request and told to end after the last, inside the instance's own
       lifespan; its tasks live in the instance's nursery.
Paper: ASGI 3.0, lifespan 2.0.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final, cast

import trio

from aether.errors import ContractError
from aether.model.limits import CALL_DEADLINE_S, SLICE_CONCURRENCY_DEFAULT, SLICE_QUEUE_DEFAULT
from aether.model.scale import Scale
from aether.slice_api.asgi_exchange_service import Application, Exchange, Message
from aether.slice_api.decorators import lifespan, service
from aether.slice_api.exchange import Body, Request, Response
from aether.slice_api.fields import state
from aether.slice_api.marks import is_protocol, is_slice, marked

SHUTDOWN_S: Final = 5.0
_READING: Final = ("GET",)
_WRITING: Final = ("POST", "PUT", "PATCH", "DELETE", "OPTIONS")

_log = logging.getLogger("aether.slice")


def asgi(
    application: Application,
    /,
    *,
    at: str,
    name: str = "",
    artifact: str | None = None,
    needs: Mapping[str, type] | None = None,
    instances: int | Scale = 1,
    concurrency: int = SLICE_CONCURRENCY_DEFAULT,
    queue: int = SLICE_QUEUE_DEFAULT,
    deadline_s: float = CALL_DEADLINE_S,
) -> type:
    """A slice class that answers every path below `at` by an ASGI application, such as a FastAPI or Starlette one.

    application  run under trio: Starlette, FastAPI and whatever else is written for anyio do
    at           where it is mounted, `/admin`; its `root_path`. "/" answers whatever no other slice does
    name         of the class; by default made from `at`; artifact  as in `aether.slice`, with instances, concurrency,
                 queue; deadline_s  within which an answer must begin
    needs        slices and Protocols that it calls, by name: in a request they are `request.state.<name>`

    Its lifespan is run with each instance. Bodies stream both ways, a client that leaves cancels its request. Raises
    ContractError for an `at` that is no path, and for a need that is neither a slice nor a Protocol.
    """
    wanted = dict(needs or {})
    _check(at, wanted)
    cls = _mounted(application, at.rstrip("/"), name or _name(at), wanted, deadline_s)
    frame = inspect.currentframe()
    if frame is not None and frame.f_back is not None:  # its group is that of the module which mounts it
        cls.__module__ = frame.f_back.f_globals.get("__name__", cls.__module__)
    decorate = service(
        artifact=artifact, instances=instances, concurrency=concurrency, queue=queue, deadline_s=deadline_s
    )
    return cast("type", decorate(cls))


def _check(at: str, needs: Mapping[str, type]) -> None:
    if not at.startswith("/") or "{" in at or "?" in at or "//" in at:
        raise ContractError(f'aether.asgi(at={at!r}): give a path without variables, such as "/admin"')
    for name, needed in needs.items():
        if not (is_slice(needed) or is_protocol(needed)):
            raise ContractError(f"aether.asgi(needs={{{name!r}: {needed!r}}}): give a slice class or a Protocol")
        if not name.isidentifier() or name.startswith("_") or name == "mount":
            raise ContractError(f"aether.asgi(needs={{{name!r}: ...}}): choose another name")


def _name(at: str) -> str:
    """`/my-shop/admin` is MyShopAdmin."""
    words = "".join(c if c.isalnum() else " " for c in at).split()
    return "".join(word.capitalize() for word in words) or "Root"


def _mounted(application: Application, root: str, name: str, needs: Mapping[str, type], deadline_s: float) -> type:
    @lifespan
    async def run(self: Any, nursery: trio.Nursery) -> AsyncIterator[None]:
        mount = _mount(self)
        await mount.start(nursery, {needed: getattr(self, needed) for needed in needs})
        yield
        await mount.stop()

    methods: dict[str, Any] = {**_answering("", f"{root}/{{rest:path}}"), "run": run}
    if root:
        methods |= _answering("_root", root)
    body: dict[str, Any] = {
        "__annotations__": {**needs, "mount": Mount},
        "__doc__": f"The ASGI application at {root or '/'}.",
        "mount": state(factory=lambda: Mount(application, root, deadline_s)),
        **methods,
    }
    for method, function in methods.items():
        function.__name__, function.__qualname__ = method, f"{name}.{method}"
    return type(name, (), body)


def _answering(suffix: str, template: str) -> dict[str, Any]:
    """The methods `read` and `write`, named with `suffix`, that hand what is asked at `template` to the application."""
    return {
        f"read{suffix}": _answer(_READING, template, idempotent=True),
        f"write{suffix}": _answer(_WRITING, template, idempotent=False),
    }


def _answer(verbs: Sequence[str], template: str, *, idempotent: bool) -> Callable[..., Any]:
    async def at_root(self: Any, request: Request, content: Body) -> Response:
        """Whatever the application answers."""
        return await _mount(self).answer(request, content)

    async def below(self: Any, request: Request, content: Body, rest: str) -> Response:
        """Whatever the application answers."""
        return await _mount(self).answer(request, content)

    function = below if template.endswith("}") else at_root
    marks = marked(function)
    marks.routes, marks.idempotent = tuple((verb, template) for verb in verbs), idempotent
    return function


def _mount(owner: Any) -> Mount:
    mount: Mount = owner.mount
    return mount


class Mount:
    """An application inside one instance."""

    def __init__(self, application: Application, root: str, deadline_s: float) -> None:
        self._deadline_s = deadline_s
        self._application = application
        self._root = root
        self._state: dict[str, Any] = {}
        self._nursery: trio.Nursery | None = None
        self._asked, self._asks = trio.open_memory_channel[Message](1)
        self._answered = trio.Event()
        self._failure = ""
        self._lives = False
        self._stopping = False

    async def start(self, nursery: trio.Nursery, given: Mapping[str, object]) -> None:
        """Run the application's lifespan in `nursery` and wait for its start-up. RuntimeError when that failed."""
        self._nursery = nursery
        self._state.update(given)
        self._lives = True
        nursery.start_soon(self._live, name=f"lifespan of the ASGI application at {self._root or '/'}")
        await self._ask("lifespan.startup")
        if self._failure:
            raise RuntimeError(f"the ASGI application at {self._root or '/'} did not start: {self._failure}")

    async def stop(self) -> None:
        """Let it shut down, at most SHUTDOWN_S."""
        self._stopping = True
        if self._lives:
            with trio.move_on_after(SHUTDOWN_S):
                await self._ask("lifespan.shutdown")

    async def answer(self, request: Request, content: Body) -> Response:
        """One request. RuntimeError outside the lifespan of a running instance."""
        if self._nursery is None:
            raise RuntimeError("an ASGI application answers inside a running slice; in a unit test call it by itself")
        exchange = Exchange(request, content, self._root, dict(self._state))
        return await exchange.answer(self._application, self._nursery, self._deadline_s)

    async def _ask(self, kind: str) -> None:
        self._answered = trio.Event()
        await self._asked.send({"type": kind})
        await self._answered.wait()

    async def _live(self) -> None:
        scope: Message = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self._state}
        started = False

        async def send(message: Message) -> None:
            nonlocal started
            kind: str = message["type"]
            if not kind.startswith("lifespan."):  # an application that takes every scope for a request
                raise RuntimeError(f"{kind!r} is no message of a lifespan")
            if kind in ("lifespan.startup.failed", "lifespan.shutdown.failed"):
                said = str(message.get("message", ""))  # often a whole traceback
                self._failure = (said.strip().splitlines() or [kind])[-1]
                _log.info("the ASGI application at %s: %s: %s", self._root or "/", kind, said)
            started = started or kind == "lifespan.startup.complete"
            self._answered.set()

        try:
            await self._application(scope, self._asks.receive, send)
        except Exception as error:  # before start-up: the application has no lifespan
            if started and not self._stopping:
                raise
            _log.debug("the ASGI application at %s has no lifespan: %r", self._root or "/", error)
        finally:
            self._lives = False
            self._answered.set()
