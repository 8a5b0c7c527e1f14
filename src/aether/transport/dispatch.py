"""From payload to handler.

Knows: the table, the handlers, the counters.
Never: connections.
Holds: what nobody here handles, such as a message of a newer release, is counted, told once, and costs no connection.
"""

from __future__ import annotations

import logging
from typing import Final

from aether.model.ids import NodeId
from aether.transport.counters import Counters
from aether.transport.values import Handlers
from aether.wire.lane import Lane
from aether.wire.table import MessageTable, Unknown

_log: Final = logging.getLogger("aether.transport")
TOLD_MAX: Final = 100
"""Kinds of messages that are told of: a peer may invent as many as there are tags."""


class Dispatch:
    """Hands each message to whoever is registered for its class, at once."""

    def __init__(self, node: NodeId, table: MessageTable, handlers: Handlers, counters: Counters) -> None:
        self._node, self._table, self._counters = node, table, counters
        self._handlers = dict(handlers.message)
        self._unhandled: set[type | Unknown] = set()

    def deliver(self, sender: NodeId, lane: Lane, payload: bytes) -> None:
        """Decode `payload` and call its handler. Raises BadInput for what cannot be decoded."""
        message, request_id = self._table.decode(payload)
        self._counters.received_frames[lane] += 1
        self._counters.received_bytes[lane] += len(payload)
        handler = self._handlers.get(type(message))
        if handler is None:
            self._ignore(sender, message if isinstance(message, Unknown) else type(message))
        else:
            handler(sender, message, request_id)

    def _ignore(self, sender: NodeId, kind: type | Unknown) -> None:
        self._counters.unhandled += 1
        if kind in self._unhandled or len(self._unhandled) >= TOLD_MAX:
            return
        self._unhandled.add(kind)
        if isinstance(kind, Unknown):
            words = "%s: messages with tag %d are ignored; %s, which sends them, runs a newer release"
            _log.warning(words, self._node, kind.tag, sender)
        else:
            _log.warning("%s: nobody here handles %s, sent by %s", self._node, kind.__name__, sender)
