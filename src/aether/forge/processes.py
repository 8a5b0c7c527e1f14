"""Nodes as operating-system processes on loopback ports of their own, with one log.

Knows: the command line of `aether node`, ports, data directories, signals, lines of output.
Never: HTTP (forge.console asks the nodes), what the application is.
Holds: every process belongs to the nursery of `open_processes`; leaving the block ends them all, killed in the end.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import attrs
import trio

from aether.errors import AetherError, BadInput, NotFound
from aether.forge.ports import ANY, keep_ports

LINE_BYTES_MAX = 64 * 1024
LAST_LINES = 8
WATCH_S = 0.1
STOP_S = 5.0
NODES_MAX = 16

Log = Callable[[str, str], None]
"""Receives (node, line) for every line that a node prints."""


@attrs.frozen(kw_only=True)
class NodePorts:
    """Where one node listens on this machine."""

    node: str
    cluster: int
    http: int
    management: int
    host: str = "127.0.0.1"
    scheme: str = "http"

    @property
    def http_url(self) -> str:
        return f"{self.scheme}://{self.host}:{self.http}"

    @property
    def management_url(self) -> str:
        return f"{self.scheme}://{self.host}:{self.management}"


@attrs.frozen(kw_only=True)
class NodePlace:
    """Where one node is put, when it is not simply on loopback.

    bind    address that it listens on; dialled  address that its peers reach it by, on the same port
    prefix  words before its command line, such as those that enter a network namespace
    """

    bind: str = "127.0.0.1"
    dialled: str = "127.0.0.1"
    prefix: Sequence[str] = ()


LOOPBACK = NodePlace()


@attrs.frozen(kw_only=True)
class LocalPlan:
    """What to start: `nodes` processes that all load `apps` (module or module:attribute) from `app_dir`.

    joins  the first founds the cluster alone and is all that is started by itself; the others join when they start
    tls    a directory for `--tls` of each node by its name; ca_key  for `--ca-key` of the first; empty, None = without
    ports  for HTTP and management of each node by its name, where they are free; else, and without, any free ones
    """

    nodes: int
    apps: Sequence[str]
    app_dir: Path
    folder: Path
    settings: Mapping[str, str] = attrs.field(factory=dict[str, str])
    arguments: Sequence[str] = ()
    places: Mapping[str, NodePlace] = attrs.field(factory=dict[str, NodePlace])
    environment: Mapping[str, str] = attrs.field(factory=dict[str, str])
    joins: bool = False
    tls: Mapping[str, Path] = attrs.field(factory=dict[str, Path])
    ca_key: Path | None = None
    ports: Mapping[str, tuple[int, int]] = attrs.field(factory=dict[str, tuple[int, int]])

    @property
    def names(self) -> tuple[str, ...]:
        """Of the nodes."""
        return tuple(f"node-{n + 1}" for n in range(self.nodes))

    def check(self) -> None:
        if not 1 <= self.nodes <= NODES_MAX:
            raise BadInput(f"--nodes {self.nodes}", (f"a cluster on one machine has 1 to {NODES_MAX} nodes",))


@attrs.define(eq=False)
class NodeEnded(AetherError):
    """A node process ended that should be running."""

    node: str
    exit_code: int
    last_lines: tuple[str, ...]

    def __str__(self) -> str:
        said = "\n  ".join(self.last_lines) or "it printed nothing"
        return f"{self.node} ended with exit code {self.exit_code}; its last lines:\n  {said}"


class LocalProcesses:
    """The running processes of one plan. Made by `open_processes`."""

    def __init__(self, plan: LocalPlan, log: Log, nursery: trio.Nursery) -> None:
        plan.check()
        self.plan = plan
        self._log = log
        self._nursery = nursery
        self._processes: dict[str, trio.Process] = {}
        self._last: dict[str, deque[str]] = {}
        self._kept = contextlib.ExitStack()  # a port that is only free now may be another's when its node starts
        wanted = [port for name in plan.names for port in (ANY, *plan.ports.get(name, (ANY, ANY)))]
        ports = keep_ports(wanted, self._kept)
        self.ports: dict[str, NodePorts] = {
            name: NodePorts(
                node=name,
                cluster=ports[3 * n],
                http=ports[3 * n + 1],
                management=ports[3 * n + 2],
                host=plan.places.get(name, LOOPBACK).bind,
                scheme="https" if plan.tls else "http",
            )
            for n, name in enumerate(plan.names)
        }

    def close(self) -> None:
        """Give the ports back."""
        self._kept.close()

    @property
    def running(self) -> tuple[str, ...]:
        """Names of the nodes whose process is alive, sorted."""
        return tuple(sorted(n for n, p in self._processes.items() if p.poll() is None))

    def command(self, node: str) -> list[str]:
        """The command line that runs `node`; what a user would type."""
        ports = self._port(node)
        place = self.plan.places.get(node, LOOPBACK)
        line = [*place.prefix, sys.executable, "-m", "aether", "node", "--node-id", node, *self._others(node)]
        line += ["--bind", place.bind, "--advertise", place.dialled] if place != LOOPBACK else []
        line += [
            "--port",
            str(ports.cluster),
            "--http-port",
            str(ports.http),
            "--management-port",
            str(ports.management),
        ]
        line += ["--tls", str(self.plan.tls[node])] if self.plan.tls else []
        if self.plan.ca_key is not None and node == self.plan.names[0]:
            line += ["--ca-key", str(self.plan.ca_key)]
        line += ["--data-dir", str(self.directory(node)), "--app-dir", str(self.plan.app_dir)]
        for app in self.plan.apps:
            line += ["--app", app]
        for name, value in self.plan.settings.items():
            line += ["--set", f"{name}={value}"]
        return [*line, *self.plan.arguments]

    def _dialled(self, node: str) -> str:
        return self.plan.places.get(node, LOOPBACK).dialled

    def _others(self, node: str) -> list[str]:
        where = {p.node: f"{self._dialled(p.node)}:{p.cluster}" for p in self.ports.values()}
        if not self.plan.joins:
            return ["--peers", ",".join(f"{name}:{address}" for name, address in where.items())]
        if node == next(iter(where)):
            return []
        return ["--join", ",".join(address for name, address in where.items() if name != node)]

    def directory(self, node: str) -> Path:
        return self.plan.folder / node

    async def start(self, node: str, environment: Mapping[str, str] | None = None) -> None:
        """Start the process of `node`; returns when it exists, not when it is ready. environment  added to ours."""
        self._port(node)
        if node in self.running:
            raise BadInput(f"{node} runs already")
        process: trio.Process = await self._nursery.start(self._run, node, environment or {})
        self._processes[node] = process

    async def kill(self, node: str) -> None:
        """SIGKILL, and wait until the process is gone. Its data directory stays."""
        process = self._process(node)
        process.kill()
        await process.wait()

    async def stop(self, node: str) -> None:
        """SIGTERM; SIGKILL when the node is not gone after STOP_S."""
        process = self._process(node)
        await self._stop(process)

    async def end(self) -> None:
        """SIGINT to all at once, since nobody could take over; SIGKILL for those that are not gone after STOP_S."""
        async with trio.open_nursery() as nursery:
            for process in self._processes.values():
                nursery.start_soon(self._stop, process, signal.SIGINT)

    def send_signal(self, node: str, number: signal.Signals) -> None:
        self._process(node).send_signal(number)

    def process_id(self, node: str) -> int:
        return self._process(node).pid

    def exit_code(self, node: str) -> int | None:
        """The exit code of an ended process, None while it runs."""
        return self._process(node).poll()

    async def watch(self) -> NoReturn:
        """Raise NodeEnded as soon as a started node has ended, on purpose or not, with what it said last."""
        while True:
            for node, process in self._processes.items():
                code = process.poll()
                if code is not None:
                    raise NodeEnded(node, code, tuple(self._last[node]))
            await trio.sleep(WATCH_S)

    def _port(self, node: str) -> NodePorts:
        if node not in self.ports:
            raise NotFound("node", node, f"there are {', '.join(sorted(self.ports))}")
        return self.ports[node]

    def _process(self, node: str) -> trio.Process:
        self._port(node)
        if node not in self._processes:
            raise BadInput(f"{node} was never started")
        return self._processes[node]

    async def _run(self, node: str, added: Mapping[str, str], *, task_status: trio.TaskStatus[trio.Process]) -> None:
        self._last[node] = deque(maxlen=LAST_LINES)
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", **self.plan.environment, **added}
        process = await trio.lowlevel.open_process(
            self.command(node),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=environment,
        )
        try:
            task_status.started(process)
            await self._copy_lines(node, process)
            await process.wait()
        finally:
            with trio.CancelScope(shield=True):
                await self._stop(process, signal.SIGINT)  # all leave at once: nobody could take over

    async def _copy_lines(self, node: str, process: trio.Process) -> None:
        assert process.stdout is not None
        buffer = bytearray()
        async for piece in process.stdout:
            buffer += piece
            *lines, rest = buffer.split(b"\n")
            buffer = bytearray() if len(rest) > LINE_BYTES_MAX else bytearray(rest)
            for line in lines:
                text = line.decode(errors="replace").rstrip()
                self._last[node].append(text)
                self._log(node, text)

    async def _stop(self, process: trio.Process, number: signal.Signals = signal.SIGTERM) -> None:
        if process.poll() is None:
            process.send_signal(number)
        with trio.move_on_after(STOP_S):
            await process.wait()
        if process.poll() is None:
            process.kill()
            await process.wait()


@contextlib.asynccontextmanager
async def open_processes(plan: LocalPlan, log: Log) -> AsyncGenerator[LocalProcesses]:
    """All nodes of `plan`, started. Leaving the block stops them: SIGINT, then SIGKILL after STOP_S."""
    async with trio.open_nursery() as nursery:
        with contextlib.closing(LocalProcesses(plan, log, nursery)) as processes:
            for node in list(processes.ports)[: 1 if plan.joins else None]:
                await processes.start(node)
            yield processes
        nursery.cancel_scope.cancel()
