"""From payload to handler.

Knows: the table, the handlers, the counters.
Never: connections.
"""

from __future__ import annotations

import logging
from typing import Final

from aether.model.ids import NodeId
from aether.transport.counters import Counters
from aether.transport.values import Handlers
from aether.wire.lane import Lane
from aether.wire.table import MessageTable

_log: Final = logging.getLogger("aether.transport")


class Dispatch:
    """Hands each message to whoever is registered for its class, at once."""

    def __init__(self, node: NodeId, table: MessageTable, handlers: Handlers, counters: Counters) -> None:
        self._node, self._table, self._counters = node, table, counters
        self._handlers = dict(handlers.message)
        self._unhandled: set[type] = set()

    def deliver(self, sender: NodeId, lane: Lane, payload: bytes) -> None:
        """Decode `payload` and call its handler. Raises BadInput for what cannot be decoded."""
        message, request_id = self._table.decode(payload)
        self._counters.received_frames[lane] += 1
        self._counters.received_bytes[lane] += len(payload)
        handler = self._handlers.get(type(message))
        if handler is None:
            self._ignore(sender, type(message))
        else:
            handler(sender, message, request_id)

    def _ignore(self, sender: NodeId, cls: type) -> None:
        self._counters.unhandled += 1
        if cls not in self._unhandled:
            self._unhandled.add(cls)
            _log.warning("%s: nobody here handles %s, sent by %s", self._node, cls.__name__, sender)
