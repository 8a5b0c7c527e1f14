"""Context variables that follow calls over nodes.

Knows: typed values under a name, their spelling as plain data, how much of it one call may carry.
Never: which calls are made: the runtime sends on what is set, also values of variables that this process does not know.
Holds: the value set last in this task, or in the tasks that it comes from, is what the callee reads; what a callee sets
       its caller never sees. All values of one call together are bounded.
"""

from __future__ import annotations

import contextvars
import re
from collections.abc import Mapping
from types import MappingProxyType, TracebackType
from typing import Any, Final, Generic, Self, TypeVar, cast, overload

from typing_extensions import TypeForm

from aether.errors import BadInput, ContractError
from aether.model.limits import CALL_CONTEXT_BYTES_MAX, CALL_CONTEXT_ENTRIES_MAX
from aether.slice_api.annotations import NoCodec
from aether.slice_api.codec import Form, codec_of
from aether.slice_api.current import NOTHING_CARRIED, RUNNING, Running
from aether.slice_api.maps import pack, unpack
from aether.slice_api.misfit import Misfit

T = TypeVar("T")

_NAME: Final = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", re.ASCII)
_NAME_CHARS_MAX: Final = 63
_MISSING: Final = object()


class ContextToken:
    """What `ContextVar.set` returns: give it to `reset`, or use it as a context manager that does."""

    def __init__(self, token: contextvars.Token[Running | None]) -> None:
        self._token = token

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        RUNNING.reset(self._token)


class ContextVar(Generic[T]):
    """A context variable that travels: calls made while it is set carry its value, to the last hop.

        TENANT = aether.ContextVar("shop.tenant", str, default="")

        with TENANT.set("acme"):
            await self.orders.place(...)  # TENANT.get() is "acme" there, on whatever node, and in what that calls

    name     the same on all nodes: dotted, at most 63 characters
    type     anything with a codec
    default  what `get` returns when nothing is set; without one it raises LookupError

    Meant for little things that everybody needs, such as a tenant or a locale: all variables of a call together have at
    most 8 KiB. What a method is about belongs into its parameters. Raises ContractError for a wrong name or type.
    """

    @overload
    def __init__(self, name: str, type: type[T], *, default: T = ...) -> None: ...
    @overload
    def __init__(self, name: str, type: TypeForm[T], *, default: T = ...) -> None: ...
    def __init__(self, name: str, type: Any, *, default: Any = _MISSING) -> None:  # noqa: A002 - as in attrs.field
        if _NAME.fullmatch(name) is None or len(name) > _NAME_CHARS_MAX:
            raise ContractError(f'{name!r} is no name of a context variable; write dotted names, as "shop.tenant"')
        try:
            self._codec = codec_of(type, Form.WIRE)
        except NoCodec as error:
            raise ContractError(f"context variable {name}{error.path}: {error.reason}") from None
        self.name: str = name
        self._default = default

    def get(self) -> T:
        """The value set here or by the callers, else the default. Raises LookupError when there is neither.

        BadInput when a caller's value does not fit the type, as between versions that disagree about it.
        """
        running = RUNNING.get()
        raw = None if running is None else running.carried.get(self.name)
        if raw is not None:
            return self._decoded(raw)
        if self._default is _MISSING:
            raise LookupError(f"the context variable {self.name} is not set and has no default")
        return cast("T", self._default)

    def set(self, value: T) -> ContextToken:
        """Set it for this task and the calls that it makes: for a block, in `with`; else until `reset`.

        Raises BadInput when `value` does not fit the type, or all variables together become larger than a call may
        carry.
        """
        running = RUNNING.get() or Running()
        carried = {**running.carried, self.name: self._encoded(value)}
        if len(carried) > CALL_CONTEXT_ENTRIES_MAX or _size(carried) > CALL_CONTEXT_BYTES_MAX:
            raise BadInput(
                f"context variable {self.name}: {len(carried)} variables of {_size(carried)} bytes",
                (f"a call carries at most {CALL_CONTEXT_ENTRIES_MAX} of {CALL_CONTEXT_BYTES_MAX} bytes together",),
            )
        return ContextToken(RUNNING.set(running._replace(carried=MappingProxyType(carried))))

    def reset(self, token: ContextToken) -> None:
        """As it was before the `set` that returned `token`."""
        token.__exit__(None, None, None)

    def __repr__(self) -> str:
        return f"<aether.ContextVar {self.name}>"

    def _encoded(self, value: T) -> bytes:
        try:
            return pack(self._codec.encode(value))
        except Misfit as error:
            raise BadInput(f"context variable {self.name}", error.lines("value")) from None

    def _decoded(self, raw: bytes) -> T:
        try:
            return cast("T", self._codec.decode(unpack(raw)))
        except Misfit as error:
            raise BadInput(f"context variable {self.name}, set by a caller", error.lines("value")) from None
        except ValueError:
            raise BadInput(f"context variable {self.name}, set by a caller", ("it is no msgpack",)) from None


def read_carried(plain: object) -> Mapping[str, bytes]:
    """The variables that a call from another node carries. Nothing of them when they break a bound or are no bytes."""
    if not isinstance(plain, dict):
        return NOTHING_CARRIED
    named = cast("dict[object, object]", plain)
    if len(named) > CALL_CONTEXT_ENTRIES_MAX or not all(
        isinstance(name, str) and isinstance(raw, bytes) for name, raw in named.items()
    ):
        return NOTHING_CARRIED
    carried = cast("dict[str, bytes]", named)
    return carried if _size(carried) <= CALL_CONTEXT_BYTES_MAX else NOTHING_CARRIED


def _size(carried: Mapping[str, bytes]) -> int:
    return sum(len(name) + len(raw) for name, raw in carried.items())
