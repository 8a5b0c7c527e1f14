"""Peers as mailboxes: put a message in, it arrives once or not at all, and a lost peer is noticed.

Knows: errors, model, wire, the Work seam.
Never: what a message means, consensus, kv, invocation.
"""

from aether.transport.memory import MemoryTransport
from aether.transport.network import MemoryNetwork
from aether.transport.tcp import TcpTransport
from aether.transport.values import Handlers, Transport, TransportStatistics

__all__ = ["Handlers", "MemoryNetwork", "MemoryTransport", "TcpTransport", "Transport", "TransportStatistics"]
