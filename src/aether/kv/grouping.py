"""Which commands share one entry of the log.

Knows: commands whose meaning is known here, because this leader's callers or peers made them; the limits of a group.
Never: sessions, rows, what a command will come to.
Holds: the order of commands stays; no two requests of a group write the same key, so that a key and a version still
       name one value, as compare-and-set needs; what is not known to be a request has an entry of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias, cast

from aether.kv.commands import STAMP_BYTES, Apply, Command, Group, encode_group, stamped
from aether.model.limits import GROUP_BYTES_MAX, GROUP_REQUESTS_MAX

Expected: TypeAlias = dict[bytes, tuple[int, Command]]
"""payload -> its stamp in milliseconds, and what it says"""


def group(payloads: Sequence[bytes], expected: Expected) -> list[bytes]:
    """The payloads of the entries for these; `expected` then knows the groups in place of their members.

    The stamp of a group is that of its last member, which is the highest: a leader stamps in order.
    """
    if len(payloads) < 2:
        return list(payloads)
    known = [expected.get(payload, _UNKNOWN) for payload in payloads]
    return [
        payloads[start] if end - start == 1 else _joined(payloads[start:end], known[start:end], expected)
        for start, end in _runs(payloads, known)
    ]


def _runs(payloads: Sequence[bytes], known: Sequence[tuple[int, Command | None]]) -> Iterator[tuple[int, int]]:
    """Where each entry begins and ends."""
    start, room = 0, GROUP_BYTES_MAX
    keys: set[str] = set()
    for at, (_, request) in enumerate(known):
        if type(request) is not Apply:
            if at > start:
                yield start, at
            yield at, at + 1
            start, room = at + 1, GROUP_BYTES_MAX
            keys.clear()
            continue
        length, before = len(payloads[at]), len(keys)
        room -= length
        changes = request[4]
        for key, _ in changes:
            keys.add(key)
        if room < 0 or at - start >= GROUP_REQUESTS_MAX or len(keys) < before + len(changes):
            if at > start:
                yield start, at
            start, room = at, GROUP_BYTES_MAX - length
            keys = {key for key, _ in changes}
    if start < len(known):
        yield start, len(known)


def _joined(payloads: Sequence[bytes], known: Sequence[tuple[int, Command | None]], expected: Expected) -> bytes:
    """One payload for all of these, which `expected` learns."""
    stamp_ms = known[-1][0]
    joined = stamped(encode_group([payload[STAMP_BYTES:] for payload in payloads]), stamp_ms)
    for payload in payloads:
        expected.pop(payload, None)  # twice the same: a repeat of a request that has the same stamp
    expected[joined] = (stamp_ms, Group(tuple([cast("Apply", command) for _, command in known])))
    return joined


_UNKNOWN: Final[tuple[int, Command | None]] = (0, None)
