"""PySyncObj as a peer: three processes, writes issued in the leader's own process, which is how it is used.

It has no durable mode: its journal is a mapped file that is never synced. Three modes: as it comes, without batching
(each command wakes the loop and is sent at once), and tuned: a tick and an append period of 5 ms.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.cluster import free_ports, processes

MODES: dict[str, dict[str, Any]] = {
    "default": {},
    "unbatched": {"appendEntriesUseBatch": False},
    "tuned": {"autoTickPeriod": 0.005, "appendEntriesPeriod": 0.005},
}
MEMBERS = 3
START_S_MAX = 30.0
KEYS = 10_000
VALUE = bytes(range(128))
WRITE_S_MAX = 10.0


def is_absent() -> bool:
    return importlib.util.find_spec("pysyncobj") is None


def _made(own: str, others: list[str], mode: str, journal: str) -> Any:
    import pysyncobj

    class Rows(pysyncobj.SyncObj):
        def __init__(self) -> None:
            options = {"bindAddress": own, **MODES[mode], **({"journalFile": journal} if journal else {})}
            super().__init__(own, others, pysyncobj.SyncObjConf(**options))
            self.rows: dict[bytes, bytes] = {}

        @pysyncobj.replicated
        def put(self, key: bytes, value: bytes) -> None:
            self.rows[key] = value

    return Rows()


def member(own: str, others: list[str], mode: str, journal: str) -> None:
    """Answer `look`, or `write OUTSTANDING SECONDS`, a line each."""
    rows = _made(own, others, mode, journal)
    for line in sys.stdin:
        command, *arguments = line.split()
        if command == "look":
            leader = rows._getLeader()
            print(json.dumps({"ready": rows.isReady(), "leader": str(leader) if leader else ""}), flush=True)
        else:
            print(json.dumps(_write(rows, int(arguments[0]), float(arguments[1]))), flush=True)


def _write(rows: Any, outstanding: int, seconds: float) -> tuple[float, float, float]:
    """A closed loop: rate, p50, p99. Callbacks come on the library's own thread."""
    took_s: list[float] = []
    failed = 0
    free = threading.Semaphore(outstanding)
    began_s, number = time.perf_counter(), 0

    def issue() -> None:
        sent_s = time.perf_counter()

        def done(_: object, error: int) -> None:
            nonlocal failed
            if error:
                failed += 1
            else:
                took_s.append(time.perf_counter() - sent_s)
            free.release()

        rows.put(b"%016d" % (number % KEYS), VALUE, callback=done)

    while time.perf_counter() - began_s < seconds:
        if free.acquire(timeout=WRITE_S_MAX):
            number += 1
            issue()
    for _ in range(outstanding):
        free.acquire(timeout=WRITE_S_MAX)
    elapsed_s = time.perf_counter() - began_s
    if failed or len(took_s) < number:
        raise RuntimeError(f"{number} writes, {failed} failed, {number - len(took_s) - failed} unanswered")
    took_s.sort()
    return len(took_s) / elapsed_s, took_s[len(took_s) // 2], took_s[len(took_s) * 99 // 100]


class PySyncObj:
    """Three members, and which of them leads."""

    def __init__(self, members: list[subprocess.Popen[str]], addresses: list[str]) -> None:
        self._members, self._addresses = members, addresses

    def _ask(self, member: subprocess.Popen[str], line: str) -> Any:
        assert member.stdin is not None
        assert member.stdout is not None
        print(line, file=member.stdin, flush=True)
        return json.loads(member.stdout.readline())

    def write(self, outstanding: int, seconds: float) -> tuple[float, float, float]:
        """Writes in the leader's process: rate, p50, p99."""
        return tuple(self._ask(self._leader(), f"write {outstanding} {seconds}"))

    def _leader(self) -> subprocess.Popen[str]:
        until_s = time.monotonic() + START_S_MAX
        while time.monotonic() < until_s:
            looks = [self._ask(member, "look") for member in self._members]
            leaders = {look["leader"] for look in looks}
            if all(look["ready"] for look in looks) and len(leaders) == 1 and "" not in leaders:
                return self._members[self._addresses.index(leaders.pop())]
            time.sleep(0.1)
        raise RuntimeError(f"PySyncObj has no leader after {START_S_MAX} s")


@contextlib.contextmanager
def pysyncobj(data_dir: Path, mode: str, *, journal: bool) -> Iterator[PySyncObj]:
    """A started cluster in one of MODES; killed at the end."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(MEMBERS)]
    with tempfile.TemporaryDirectory(prefix="pysyncobj-", dir=data_dir) as folder:
        commands = []
        for number, own in enumerate(addresses):
            others = [address for address in addresses if address != own]
            place = str(Path(folder, f"journal{number}")) if journal else ""
            commands.append(["-m", "benchmarks.pysyncobj_peer", mode, place, own, *others])
        with processes(commands, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as members:
            yield PySyncObj(members, addresses)


if __name__ == "__main__":
    chosen, place, own_address, *other_addresses = sys.argv[1:]
    member(own_address, other_addresses, chosen, place)
