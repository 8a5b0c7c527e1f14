"""What a node costs before it does anything: import time, memory and CPU of an idle node.

Each figure is taken from fresh processes; the goals are absolute, since a user feels them so.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

IMPORT_S_MAX = 0.25
IDLE_CORE_MAX = 0.02
IDLE_MIB_MAX = 70


def import_s(runs: int = 7) -> float:
    """Median seconds of `import aether` in a fresh process, the interpreter's own start taken off."""

    def median(code: str) -> float:
        times = []
        for _ in range(runs):
            began = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            times.append(time.perf_counter() - began)
        return statistics.median(times)

    return median("import aether; aether.slice") - median("pass")


def idle_node(seconds: float = 10.0) -> tuple[float, float]:
    """(share of a core, MiB resident) of `aether node` alone, after it has settled."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "aether", "node", "--port", "0", "--http-port", "0", "--management-port", "0"]
        log = (Path(folder) / "log").open("wb")
        with subprocess.Popen([*command, "--data-dir", f"{folder}/data"], stdout=log, stderr=log) as process:
            try:
                time.sleep(5.0)
                node = psutil.Process(process.pid)
                before = node.cpu_times()
                time.sleep(seconds)
                after = node.cpu_times()
                cpu = (after.user + after.system - before.user - before.system) / seconds
                return cpu, node.memory_info().rss / 2**20
            finally:
                process.kill()


def main(seconds: float = 10.0) -> None:
    took = import_s()
    print(f"import aether            {took:8.3f} s      goal < {IMPORT_S_MAX} s   {_verdict(took < IMPORT_S_MAX)}")
    cpu, mib = idle_node(seconds)
    share, share_max = 100 * cpu, 100 * IDLE_CORE_MAX
    print(f"idle node, of a core     {share:8.2f} %      goal < {share_max:g} %      {_verdict(share < share_max)}")
    print(f"idle node, resident      {mib:8.1f} MiB    goal < {IDLE_MIB_MAX} MiB   {_verdict(mib < IDLE_MIB_MAX)}")


def _verdict(met: bool) -> str:
    return "met" if met else "MISSED"


if __name__ == "__main__":
    main()
