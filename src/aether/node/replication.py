"""The replicated store of one node with what it needs: transport, consensus, the store's service.

Knows: the order in which they are built, what each is told of the configuration.
Never: who runs them (node/node.py), calls, instances, members.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aether.consensus.config import RaftConfig
from aether.consensus.service import ConsensusService
from aether.kv.keys import ClusterRow
from aether.kv.service import KvService
from aether.kv.store import Store
from aether.model.ids import ClusterUuid, Incarnation, NodeId
from aether.node.certify import certification
from aether.node.config import NodeConfig
from aether.node.enrolment import admission
from aether.node.messages_table import messages_table
from aether.node.places import placed
from aether.node.seams import OpenedStorage, Seams
from aether.transport.address import join_address
from aether.transport.values import Transport
from aether.wire.session import Identity

if TYPE_CHECKING:
    from aether.node.certification import Certification


class Replication:
    """founders  the voters that the log of this store began with, () when it joined a cluster"""

    founders: tuple[NodeId, ...]
    certification: Certification | None
    transport: Transport
    consensus: ConsensusService
    kv: KvService

    def __init__(
        self,
        config: NodeConfig,
        opened: OpenedStorage,
        seams: Seams,
        incarnation: Incarnation,
    ) -> None:
        self.founders = config.voters if opened.founders is None else opened.founders
        raft = RaftConfig(
            node=config.node,
            voters=self.founders,
            random=seams.rng,
            lease_reads=config.lease_reads,
            priority=config.priority,
            entries_kept=config.snapshot_entries // 5,
        )
        identity = Identity(
            cluster=config.cluster,
            node=config.node,
            store=opened.store,
            incarnation=incarnation,
            boots=opened.boots,
            address=join_address(config.advertise, config.port) if config.advertise and config.port else "",
            initial=self.founders,
        )
        self.certification = certification(config, seams.wall)
        wrap = self.certification.wrap if self.certification is not None else None
        self.transport = seams.make_transport(config, identity, messages_table(), admission(lambda: self.kv), wrap)
        store = Store()
        storage, machine, send = placed(opened.storage, store, self.transport.send, seams.reach)
        self.consensus = ConsensusService(
            raft,
            storage,
            machine,
            send,
            seams.work,
            entries_between_snapshots=config.snapshot_entries,
            group=store.group,
        )
        self.kv = KvService(
            config.node,
            incarnation,
            self.consensus,
            store,
            send,
            seams.wall,
            lambda: ClusterRow(uuid=ClusterUuid(seams.new_uuid()), name=config.cluster),
        )
        if self.certification is not None:
            self.certification.attach(self.kv, self.transport, seams.work)
