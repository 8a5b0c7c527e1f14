"""etcd as a peer: three local members that sync, loaded by h2load, the cheapest client there is.

A request is one gRPC call over HTTP/2, so that etcd is measured and no Python client. Every write puts the same key;
that all of them were committed is checked by the growth of etcd's revision.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import attrs

from benchmarks.cluster import free_ports

PROGRAMS = ("etcd", "etcdctl", "h2load")
MEMBERS = 3
START_S_MAX = 30.0
STREAMS_MAX = 32  # on one connection
KEY, VALUE = b"bench-0000000001", bytes(range(128))
PUT, RANGE = "/etcdserverpb.KV/Put", "/etcdserverpb.KV/Range"
_UNITS_S = {"us": 1e-6, "ms": 1e-3, "s": 1.0}


def absent() -> list[str]:
    """The programs that this needs and the machine lacks."""
    return [name for name in PROGRAMS if shutil.which(name) is None]


def version() -> str:
    """What etcd calls itself."""
    done = subprocess.run(["etcd", "--version"], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[0].replace(" Version:", "")


@attrs.frozen
class Load:
    """What a closed loop found."""

    rate: float
    p50_s: float
    p99_s: float


def _field(number: int, value: bytes) -> bytes:
    """A field of bytes as protobuf spells it; short ones only."""
    head = bytes((number << 3 | 2,))
    size = len(value)
    return head + (bytes((size,)) if size < 128 else bytes((size & 127 | 128, size >> 7))) + value


def _body(message: bytes) -> bytes:
    """One uncompressed gRPC message."""
    return b"\0" + len(message).to_bytes(4, "big") + message


class Etcd:
    """Three members with data below `folder`."""

    def __init__(self, folder: Path) -> None:
        ports = free_ports(2 * MEMBERS)
        self._clients = [f"127.0.0.1:{port}" for port in ports[:MEMBERS]]
        self._peers = [f"http://127.0.0.1:{port}" for port in ports[MEMBERS:]]
        self._folder = folder
        self._members: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start all and wait until they have a leader."""
        cluster = ",".join(f"m{number}={peer}" for number, peer in enumerate(self._peers))
        for number, (client, peer) in enumerate(zip(self._clients, self._peers, strict=True)):
            command = ["etcd", "--name", f"m{number}", "--data-dir", str(self._folder / f"m{number}")]
            command += ["--listen-client-urls", f"http://{client}", "--advertise-client-urls", f"http://{client}"]
            command += ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer]
            command += ["--initial-cluster", cluster, "--logger", "zap", "--log-level", "error"]
            nothing = subprocess.DEVNULL
            self._members.append(subprocess.Popen(command, stdout=nothing, stderr=nothing))
        until_s = time.monotonic() + START_S_MAX
        while time.monotonic() < until_s:
            with contextlib.suppress(LookupError):
                self._leader()
                return
            time.sleep(0.1)
        raise RuntimeError(f"etcd has no leader after {START_S_MAX} s")

    def stop(self) -> None:
        for member in self._members:
            member.kill()
            member.wait()

    def _status(self) -> list[dict]:
        command = ["etcdctl", "--endpoints", ",".join(self._clients), "endpoint", "status", "-w", "json"]
        done = subprocess.run(command, capture_output=True, text=True, env=_environment(), check=False)
        return [row["Status"] for row in json.loads(done.stdout or "[]") if "Status" in row]

    def _leader(self) -> str:
        for place, status in zip(self._clients, self._status(), strict=False):
            if status["leader"] and status["leader"] == status["header"]["member_id"]:
                return place
        raise LookupError("no leader")

    def _revision(self) -> int:
        return max(status["header"]["revision"] for status in self._status())

    def write(self, outstanding: int, seconds: float, *, follower: bool = False) -> Load:
        """Writes through the leader, or through a follower that forwards them."""
        before = self._revision()
        load, requests = self._load(PUT, _field(1, KEY) + _field(2, VALUE), outstanding, seconds, follower)
        committed = self._revision() - before
        if committed < requests:
            raise RuntimeError(f"etcd committed {committed} of {requests} writes")
        return load

    def read(self, outstanding: int, seconds: float) -> Load:
        """Linearizable reads through the leader."""
        return self._load(RANGE, _field(1, KEY), outstanding, seconds, follower=False)[0]

    def _load(self, path: str, message: bytes, outstanding: int, seconds: float, follower: bool) -> tuple[Load, int]:
        leader = self._leader()
        place = next(p for p in self._clients if p != leader) if follower else leader
        trial = 20 * outstanding
        per_s = _h2load(place, path, message, outstanding, trial).rate
        requests = max(trial, int(per_s * seconds))
        load = _h2load(place, path, message, outstanding, requests)
        return load, trial + requests


def _h2load(place: str, path: str, message: bytes, outstanding: int, requests: int) -> Load:
    connections = -(-outstanding // STREAMS_MAX)
    with tempfile.TemporaryDirectory() as name:
        body, log = Path(name, "body"), Path(name, "log")
        body.write_bytes(_body(message))
        command = ["h2load", "-n", str(requests), "-c", str(connections), "-m", str(outstanding // connections)]
        command += ["-t", "1", "-d", str(body), "-H", "content-type: application/grpc", "-H", "te: trailers"]
        command += [f"--log-file={log}", f"http://{place}{path}"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        rows = [line.split() for line in log.read_text().splitlines()]
    took_s = sorted(int(us) / 1e6 for _, status, us in rows if status == "200")
    data = re.search(r"\((\d+)\) data", done.stdout)
    finished = re.search(r"finished in ([\d.]+)(us|ms|s),", done.stdout)
    if len(took_s) < requests or data is None or finished is None or int(data[1]) < 5 * requests:
        raise RuntimeError(f"{requests} requests to etcd, {len(took_s)} answered:\n{done.stdout}")
    elapsed_s = float(finished[1]) * _UNITS_S[finished[2]]
    return Load(requests / elapsed_s, took_s[len(took_s) // 2], took_s[len(took_s) * 99 // 100])


def _environment() -> dict[str, str]:
    return {**os.environ, "ETCDCTL_API": "3"}


@contextlib.contextmanager
def etcd(data_dir: Path) -> Iterator[Etcd]:
    """A started cluster; killed and removed at the end."""
    with tempfile.TemporaryDirectory(prefix="etcd-", dir=data_dir) as name:
        made = Etcd(Path(name))
        try:
            made.start()
            yield made
        finally:
            made.stop()
