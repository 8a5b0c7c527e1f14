"""Other remote calls beside which ours are measured: grpc.aio, rpyc and a Ray actor, each as its users run it.

    python -m benchmarks.call_peers [--seconds 1]

The work is that of `benchmarks.bare_call`: a small object there and back, one caller in sequence, then OUTSTANDING in a
closed loop. Caller and callee are processes of their own. A peer that is not installed is left out, and said to be:
they are the dependency group `bench`.

grpc.aio   a unary method by generic handlers, messages by msgpack (no generated code), one channel
rpyc       a threaded server; arguments and answer are scalars and tuples, which it sends by value; outstanding calls
           are its asynchronous ones on one connection
ray        an actor with a method that is not async, the fastest kind; outstanding calls count by the faster of `get` of
           all at once and of awaiting each
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgpack
import psutil

from benchmarks.bare_call import OUTSTANDING, REQUEST, Figures
from benchmarks.cluster import processes

MODULES = {"grpc.aio": "grpc", "rpyc": "rpyc", "ray": "ray"}
PROCESS_S_MAX = 90.0
STOP_S_MAX = 15.0
_GRPC_SERVICE, _GRPC_METHOD = "bench.Echo", "echo"


def absent() -> list[str]:
    """The peers that are not installed."""
    return [name for name, module in MODULES.items() if importlib.util.find_spec(module) is None]


def figures_of(times_s: list[float], rate: float) -> Figures:
    times_s.sort()
    middle, late = times_s[len(times_s) // 2], times_s[len(times_s) * 99 // 100]
    return Figures(middle * 1e6, late * 1e6, rate)


# --- closed loops -----------------------------------------------------------------------------------------------------


def sequence(call: Callable[[], object], seconds: float) -> list[float]:
    """How long each call took."""
    times: list[float] = []
    began = time.perf_counter()
    end = began + seconds
    while began < end:
        call()
        done = time.perf_counter()
        times.append(done - began)
        began = done
    return times


async def async_sequence(call: Callable[[], Awaitable[object]], seconds: float) -> list[float]:
    times: list[float] = []
    began = time.perf_counter()
    end = began + seconds
    while began < end:
        await call()
        done = time.perf_counter()
        times.append(done - began)
        began = done
    return times


async def async_rate(call: Callable[[], Awaitable[object]], seconds: float) -> float:
    began = time.perf_counter()
    found = await asyncio.gather(*(async_sequence(call, seconds) for _ in range(OUTSTANDING)))
    return sum(map(len, found)) / (time.perf_counter() - began)


# --- grpc.aio ---------------------------------------------------------------------------------------------------------


async def serve_grpc() -> None:
    import grpc

    async def echo(request: dict[str, Any], context: object) -> dict[str, Any]:
        return request

    server = grpc.aio.server()
    method = grpc.unary_unary_rpc_method_handler(echo, msgpack.unpackb, msgpack.packb)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_GRPC_SERVICE, {_GRPC_METHOD: method}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


async def call_grpc(port: int, seconds: float) -> Figures:
    import grpc

    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        method = channel.unary_unary(f"/{_GRPC_SERVICE}/{_GRPC_METHOD}", msgpack.packb, msgpack.unpackb)
        if await method(REQUEST) != REQUEST:
            raise RuntimeError("grpc.aio answered something else")

        async def call() -> object:
            return await method(REQUEST)

        await async_sequence(call, seconds / 5)
        times = await async_sequence(call, seconds)
        await async_rate(call, seconds / 5)
        return figures_of(times, await async_rate(call, seconds))


# --- rpyc -------------------------------------------------------------------------------------------------------------


def serve_rpyc() -> None:
    import rpyc
    from rpyc.utils.server import ThreadedServer

    class Echo(rpyc.Service):
        def exposed_echo(self, sku: str, qty: int) -> tuple[str, int]:
            return sku, qty

    server = ThreadedServer(Echo, hostname="127.0.0.1", port=0)
    print(server.port, flush=True)
    server.start()


def call_rpyc(port: int, seconds: float) -> Figures:
    import rpyc

    connection = rpyc.connect("127.0.0.1", port)
    method = connection.root.echo
    arguments = tuple(REQUEST.values())
    if method(*arguments) != arguments:
        raise RuntimeError("rpyc answered something else")
    send = rpyc.async_(method)

    def rate(wanted_s: float) -> float:
        """The oldest call is awaited and replaced: as many are always under way."""
        count, began = 0, time.perf_counter()
        under_way = collections.deque(send(*arguments) for _ in range(OUTSTANDING))
        while time.perf_counter() - began < wanted_s:
            under_way.popleft().wait()
            count += 1
            under_way.append(send(*arguments))
        spent_s = time.perf_counter() - began
        for each in under_way:
            each.wait()
        return count / spent_s

    sequence(lambda: method(*arguments), seconds / 5)
    times = sequence(lambda: method(*arguments), seconds)
    rate(seconds / 5)
    found = figures_of(times, rate(seconds))
    connection.close()
    return found


# --- Ray --------------------------------------------------------------------------------------------------------------


def start_ray() -> Any:
    """A cluster of this machine alone, with little of its memory. Returns the module."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        object_store_memory=100 * 2**20,
        _node_ip_address="127.0.0.1",
    )
    return ray


def call_ray(seconds: float) -> Figures:
    ray = start_ray()

    class Echo:
        def echo(self, request: dict[str, Any]) -> dict[str, Any]:
            return request

    try:
        method = ray.remote(Echo).options(num_cpus=1).remote().echo
        if ray.get(method.remote(REQUEST), timeout=PROCESS_S_MAX) != REQUEST:
            raise RuntimeError("the Ray actor answered something else")

        def batches(wanted_s: float) -> float:
            count, began = 0, time.perf_counter()
            while time.perf_counter() - began < wanted_s:
                ray.get([method.remote(REQUEST) for _ in range(OUTSTANDING)])
                count += OUTSTANDING
            return count / (time.perf_counter() - began)

        async def call() -> object:
            return await method.remote(REQUEST)

        sequence(lambda: ray.get(method.remote(REQUEST)), max(0.2, seconds / 5))
        times = sequence(lambda: ray.get(method.remote(REQUEST)), seconds)
        batches(seconds / 5)
        at_once = batches(seconds)
        asyncio.run(async_rate(call, seconds / 5))
        return figures_of(times, max(at_once, asyncio.run(async_rate(call, seconds))))
    finally:
        ray.shutdown()


# --- processes --------------------------------------------------------------------------------------------------------


def _callee_of(name: str) -> contextlib.AbstractContextManager[list[subprocess.Popen[str]]]:
    return processes([["-m", "benchmarks.call_peers", "--serve", name]], stderr=subprocess.DEVNULL)


def call(name: str, seconds: float) -> Figures:
    """In this process: measure `name`, with a callee of its own. Ray starts its processes itself."""
    if name == "ray":
        return call_ray(seconds)
    with _callee_of(name) as (callee,):
        assert callee.stdout is not None
        port = int(callee.stdout.readline())
        return asyncio.run(call_grpc(port, seconds)) if name == "grpc.aio" else call_rpyc(port, seconds)


def measure_peer(name: str, seconds: float) -> Figures | None:
    """In a fresh process. None, and a line that says why, when it is not there or fails."""
    if name in absent():
        print(f"{name} is left out: {MODULES[name]} is not installed", file=sys.stderr, flush=True)
        return None
    command = [sys.executable, "-m", "benchmarks.call_peers", "--call", name, "--seconds", str(seconds)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        said, errors = process.communicate(timeout=PROCESS_S_MAX + 5 * seconds)
        return Figures(*json.loads(said.splitlines()[-1]))
    except (subprocess.TimeoutExpired, ValueError, IndexError) as error:
        stop_tree(process)
        why = errors.strip().splitlines()[-1:] if not isinstance(error, subprocess.TimeoutExpired) else [str(error)]
        print(f"{name} is left out: {''.join(why) or error}", file=sys.stderr, flush=True)
        return None


def stop_tree(process: subprocess.Popen[str]) -> None:
    """End a process and all that it started: it is asked; then they are killed, also those that outlive a parent."""
    started: list[psutil.Process] = []
    with contextlib.suppress(psutil.NoSuchProcess):
        started = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_S_MAX)
    for child in started:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    process.kill()
    process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description="Remote calls by others.")
    parser.add_argument("--seconds", type=float, default=1.0, help="how long each figure is measured (default 1)")
    parser.add_argument("--serve", choices=MODULES, help=argparse.SUPPRESS)
    parser.add_argument("--call", choices=MODULES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve == "grpc.aio":
        asyncio.run(serve_grpc())
    elif options.serve:
        serve_rpyc()
    elif options.call:
        print(json.dumps(call(options.call, options.seconds)))
    else:
        for name in MODULES:
            if (found := measure_peer(name, options.seconds)) is not None:
                print(f"{name:10} {found}")


if __name__ == "__main__":
    main()
