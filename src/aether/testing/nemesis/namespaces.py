"""Each node in a network namespace of its own: cut by a packet filter and slowed by the kernel, as real networks are.

Knows: `ip`, `nft`, `tc`, `mount`; what they need.
Never: what the nodes do there.
Holds: everything that is made here is removed when the block is left; without the privilege nothing is tried.
"""

from __future__ import annotations

import os
import random
import shutil
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import attrs
import trio

from aether.forge.processes import NodePlace
from aether.testing.nemesis.client import HarnessError
from aether.testing.nemesis.cluster import NemesisCluster
from aether.testing.nemesis.faults import Fault
from aether.testing.nemesis.schedule import Way

TOOLS = ("ip", "nft", "tc", "mount", "umount")
NETWORK = "10.213.{number}"
RATE_KBIT = (60, 800)
DISK_BYTES = 288 * 1024 * 1024
FILLING_BYTES = 80 * 1024 * 1024
"""More than the segment of the log that a node has prepared."""

FILLING_S = 40.0
CAP_NET_ADMIN, CAP_SYS_ADMIN = 12, 21


def why_not() -> str:
    """Why namespaces cannot be used here; "" when they can."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        return f"not installed: {', '.join(missing)} (packages iproute2, nftables, mount)"
    status = Path("/proc/self/status").read_text()
    held = int(next(line for line in status.splitlines() if line.startswith("CapEff")).split()[1], 16)
    if not (held >> CAP_NET_ADMIN & 1 and held >> CAP_SYS_ADMIN & 1):
        return "not privileged: needs CAP_NET_ADMIN and CAP_SYS_ADMIN"
    return ""


@attrs.frozen
class Namespaces:
    """One namespace per node, all on one bridge. Made by `open_namespaces`."""

    tag: str
    addresses: Mapping[str, str]

    def name(self, node: str) -> str:
        return f"{self.tag}-{node}"

    @property
    def places(self) -> dict[str, NodePlace]:
        return {
            node: NodePlace(bind=address, dialled=address, prefix=("ip", "netns", "exec", self.name(node)))
            for node, address in self.addresses.items()
        }

    async def cut(self, ways: Iterable[Way]) -> None:
        sources: defaultdict[str, list[str]] = defaultdict(list)
        for source, target in ways:
            sources[target].append(self.addresses[source])
        for target, refused in sources.items():
            chain = f"type filter hook input priority 0;\nip saddr {{ {', '.join(refused)} }} drop\n"
            await self._filter(target, f"flush ruleset\ntable inet aether {{\nchain cut {{\n{chain}}}\n}}\n")

    async def mend(self) -> None:
        for node in self.addresses:
            await self._filter(node, "flush ruleset\n")

    async def limit(self, kbit: int) -> None:
        for node in self.addresses:
            shape = ["tbf", "rate", f"{kbit}kbit", "burst", "16kb", "latency", "400ms"]
            await command(["tc", "-n", self.name(node), "qdisc", "replace", "dev", "eth0", "root", *shape])

    async def unlimit(self) -> None:
        for node in self.addresses:
            await command(["tc", "-n", self.name(node), "qdisc", "del", "dev", "eth0", "root"])

    async def _filter(self, node: str, rules: str) -> None:
        await command(["ip", "netns", "exec", self.name(node), "nft", "-f", "-"], rules)


async def command(line: Sequence[str], given: str = "") -> None:
    """Run a tool. Raises HarnessError with what it said."""
    done = await trio.run_process(line, stdin=given.encode(), capture_stdout=True, capture_stderr=True, check=False)
    if done.returncode:
        raise HarnessError(f"{' '.join(line)}: {done.stderr.decode(errors='replace').strip()}")


async def _try(line: Sequence[str]) -> None:
    """Run a tool that cleans up: what it should remove may never have been made."""
    await trio.run_process(line, capture_stdout=True, capture_stderr=True, check=False)


@asynccontextmanager
async def open_namespaces(nodes: Sequence[str]) -> AsyncGenerator[Namespaces]:
    """Namespaces for `nodes`, reachable from here too. Raises HarnessError."""
    number = os.getpid() % 250
    tag, network = f"ae{os.getpid() % 100_000}", NETWORK.format(number=number)
    spaces = Namespaces(tag, {node: f"{network}.{n + 1}" for n, node in enumerate(nodes)})
    try:
        await command(["ip", "link", "add", tag, "type", "bridge"])
        await command(["ip", "addr", "add", f"{network}.254/24", "dev", tag])
        await command(["ip", "link", "set", tag, "up"])
        for n, (node, address) in enumerate(spaces.addresses.items()):
            await _add(spaces.name(node), f"{tag}v{n}", tag, address)
        yield spaces
    finally:
        with trio.CancelScope(shield=True):
            await _remove(spaces)


async def _add(name: str, link: str, bridge: str, address: str) -> None:
    await command(["ip", "netns", "add", name])
    await command(["ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name])
    await command(["ip", "link", "set", link, "master", bridge, "up"])
    await command(["ip", "-n", name, "addr", "add", f"{address}/24", "dev", "eth0"])
    await command(["ip", "-n", name, "link", "set", "eth0", "up"])
    await command(["ip", "-n", name, "link", "set", "lo", "up"])


async def _remove(spaces: Namespaces) -> None:
    """Remove what there is of it; what was never made is no failure.

    Links go by name: the kernel removes those of a deleted namespace some time later, and keeps their names until then.
    """
    for n, node in enumerate(spaces.addresses):
        await _try(["ip", "link", "del", f"{spaces.tag}v{n}"])
        await _try(["ip", "netns", "del", spaces.name(node)])
    await _try(["ip", "link", "del", spaces.tag])


@asynccontextmanager
async def small_disks(folders: Sequence[Path]) -> AsyncGenerator[None]:
    """A memory file system of DISK_BYTES at each of `folders`."""
    mounted: list[Path] = []
    try:
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
            await command(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "aether", str(folder)])
            mounted.append(folder)
        yield
    finally:
        with trio.CancelScope(shield=True):
            for folder in mounted:
                await _try(["umount", "-l", str(folder)])


# --- the faults of this kind ------------------------------------------------------------------------------------------


@asynccontextmanager
async def tbf(spaces: Namespaces, cluster: NemesisCluster, rng: random.Random) -> AsyncGenerator[str]:
    """The kernel lets little through."""
    kbit = rng.randint(*RATE_KBIT)
    await spaces.limit(kbit)
    try:
        yield f"{kbit} kbit/s for each of {', '.join(cluster.nodes)}"
    finally:
        with trio.CancelScope(shield=True):
            await spaces.unlimit()


@asynccontextmanager
async def full_disk(cluster: NemesisCluster, rng: random.Random) -> AsyncGenerator[str]:
    """A node's disk is full when its log needs the next segment, and when it starts again; then there is space."""
    node = rng.choice(cluster.nodes)
    ballast = cluster.processes.directory(node) / "ballast"
    cluster.may_end.add(node)
    try:
        _fill(ballast)
        taken = await cluster.write_much(FILLING_BYTES, FILLING_S)
        await cluster.kill(node)
        await cluster.start_missing()
        yield f"the disk of {node} is full; {taken / 2**20:.0f} MiB more were written to the cluster"
    finally:
        ballast.unlink(missing_ok=True)
    await cluster.kill(node)  # one that found no space when it started may only now be about to end
    cluster.may_end.discard(node)
    await cluster.start_missing()


def _fill(path: Path) -> None:
    piece = bytes(1024 * 1024)
    with path.open("wb", buffering=0) as file:
        for size in (len(piece), 4096):
            try:
                while True:
                    file.write(piece[:size])
            except OSError:  # full, which is what was wanted
                continue


def privileged_faults(spaces: Namespaces) -> dict[str, Fault]:
    return {"tbf": partial(tbf, spaces), "full-disk": full_disk}
