"""Real nodes for benchmarks: ports, founding nodes, whole clusters of embedded nodes with disks and TCP."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import aether
from aether.forge.polling import until
from aether.node.seams import Seams


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def open_member(
    name: str,
    names: Sequence[str],
    ports: Sequence[int],
    folder: Path,
    *slices: type,
    hosts: Sequence[str] = (),
    seams: Seams | None = None,
) -> AbstractAsyncContextManager[aether.Cluster]:
    """The founding node `name` of `names`, each on its port, with a data directory of its own below `folder`.

    hosts  where each is, when not all are on the loopback interface
    """
    places = hosts or ["127.0.0.1"] * len(names)
    addresses = {node: f"{host}:{port}" for node, host, port in zip(names, places, ports, strict=True)}
    mine = list(names).index(name)
    return aether.Cluster.open(
        *slices,
        name=name,
        peers=addresses,
        host=places[mine],
        port=ports[mine],
        data=folder / name,
        insecure=bool(hosts),
        seams=seams,
    )


@contextlib.contextmanager
def processes(commands: Sequence[Sequence[str]], **options: object) -> Iterator[list[subprocess.Popen[str]]]:
    """Python processes that are killed at the end. Their standard output is a pipe unless `options` say otherwise."""
    running: list[subprocess.Popen[str]] = []
    chosen = {"stdout": subprocess.PIPE, "text": True, **options}
    try:
        for command in commands:
            running.append(subprocess.Popen([sys.executable, *command], **chosen))
        yield running
    finally:
        for process in running:
            process.kill()
            process.wait()
            for stream in (process.stdout, process.stdin):
                if stream is not None:
                    stream.close()


async def wait_connected(cluster: aether.Cluster, peers: int) -> None:
    """Until this node reaches `peers` others and somebody leads."""
    node = cluster._node

    def connected() -> bool:
        return len(node.transport.connected()) >= peers and node.consensus.status.has_quorum

    await until(connected, 30.0, f"{peers} peers and a quorum", every_s=0.02)
