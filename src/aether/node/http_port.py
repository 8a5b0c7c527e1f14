"""The HTTP port of a node: its routes, what stands before them, and who carries their calls.

Knows: which parts answer requests to slices.
Never: when the port opens or closes.
"""

from __future__ import annotations

from collections.abc import Callable

from aether.invocation.service import Invoker
from aether.kv.service import KvService
from aether.model.artifact import ArtifactBase
from aether.node.answers import SliceCalls
from aether.node.config import NodeConfig
from aether.node.route_cache import RouteCache
from aether.web.config import WebConfig
from aether.web.gate_service import Gate, Guard
from aether.web.own_pages import OwnPages
from aether.web.service import WebServer
from aether.web.slices_service import SliceHandler


def slice_handler(
    config: NodeConfig,
    kv: KvService,
    invoker: Invoker,
    ready: Callable[[], bool],
    state: Callable[[ArtifactBase], tuple[str, str]],
    guard: Guard | None,
) -> SliceHandler:
    """What answers the slices' routes, and the pages about them."""
    gate = Gate(config.cors, guard)
    calls = SliceCalls(invoker)
    routes = RouteCache(kv, gate.table_changed)
    return SliceHandler(
        routes,
        calls,
        ready,
        state=state,
        confirm=kv.barrier,
        opened=calls.opened,
        gate=gate,
        pages=OwnPages(routes.published, config.cluster) if config.docs else lambda _: None,
    )


def http_server(config: NodeConfig, handler: SliceHandler) -> WebServer:
    """The server of `handler`; `config` says where it listens."""
    web = WebConfig(bind=config.bind, port=config.http_port or 0, option="--http-port").with_settings(config.settings)
    return WebServer(handler, web, streams_body=handler.streams_body, leaving=handler.leaving)
