"""The decorators of a slice class and its methods.

Knows: which options exist and how each is checked; it only marks functions and hands classes to `definition`.
Never: types, codecs, calls.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from types import CoroutineType
from typing import Any, Final, Literal, Never, ParamSpec, TypeVar, overload

import attrs
from typing_extensions import dataclass_transform

from aether.errors import ContractError
from aether.model.artifact import Artifact
from aether.model.hosts import IN_PROCESS, host_problem
from aether.model.limits import CALL_DEADLINE_S, INSTANCES_MAX, SLICE_CONCURRENCY_DEFAULT, SLICE_QUEUE_DEFAULT
from aether.model.scale import Scale
from aether.slice_api.contract import SliceOptions, define_slice
from aether.slice_api.fields import config, secret
from aether.slice_api.marks import STANDS_FOR, RouteMark, is_protocol, marked
from aether.slice_api.route_options import Cors, RateLimit, options_text, subprotocols_of

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
C = TypeVar("C")
F = TypeVar("F", bound=Callable[..., Any])
Background = TypeVar("Background", bound=Callable[..., Awaitable[None]])
Lifespan = TypeVar("Lifespan", bound=Callable[..., AsyncIterator[None]])


@overload
@dataclass_transform(kw_only_default=True, eq_default=False, field_specifiers=(config, secret, attrs.field))
def slice(cls: type[T], /) -> type[T]: ...  # noqa: A001 - the public name; kept out of __all__
@overload
@dataclass_transform(kw_only_default=True, eq_default=False, field_specifiers=(config, secret, attrs.field))
def slice(  # noqa: A001
    *,
    artifact: str | None = None,
    instances: int | Scale = 1,
    concurrency: int = SLICE_CONCURRENCY_DEFAULT,
    queue: int = SLICE_QUEUE_DEFAULT,
    json_case: Literal["snake", "camel"] = "snake",
    deadline_s: float = CALL_DEADLINE_S,
    host: str = IN_PROCESS,
    memory_mb: int | None = None,
    singleton: bool = False,
) -> Callable[[type[T]], type[T]]: ...
def slice(*classes: Any, **options: Any) -> Any:  # noqa: A001
    """Make a class a slice; the class stays the same object, and a unit test constructs it like any other.

    artifact     `group:artifact:version` or `group:artifact`; by default top-level package (`app` for a script),
                 kebab-case class name, version of the installed distribution (else 0.0.0)
    instances    how many should be ACTIVE, or `aether.Scale(min, max)`: a min of 0 lets the slice sleep
    concurrency, queue  calls running and waiting per instance; `queue` also bounds the calls that a node holds while
                 the slice wakes
    json_case    "camel" renames fields, parameters and path variables at HTTP only
    deadline_s   default deadline of its calls, in seconds
    host         where its instances live: "node", in the process of their node; "process", each in one of its own, with
                 an interpreter, a core and crashes of its own
    memory_mb    with host="process": an instance that uses more MiB is ended and restarted
    singleton    at most one instance in the whole cluster at any time; its maps refuse the writes of one that was
                 replaced without knowing it, and `aether.fencing_token` numbers its instances

    Raises ContractError, with the fix in its message, when the class breaks a rule of contracts.
    """
    frame = inspect.currentframe()  # the names of enclosing functions are looked up from here, once
    if len(classes) == 1 and isinstance(classes[0], type) and not options:
        cls: type[Any] = classes[0]
        return define_slice(cls, SliceOptions(), frame)
    if classes:
        raise ContractError(
            f"aether.slice decorates a class, got {classes[0]!r}: did `from aether import slice` shadow the builtin? "
            "Use `import aether` and `@aether.slice`, or `from aether import service`"
        )
    checked = _options(options)

    def decorate(cls: type[Any]) -> type[Any]:
        return define_slice(cls, checked, inspect.currentframe())

    return decorate


service = slice
"""`slice` under a name that shadows no builtin."""


def contract(artifact: str) -> Callable[[C], C]:
    """On a Protocol: it is the contract of `artifact`, so that no class of it is needed to call it.

    artifact  `group:artifact:version`: the slice that is called, in whatever version runs, and the version that the
              Protocol was written from. `aether contract export` writes such Protocols.

    Raises ContractError for anything but a Protocol, BadInput for wrong coordinates.
    """
    named = Artifact.parse(artifact)

    def mark(cls: C) -> C:
        if not is_protocol(cls):
            raise ContractError(
                f"aether.contract decorates a Protocol, got {cls!r}; a slice says @aether.slice(artifact=...)"
            )
        setattr(cls, STANDS_FOR, named)
        return cls

    return mark


def method(
    *functions: Never, idempotent: bool | None = None, deadline_s: float | None = None, affinity: str | None = None
) -> Callable[[F], F]:
    """State facts about a method of the contract.

    idempotent  it may be repeated after it was started, on another instance too
    deadline_s  its default deadline in seconds, instead of the slice's
    affinity    a parameter: calls with the same value of it prefer the same instance
    """

    if functions:
        raise ContractError("aether.method states facts; write `@aether.method(idempotent=True)`, with parentheses")
    checked_s = _deadline(deadline_s)

    def mark(function: F) -> F:
        marks = marked(function)
        marks.idempotent = marks.idempotent if idempotent is None else idempotent
        marks.deadline_s = checked_s or marks.deadline_s
        marks.affinity = affinity or marks.affinity
        return function

    return mark


def blocking(function: Callable[P, R]) -> Callable[P, CoroutineType[Any, Any, R]]:
    """A method that blocks: a plain `def` that a running slice carries out in a thread. Callers `await` it.

    On a plainly constructed object it runs in place. Raises ContractError when given an `async def`. A cancelled call
    waits for the thread to end.
    """
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise ContractError(f"{_name(function)} is async already; @aether.blocking is for a plain `def` that blocks")
    if inspect.isgeneratorfunction(function):
        raise ContractError(
            f"{_name(function)} is a generator; return a list, or write a stream: `async def` with `yield`"
        )

    @functools.wraps(function)
    async def threaded(*args: P.args, **kwargs: P.kwargs) -> R:
        return await in_thread(args[0] if args else None, function, *args, **kwargs)

    marked(threaded).blocking = function
    return threaded  # type: ignore[return-value]  # an async def returns a CoroutineType at run time


_RUNNER: Final = "__aether_runner__"


def attach_runner(instance: object, runner: Callable[[Callable[[], Any]], Awaitable[Any]]) -> None:
    """Let the blocking methods of `instance` run through `runner`, which carries out a function in a thread."""
    setattr(instance, _RUNNER, runner)


async def in_thread(instance: object, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """What `function` returns: run through the runner of `instance`, in place when it has none."""
    runner = getattr(instance, _RUNNER, None)
    if runner is None:
        return function(*args, **kwargs)
    result: R = await runner(functools.partial(function, *args, **kwargs))
    return result


def get(
    template: str,
    *,
    idempotent: bool = True,
    deadline_s: float | None = None,
    status: int = 200,
    cors: Cors | None = None,
    rate: RateLimit | None = None,
) -> Callable[[F], F]:
    """Serve GET `template`; parameters outside the template come from the query. Idempotent unless said otherwise.

    status  of an answer that is no error; cors  which pages of other origins may read it; rate  how often per client
    """
    return _route("GET", template, idempotent, deadline_s, status, cors, rate)


def head(
    template: str,
    *,
    idempotent: bool = True,
    deadline_s: float | None = None,
    status: int = 200,
    cors: Cors | None = None,
    rate: RateLimit | None = None,
) -> Callable[[F], F]:
    """Serve HEAD `template`; parameters outside the template come from the query. Idempotent unless said otherwise."""
    return _route("HEAD", template, idempotent, deadline_s, status, cors, rate)


def post(
    template: str,
    *,
    idempotent: bool | None = None,
    deadline_s: float | None = None,
    status: int = 200,
    cors: Cors | None = None,
    rate: RateLimit | None = None,
) -> Callable[[F], F]:
    """Serve POST `template`; parameters outside the template are fields of the body. 201 says: made."""
    return _route("POST", template, idempotent, deadline_s, status, cors, rate)


def put(
    template: str,
    *,
    idempotent: bool | None = None,
    deadline_s: float | None = None,
    status: int = 200,
    cors: Cors | None = None,
    rate: RateLimit | None = None,
) -> Callable[[F], F]:
    """Serve PUT `template`; parameters outside the template are fields of the body."""
    return _route("PUT", template, idempotent, deadline_s, status, cors, rate)


def patch(
    template: str,
    *,
    idempotent: bool | None = None,
    deadline_s: float | None = None,
    status: int = 200,
    cors: Cors | None = None,
    rate: RateLimit | None = None,
) -> Callable[[F], F]:
    """Serve PATCH `template`; parameters outside the template are fields of the body."""
    return _route("PATCH", template, idempotent, deadline_s, status, cors, rate)


def delete(
    template: str,
    *,
    idempotent: bool | None = None,
    deadline_s: float | None = None,
    status: int = 200,
    cors: Cors | None = None,
    rate: RateLimit | None = None,
) -> Callable[[F], F]:
    """Serve DELETE `template`; parameters outside the template come from the query."""
    return _route("DELETE", template, idempotent, deadline_s, status, cors, rate)


def websocket(
    template: str, *, cors: Cors | None = None, rate: RateLimit | None = None, subprotocols: Iterable[str] = ()
) -> Callable[[F], F]:
    """Serve a WebSocket at `template`: an async generator whose items are sent, one message each.

    A parameter annotated `AsyncIterator[T]` takes the client's messages. `str` and `bytes` are text and binary frames
    as they are; any other type is JSON in text frames. Other parameters come from the path and the query.

    cors  pages of which other origins may connect; rate  how often one client may
    subprotocols  that the method speaks, the preferred first: the first that the client offers is agreed on, and is
                  all that a parameter `aether.Header("Sec-WebSocket-Protocol")` shows; "" when there is none
    """
    chosen = subprotocols_of(subprotocols)
    return _route("GET", template, None, None, 200, cors, rate, websocket=True, subprotocols=chosen)


def lifespan(function: Lifespan) -> Lifespan:
    """Start, background work and stop of an instance in one place: an async generator that yields once.

    It may take `nursery: trio.Nursery`, owned by the instance and cancelled when it stops. What comes before `yield`
    happens before the first call, what follows after the last.
    """
    marked(function).lifespan = True
    return function


def background(function: Background) -> Background:
    """An `async def` that runs as long as the instance. A crash restarts the instance with back-off."""
    marked(function).background = True
    return function


def _route(
    verb: str,
    template: str,
    idempotent: bool | None,
    deadline_s: float | None,
    status: int,
    cors: Cors | None,
    rate: RateLimit | None,
    *,
    websocket: bool = False,
    subprotocols: Iterable[str] = (),
) -> Callable[[F], F]:
    named = "websocket" if websocket else verb.lower()
    if template.__class__ is not str:
        raise ContractError(f'aether.{named} takes a path template; write `@aether.{named}("/orders")`')
    if status.__class__ is not int or not 200 <= status <= 299:
        raise ContractError(
            f"aether.{named}(status={status!r}): give 200 to 299; an error is a Fault with its own status"
        )
    checked_s = _deadline(deadline_s)
    fact = RouteMark(websocket, status, options_text(cors, rate, subprotocols))

    def mark(function: F) -> F:
        marks = marked(function)
        marks.routes = ((verb, template), *marks.routes)
        marks.facts[verb, template] = fact
        if marks.idempotent is None:
            marks.idempotent = idempotent
        marks.deadline_s = marks.deadline_s or checked_s
        return function

    return mark


def _options(options: dict[str, Any]) -> SliceOptions:
    known = {a.name for a in attrs.fields(SliceOptions)} - {"scale"}
    for name in options:
        if name not in known:
            raise ContractError(f"aether.slice has no option {name!r}; it has {', '.join(sorted(known))}")
    scale = options.get("instances")
    if isinstance(scale, Scale):
        options = {**options, "instances": scale.start, "scale": scale}
    made = SliceOptions(**options)
    for name, lowest, highest in (("instances", 1, INSTANCES_MAX), ("concurrency", 1, None), ("queue", 0, None)):
        value: object = getattr(made, name)
        if type(value) is not int or value < lowest or (highest is not None and value > highest):
            bound = f"at least {lowest}" if highest is None else f"{lowest} to {highest}"
            raise ContractError(f"aether.slice({name}={value!r}): give a whole number, {bound}")
    problem = host_problem(made.host, made.memory_mb)
    if problem:
        raise ContractError(f"aether.slice(host={made.host!r}, memory_mb={made.memory_mb!r}): {problem}")
    if type(made.singleton) is not bool:
        raise ContractError(f"aether.slice(singleton={made.singleton!r}): give True or False")
    most = made.instances if made.scale is None else made.scale.max
    if made.singleton and most != 1:
        raise ContractError(f"aether.slice(singleton=True) runs once; instances says {most}: leave it out")
    if made.json_case not in ("snake", "camel"):
        raise ContractError(f'aether.slice(json_case={made.json_case!r}): give "snake" or "camel"')
    _deadline(made.deadline_s)
    return made


def _deadline(deadline_s: float | None) -> float | None:
    given: object = deadline_s
    number = isinstance(given, int | float) and not isinstance(given, bool)
    if deadline_s is not None and not (number and 0 < deadline_s < float("inf")):
        raise ContractError(f"deadline_s={deadline_s!r}: give seconds above 0; nothing waits without a bound")
    return deadline_s


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__qualname__", repr(function))
