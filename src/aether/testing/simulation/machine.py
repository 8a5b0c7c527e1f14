"""A small replicated store with sessions: lists by key, each request executed at most once.

Knows: commands `session request key value`, the answers still to be remembered.
Never: consensus, who proposed.
Holds: `digest` chains over everything applied, so that two machines that differ anywhere differ there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import NamedTuple

from aether.consensus.entry import Entry, EntryKind


class Answer(NamedTuple):
    """The position that the value of a request took in its list."""

    session: int
    request: int
    position: int


class SessionMachine:
    """Appends values to lists. The answer of an append is the position that the value took."""

    def __init__(self) -> None:
        self.index: int = 0
        self.digest: str = ""
        self.lists: dict[str, list[str]] = {}
        self.answers: dict[int, tuple[int, int]] = {}  # session -> its last request and the answer

    @staticmethod
    def command(session: int, request: int, key: str, value: str) -> bytes:
        return f"{session} {request} {key} {value}".encode()

    def apply(self, entries: Sequence[Entry]) -> list[Answer]:
        """Apply in order; gives the answer of each command."""
        answers: list[Answer] = []
        for entry in entries:
            assert entry.index == self.index + 1, f"entry {entry.index} applied after {self.index}"
            self.index = entry.index
            if entry.kind is EntryKind.COMMAND:
                session, request, key, value = entry.payload.decode().split(" ")
                position = self._execute(int(session), int(request), key, value)
                answers.append(Answer(int(session), int(request), position))
            chained = f"{self.digest} {entry.index} {entry.term} ".encode() + entry.payload
            self.digest = hashlib.sha256(chained).hexdigest()[:16]
        return answers

    def _execute(self, session: int, request: int, key: str, value: str) -> int:
        if self.is_repeat(session, request):
            return self.answers[session][1]
        values = self.lists.setdefault(key, [])
        values.append(value)
        self.answers[session] = (request, len(values))
        return len(values)

    def is_repeat(self, session: int, request: int) -> bool:
        """Whether this request was executed before: clients send one at a time, so the last is enough."""
        return self.answers.get(session, (0, 0))[0] >= request

    def snapshot(self) -> bytes:
        return json.dumps([self.index, self.digest, self.lists, [[s, *a] for s, a in self.answers.items()]]).encode()

    def restore(self, data: bytes) -> None:
        self.index, self.digest, self.lists, answers = json.loads(data)
        self.answers = {session: (request, answer) for session, request, answer in answers}
