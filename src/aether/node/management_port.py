"""The admin API of a node, made of the node's parts.

Knows: which part answers which question of the API.
Never: HTTP, decisions.
"""

from __future__ import annotations

import logging
from collections.abc import Collection

from aether.consensus.service import ConsensusService
from aether.kv.service import KvService
from aether.management.access import AccessRules, Caller
from aether.management.actors import Actors
from aether.management.backup_source import BackupSource
from aether.management.change_escort import Recorder
from aether.management.kv_view import KvClusterView
from aether.management.row_store import KvRows
from aether.management.service import ManagementApi
from aether.node.config import NodeConfig
from aether.node.facts import NodeFacts
from aether.node.operations import Operations
from aether.node.seams import Seams
from aether.security.identity import CertificateRole, read_identity
from aether.transport.values import Transport

_log = logging.getLogger("aether.node")


def management_api(
    config: NodeConfig,
    kv: KvService,
    consensus: ConsensusService,
    transport: Transport,
    facts: NodeFacts,
    actors: Actors,
    backups: BackupSource,
    token: str,
    operations: Operations,
    seams: Seams,
    certified_hosts: Collection[str] = (),
) -> ManagementApi:
    """What answers the management port.

    token  of the local administrator; certified_hosts  names of this node that its certificate holds
    """
    if config.insecure:
        _log.warning("--insecure: whoever reaches the management port of %s may do almost anything", config.node)
    names = filter(None, (config.advertise, config.bind, *certified_hosts))
    hosts = frozenset(f"[{name}]" if ":" in name else name for name in names)
    return ManagementApi(
        view=KvClusterView(kv),
        consensus=lambda: consensus.status,
        peers=transport.connected,
        local=facts,
        actors=actors,
        rows=KvRows(kv),
        backups=backups,
        access=AccessRules(
            token=token,
            insecure=config.insecure,
            hosts=hosts,
            tokens=operations.access.tokens.find,
            wall=seams.wall,
            identify=certified_caller,
            silent_s=lambda: operations.local_events.silent_s,
        ),
        denials=operations.access.denials,
        recorder=Recorder(config.node, seams.wall, seams.new_id),
    )


def certified_caller(uri: str) -> Caller | None:
    """Who asks the admin API with the certificate of this URI; None for a node: nodes ask nothing there."""
    who = read_identity(uri)
    return None if who.role is CertificateRole.NODE else Caller(who.name, who.role.role)
