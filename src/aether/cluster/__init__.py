"""What an application embeds: one node, several nodes in this process, or a script's one-liner.

Knows: how nodes are opened, awaited and left.
Never: what a node is made of (room node).
"""

from aether.cluster.embedded import Cluster
from aether.cluster.local import LocalCluster
from aether.cluster.runner import run, run_node

__all__ = ["Cluster", "LocalCluster", "run", "run_node"]
