"""Our nodes as processes that can be asked, killed, stopped and started again: the parent of consensus_member."""

from __future__ import annotations

import contextlib
import json
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs

from benchmarks.cluster import free_ports

START_S_MAX = 60.0
NODE_NAMES = ("a", "b", "c", "d", "e", "f", "g")


@attrs.define
class Process:
    """One node. `opening` is what it said when it was open."""

    name: str
    popen: subprocess.Popen[str]
    opening: dict[str, Any] = attrs.field(factory=dict)

    def tell(self, command: str, **arguments: object) -> None:
        assert self.popen.stdin is not None
        self.popen.stdin.write(json.dumps([command, arguments]) + "\n")
        self.popen.stdin.flush()

    def hear(self, within_s: float | None = None) -> Any:
        """The next line; None when none came within the time or the process is gone."""
        assert self.popen.stdout is not None
        if within_s is not None and not select.select([self.popen.stdout], [], [], within_s)[0]:
            return None
        line = self.popen.stdout.readline()
        return json.loads(line) if line.endswith("\n") else None

    def ask(self, command: str, **arguments: object) -> dict[str, Any]:
        self.tell(command, **arguments)
        answer = self.hear()
        if answer is None:
            raise RuntimeError(f"node {self.name} ended while it did {command}")
        return dict(answer)

    def end(self) -> None:
        self.popen.kill()
        self.popen.wait()
        for stream in (self.popen.stdin, self.popen.stdout):
            if stream is not None:
                stream.close()


class Group:
    """A cluster of ours on this machine, with data below `folder`."""

    def __init__(self, folder: Path, size: int = 3) -> None:
        self._folder = folder
        self.names = NODE_NAMES[:size]
        self._ports = free_ports(size)
        self.processes: dict[str, Process] = {}

    def command(self, name: str) -> list[str]:
        """What starts the node."""
        command = [sys.executable, "-m", "benchmarks.consensus_member", "--name", name, "--names", *self.names]
        return [*command, "--ports", *map(str, self._ports), "--folder", str(self._folder)]

    def start(self, *names: str, serving: bool = False) -> None:
        """Start these, or all, and wait until each is open; `serving`: until it answers linearizable reads."""
        chosen = names or self.names
        for name in chosen:
            command = [*self.command(name), *(["--serving"] if serving else [])]
            pipe = subprocess.PIPE
            self.processes[name] = Process(
                name, subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, bufsize=1)
            )
        for name in chosen:
            opening = self.processes[name].hear(START_S_MAX)
            if opening is None:
                raise RuntimeError(f"node {name} was not open within {START_S_MAX} s")
            self.processes[name].opening = opening

    def leader(self) -> Process:
        """Who leads, once all that run are connected and agree."""
        until_s = time.monotonic() + START_S_MAX
        while time.monotonic() < until_s:
            looks = [(process, process.ask("look")) for process in self.processes.values()]
            leaders = [process for process, look in looks if look["leads"]]
            whole = all(look["connected"] == len(looks) - 1 for _, look in looks)
            if len(leaders) == 1 and whole and {look["leader"] for _, look in looks} == {leaders[0].name}:
                return leaders[0]
            time.sleep(0.1)
        raise RuntimeError(f"no leader within {START_S_MAX} s")

    def followers(self) -> list[Process]:
        leader = self.leader()
        return [process for process in self.processes.values() if process is not leader]

    def kill(self, *names: str) -> float:
        """kill -9 of these, or all; when."""
        chosen = names or tuple(self.processes)
        at_s = time.monotonic()
        for name in chosen:
            self.processes[name].popen.send_signal(signal.SIGKILL)
        for name in chosen:
            self.processes.pop(name).end()
        return at_s

    def data_of(self, name: str) -> Path:
        return self._folder / name


@contextlib.contextmanager
def group(data_dir: Path, size: int = 3, make: Callable[[Path, int], Group] = Group) -> Iterator[Group]:
    """A started cluster with a leader and room in its map; killed and removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="aether-consensus-", dir=data_dir))
    made = make(folder, size)
    try:
        made.start()
        made.leader().ask("prepare")
        for process in made.processes.values():
            process.ask("settle")
        yield made
    finally:
        made.kill()
        shutil.rmtree(folder, ignore_errors=True)


def tell_all(processes: Sequence[Process], command: str, **arguments: object) -> list[dict[str, Any]]:
    """Have all of them do it at the same time."""
    for process in processes:
        process.tell(command, **arguments)
    return [process.hear() for process in processes]
