"""The admin API of a node, made of the node's parts.

Knows: which part answers which question of the API.
Never: HTTP, decisions.
"""

from __future__ import annotations

from aether.consensus.service import ConsensusService
from aether.kv.service import KvService
from aether.management.access import AccessRules
from aether.management.actors import Actors
from aether.management.backup_source import BackupSource
from aether.management.kv_view import KvClusterView
from aether.management.row_store import KvRows
from aether.management.service import ManagementApi
from aether.node.config import NodeConfig
from aether.node.facts import NodeFacts
from aether.transport.values import Transport


def management_api(
    config: NodeConfig,
    kv: KvService,
    consensus: ConsensusService,
    transport: Transport,
    facts: NodeFacts,
    actors: Actors,
    backups: BackupSource,
    token: str,
) -> ManagementApi:
    """What answers the management port. token  of the local administrator"""
    names = filter(None, (config.advertise, config.bind))
    hosts = frozenset(f"[{name}]" if ":" in name else name for name in names)
    return ManagementApi(
        view=KvClusterView(kv),
        consensus=lambda: consensus.status,
        peers=transport.connected,
        local=facts,
        actors=actors,
        rows=KvRows(kv),
        backups=backups,
        access=AccessRules(token=token, insecure=config.insecure, hosts=hosts),
    )
