"""The HTTP port of a node: its routes, what stands before them, and who carries their calls.

Knows: which parts answer requests to slices.
Never: when the port opens or closes.
"""

from __future__ import annotations

from collections.abc import Callable

from aether.invocation.service import Invoker
from aether.kv.service import KvService
from aether.model.access import ApiTokenRow
from aether.model.artifact import ArtifactBase
from aether.node.answers import SliceCalls
from aether.node.config import NodeConfig
from aether.node.route_cache import RouteCache
from aether.node.route_protection import RouteProtection
from aether.node.seams import Seams
from aether.web.config import WebConfig
from aether.web.gate_service import Gate
from aether.web.listen_service import Listen
from aether.web.own_pages import OwnPages
from aether.web.service import WebServer
from aether.web.slices_service import SliceHandler
from aether.web.tls_service import Tls


def slice_handler(
    config: NodeConfig,
    kv: KvService,
    invoker: Invoker,
    ready: Callable[[], bool],
    state: Callable[[ArtifactBase], tuple[str, str]],
    tokens: Callable[[str], ApiTokenRow | None],
    seams: Seams,
) -> SliceHandler:
    """What answers the slices' routes, and the pages about them."""
    protection = RouteProtection(seams.verify, tokens, seams.wall, config.cluster)
    gate = Gate(config.cors, seams.guard, protection, protection.still)
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


def http_server(config: NodeConfig, handler: SliceHandler, listen: Listen, tls: Tls | None = None) -> WebServer:
    """The server of `handler`; `config` says where `listen` does."""
    web = WebConfig(bind=config.bind, port=config.http_port or 0, option="--http-port").with_settings(config.settings)
    return WebServer(
        handler.begin, web, streams_body=handler.streams_body, leaving=handler.leaving, tls=tls, listen=listen
    )
