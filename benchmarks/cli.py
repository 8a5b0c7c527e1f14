"""How long a person waits for the command line: `aether --help`, and `aether status` of a node on this machine.

Each figure is the wall time of a fresh process, the median of several; the goals are absolute, since a user feels them
so. The bare limit is a Python process that does nothing. The line of completion is what a press of Tab costs.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.figure import Figure, Goal, medians

HELP_S_MAX = 0.3
STATUS_S_MAX = 0.5
READY_S = 30.0
_AETHER = (sys.executable, "-m", "aether")
_TAB = {"_AETHER_COMPLETE": "bash_complete", "COMP_WORDS": "aether no", "COMP_CWORD": "1"}


def took_s(*arguments: str, **environment: str) -> float:
    """Wall time of one process that ends well."""
    began = time.perf_counter()
    subprocess.run(arguments, stdout=subprocess.DEVNULL, check=True, env={**os.environ, **environment})
    return time.perf_counter() - began


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def wait_until_it_answers(port: int) -> None:
    ends = time.monotonic() + READY_S
    while subprocess.run([*_AETHER, "status", "-c", str(port)], capture_output=True, check=False).returncode:
        if time.monotonic() > ends:
            raise TimeoutError(f"no node answers at port {port} after {READY_S:g} s")


def figures(seconds: float, rounds: int) -> list[Figure]:
    port = free_port()
    ports = ("--port", "0", "--http-port", "0", "--management-port", str(port))
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "log").open("wb") as log:
        node = subprocess.Popen([*_AETHER, "node", *ports, "--data-dir", "state"], stdout=log, stderr=log, cwd=folder)
        try:
            wait_until_it_answers(port)
            turns = [
                (
                    took_s(sys.executable, "-c", "pass"),
                    took_s(*_AETHER, "--help"),
                    took_s(*_AETHER, "status", "-c", str(port)),
                    took_s(*_AETHER, **_TAB),
                )
                for _ in range(2 * rounds + 1)
            ]
        finally:
            node.kill()
            node.wait()
    bare, help_s, status_s, tab_s = medians(turns)
    return [
        Figure("aether --help", "s", help_s, bare, Goal(HELP_S_MAX, is_ratio=False)),
        Figure("aether status, round trip", "s", status_s, bare, Goal(STATUS_S_MAX, is_ratio=False)),
        Figure("completion of a command", "s", tab_s, bare, Goal(HELP_S_MAX, is_ratio=False)),
    ]
