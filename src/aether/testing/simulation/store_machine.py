"""The real replicated store as the state machine of a simulation: its sessions must recognise every repeat.

Knows: the store's commands; how a client of the simulation becomes a session of the store.
Never: the store's insides.
Holds: recognising repeats is left to the store alone; its state hash is part of the digest.
"""

from __future__ import annotations

import base64
import hashlib
import json

from aether.consensus.entry import EntryKind, new_entry
from aether.kv.commands import Apply, OpenSession, encode_command, stamped
from aether.kv.store import Store
from aether.model.ids import Incarnation, LogIndex, NodeId, Term
from aether.testing.simulation.machine import SessionMachine

_STAMP_MS = 1  # log time stands still: no session expires


class StoreMachine(SessionMachine):
    """Lists by key, each one row of a `Store`. The answer of an append is the position of its value."""

    def __init__(self) -> None:
        super().__init__()
        self._store = Store()
        self._sessions: dict[int, int] = {}  # client -> session of the store

    def _execute(self, session: int, request: int, key: str, value: str) -> int:
        if session not in self._sessions:
            self._feed(OpenSession(NodeId(f"client-{session}"), Incarnation("sim"), 1))
            self._sessions[session] = self._store.revision
        values = [*self.lists.get(key, []), value]
        change = (f"sim/{key}", json.dumps(values).encode())
        self._feed(Apply(self._sessions[session], request, request, (), (change,)))
        self.lists[key] = self._read(key)
        self.digest = hashlib.sha256(self.digest.encode() + self._store.state_hash).hexdigest()[:16]
        return self.lists[key].index(value) + 1

    def _feed(self, command: Apply | OpenSession) -> None:
        payload = stamped(encode_command(command), _STAMP_MS)
        self._store.apply([new_entry(LogIndex(self._store.revision + 1), Term(1), EntryKind.COMMAND, payload)])

    def _read(self, key: str) -> list[str]:
        row = self._store.get(f"sim/{key}")
        values: list[str] = json.loads(row.value) if row is not None else []
        return values

    def snapshot(self) -> bytes:
        state = base64.b64encode(self._store.snapshot()).decode()
        return json.dumps([self.index, self.digest, self._store.revision, list(self._sessions.items()), state]).encode()

    def restore(self, data: bytes) -> None:
        index, digest, revision, sessions, state = json.loads(data)
        self.index: int = index
        self.digest: str = digest
        self._sessions = dict(sessions)
        self._store.restore(base64.b64decode(state), LogIndex(revision))
        self.lists: dict[str, list[str]] = {
            key.removeprefix("sim/"): json.loads(row.value) for key, row in self._store.scan("sim/")
        }
