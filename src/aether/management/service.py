"""The admin API as one handler of the web server.

Knows: access rules, the endpoint table, reads after a revision, waiting for instances.
Never: sockets, deployment decisions; it asks the operator and reads the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from aether.management.access import AccessRules
from aether.management.view import ClusterView, ConsensusFacts, LocalNode, Operator
from aether.model.ids import NodeId
from aether.web.request import Request, Response


class ManagementApi:
    """Answers the management port: `await api(request)`.

    view       the replicated rows as applied here
    consensus  this node's newest ConsensusStatus
    peers      connected peers, this node not among them
    local      facts about this process
    operator   carries out mutations
    access     Host names, admin token, insecure
    """

    def __init__(
        self,
        *,
        view: ClusterView,
        consensus: Callable[[], ConsensusFacts],
        peers: Callable[[], Collection[NodeId]],
        local: LocalNode,
        operator: Operator,
        access: AccessRules,
    ) -> None:
        self._view = view
        self._consensus = consensus
        self._peers = peers
        self._local = local
        self._operator = operator
        self._access = access

    async def __call__(self, request: Request) -> Response:
        """The answer. AetherErrors go up to the server, which shows them as problems."""
        raise NotImplementedError
