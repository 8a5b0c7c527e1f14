"""What a node costs before it does anything: import time, memory and CPU of an idle node.

Each figure is taken from fresh processes; the goals are absolute, since a user feels them so. The bare limits are the
packages without which no node of this kind exists, imported, and asleep but for a tick as slow as a heartbeat.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks.figure import Figure, Goal, medians

IMPORT_S_MAX = 0.25
IDLE_CORE_PERCENT_MAX = 2.0
IDLE_MIB_MAX = 70.0
SETTLE_S = 5.0
_PACKAGES = "import trio, attrs, cattrs, msgpack, h11"
_TICK = f"""
{_PACKAGES}
async def main():
    while True:
        await trio.sleep(0.1)
trio.run(main)
"""
_NODE = ("-m", "aether", "node", "--port", "0", "--http-port", "0", "--management-port", "0")


def import_s(code: str) -> float:
    """Seconds that a fresh process needs for `code`, the interpreter's own start included."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - began


def idle(arguments: tuple[str, ...], seconds: float, settle_s: float) -> tuple[float, float]:
    """(percent of a core, MiB resident) of a process that has settled."""
    with tempfile.TemporaryDirectory() as folder:
        with (Path(folder) / "log").open("wb") as log:
            process = subprocess.Popen([sys.executable, *arguments], stdout=log, stderr=log, cwd=folder)
            try:
                time.sleep(settle_s)
                node = psutil.Process(process.pid)
                before, began = node.cpu_times(), time.monotonic()
                time.sleep(seconds)
                after, lasted = node.cpu_times(), time.monotonic() - began
                cpu = after.user + after.system - before.user - before.system
                return 100 * cpu / lasted, node.memory_info().rss / 2**20
            finally:
                process.kill()
                process.wait()


def figures(seconds: float, rounds: int) -> list[Figure]:
    imports, nodes, bares = [], [], []
    for _ in range(2 * rounds + 1):
        start = import_s("pass")
        imports.append((import_s("import aether; aether.slice") - start, import_s(_PACKAGES) - start))
    settle_s = min(SETTLE_S, 10 * seconds)
    for _ in range(min(rounds, 2)):
        nodes.append(idle((*_NODE, "--data-dir", "data"), 5 * seconds, settle_s))
        bares.append(idle(("-c", _TICK), 5 * seconds, settle_s / 5))
    took_s, bare_s = medians(imports)
    (core, mib), (bare_core, bare_mib) = medians(nodes), medians(bares)
    return [
        Figure("import aether", "s", took_s, bare_s, Goal(IMPORT_S_MAX, is_ratio=False)),
        Figure("idle node, of a core", "%", core, bare_core, Goal(IDLE_CORE_PERCENT_MAX, is_ratio=False)),
        Figure("idle node, resident", "MiB", mib, bare_mib, Goal(IDLE_MIB_MAX, is_ratio=False)),
    ]
