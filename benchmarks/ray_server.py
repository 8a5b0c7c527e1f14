"""Ray Serve as an HTTP server to be measured: one deployment with one replica, behind Serve's own entrance.

Two modes, both Serve's own: `throughput` is its switch for throughput, `haproxy` the same behind HAProxy, which its
packages bring. HAProxy listens on all interfaces; `throughput` on the loopback one alone.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import urllib.error
import urllib.request
from typing import Any

from benchmarks.cluster import free_ports
from benchmarks.http_load import BODY

START_S_MAX = 60.0
MODES = {
    "throughput": {"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"},
    "haproxy": {"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1", "RAY_SERVE_ENABLE_HA_PROXY": "1"},
}


def serve(mode: str) -> None:
    """Print the address once requests are answered; serve until SIGTERM."""
    os.environ.update(MODES[mode])  # read when ray.serve is imported
    from benchmarks.call_peers import start_ray

    ray = start_ray()
    from ray import serve as ray_serve

    try:
        (port,) = free_ports(1)
        host = "127.0.0.1" if mode == "throughput" else "0.0.0.0"
        ray_serve.start(http_options={"host": host, "port": port})

        async def quote(self: object, request: Any) -> dict[str, object]:
            asked = await request.json()
            return {"sku": asked["sku"], "total": 250 * asked["qty"]}

        deployment = ray_serve.deployment(type("Quotes", (), {"__call__": quote}))
        options = deployment.options(name="quotes", max_ongoing_requests=300, ray_actor_options={"num_cpus": 0.1})
        ray_serve.run(options.bind(), name="bench", route_prefix="/quote")
        wait_answers(f"http://127.0.0.1:{port}/quote")
        print(f"127.0.0.1:{port}", flush=True)
        signal.sigwait({signal.SIGTERM})
    finally:
        ray.shutdown()


def wait_answers(address: str) -> None:
    """Routes reach the entrance a while after the deployment."""
    until_s = time.monotonic() + START_S_MAX
    request = urllib.request.Request(address, BODY, {"Content-Type": "application/json"})
    while True:
        try:
            with urllib.request.urlopen(request, timeout=5.0) as response:
                response.read()
                return
        except OSError as error:
            if time.monotonic() > until_s:
                raise RuntimeError(f"Ray Serve answers nothing after {START_S_MAX} s") from error
            time.sleep(0.2)


if __name__ == "__main__":
    serve(sys.argv[1])
