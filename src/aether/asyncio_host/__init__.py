"""A cluster inside an asyncio application: trio runs as a guest of its event loop, in the same thread.

Knows: asyncio's side of a call, the life of the guest; room cluster for everything behind it.
Never: a second thread, signal handlers, tasks that outlive `open_cluster`'s block.
"""

from aether.asyncio_host.bridge import CallTooSlow
from aether.asyncio_host.hosted import HostedCluster, open_cluster

__all__ = ["CallTooSlow", "HostedCluster", "open_cluster"]
