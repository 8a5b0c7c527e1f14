"""aether: slices over nodes. The public names are exported here and nowhere else.

Knows: which names are public; docs/reference/api.md has a heading for each.
Never: names that shadow builtins in `__all__`: `slice` and `map` are reached as `aether.slice` and `aether.map`.
Holds: the runtime is imported when `Cluster`, `LocalCluster` or `run` is first used, so that importing aether is quick.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from aether.errors import (
    AddressInUse,
    AetherError,
    BadInput,
    CallFailed,
    Conflict,
    ContractError,
    DataDirectoryInUse,
    Draining,
    IdentityMismatch,
    NoInstance,
    NoQuorum,
    NotFound,
    NotInContract,
    NotLeader,
    OutcomeUnknown,
    Overloaded,
    QuotaExceeded,
    Rejected,
    SessionExpired,
    StateDiverged,
    StorageCorrupt,
    StorageFailed,
    StreamBroken,
    TryAgain,
)
from aether.model.scale import Scale
from aether.model.security import Credentials, Principal
from aether.slice_api.binding import bind
from aether.slice_api.call import Answers, call, each, send
from aether.slice_api.context_variable import ContextVar
from aether.slice_api.current import CurrentCall, current_call
from aether.slice_api.decorators import (
    background,
    blocking,
    contract,
    delete,
    get,
    head,
    lifespan,
    method,
    patch,
    post,
    put,
    service,
    websocket,
)
from aether.slice_api.decorators import (
    slice as slice,  # kept out of __all__: it shadows a builtin
)
from aether.slice_api.exchange import Body, Event, Request, Response
from aether.slice_api.faults import Fault
from aether.slice_api.fields import (
    config,
    fencing_token,
    secret,
    state,
)
from aether.slice_api.fields import (
    map as map,  # kept out of __all__: it shadows a builtin
)
from aether.slice_api.http import Cookie, Header, Query
from aether.slice_api.log_filter import CallLogFilter
from aether.slice_api.maps import Map, MapEntry, MemoryMap
from aether.slice_api.middleware import Middleware, ServedCall
from aether.slice_api.principal import current_principal
from aether.slice_api.route_options import Cors, RateLimit
from aether.slice_api.static_service import static
from aether.slice_api.streams import stream

if TYPE_CHECKING:
    from aether import asyncio_host
    from aether.cluster import Cluster, LocalCluster, run
    from aether.invocation.balance import Balancer, CallFacts, Candidate
    from aether.slice_api.asgi_service import asgi

__all__ = [
    "AddressInUse",
    "AetherError",
    "Answers",
    "BadInput",
    "Balancer",
    "Body",
    "CallFacts",
    "CallFailed",
    "CallLogFilter",
    "Candidate",
    "Cluster",
    "Conflict",
    "ContextVar",
    "ContractError",
    "Cookie",
    "Cors",
    "Credentials",
    "CurrentCall",
    "DataDirectoryInUse",
    "Draining",
    "Event",
    "Fault",
    "Header",
    "IdentityMismatch",
    "LocalCluster",
    "Map",
    "MapEntry",
    "MemoryMap",
    "Middleware",
    "NoInstance",
    "NoQuorum",
    "NotFound",
    "NotInContract",
    "NotLeader",
    "OutcomeUnknown",
    "Overloaded",
    "Principal",
    "Query",
    "QuotaExceeded",
    "RateLimit",
    "Rejected",
    "Request",
    "Response",
    "Scale",
    "ServedCall",
    "SessionExpired",
    "StateDiverged",
    "StorageCorrupt",
    "StorageFailed",
    "StreamBroken",
    "TryAgain",
    "asgi",
    "asyncio_host",
    "background",
    "bind",
    "blocking",
    "call",
    "config",
    "contract",
    "current_call",
    "current_principal",
    "delete",
    "each",
    "fencing_token",
    "get",
    "head",
    "lifespan",
    "method",
    "patch",
    "post",
    "put",
    "run",
    "secret",
    "send",
    "service",
    "state",
    "static",
    "stream",
    "websocket",
]

_LATER = {
    **dict.fromkeys(("Cluster", "LocalCluster", "run"), "aether.cluster"),
    "asgi": "aether.slice_api.asgi_service",
    **dict.fromkeys(("Balancer", "CallFacts", "Candidate"), "aether.invocation.balance"),
}


if not TYPE_CHECKING:  # checkers know the names from the import above, and must not take any other for granted

    def __getattr__(name: str) -> Any:
        """The names of the runtime, imported when first used: a slice and its unit tests never need them."""
        if name in _LATER:
            return getattr(importlib.import_module(_LATER[name]), name)
        if name == "asyncio_host":
            return importlib.import_module("aether.asyncio_host")
        raise AttributeError(f"module 'aether' has no attribute {name!r}", name=name, obj=sys.modules[__name__])

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
