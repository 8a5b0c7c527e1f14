"""Processor time of the hot paths of one node, each alone, in one process, without sockets.

    python -m benchmarks.paths [--windows 400] [names...] [--profile http.prof]

A window of some thousand units of work takes some ten milliseconds; of many windows the cheapest counts, in time of
this thread. So other work on the machine moves the figures little, and a change of a microsecond can be seen. Absolute
figures of two machines do not compare.

http    a whole request to a slice in the node: a ready Request in, a Response out
bytes   the same from bytes to bytes, by the connection's parser and speller
local   a call by a proxy to a slice in the node; deadline  the same under the caller's fail_after; plain  a bare await
awaiting  the same to a method that awaits something: it needs a cancel scope, which one that only computes does not
served  a call that arrives from another node: a message in, a message out, 64 at a time; tasked  to such a method
made    a call to another node: by the proxy out, its reply in, 64 at a time
counted  what counting adds to any of these: finding the counter, in flight, latency, whether it was slow
"""

from __future__ import annotations

import argparse
import cProfile
import functools
import gc
import time
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import attrs
import trio

import aether
from aether.invocation.endpoints import EndpointRegistry, View
from aether.invocation.local import NoHost
from aether.invocation.messages import CallReply, CallRequest
from aether.invocation.proxy import bind_proxy
from aether.invocation.reply import Done, Form
from aether.invocation.service import Invoker
from aether.metrics.method_counters import MethodCounters
from aether.metrics.slow_calls import Adaptive
from aether.model.artifact import Artifact
from aether.model.ids import Incarnation, InstanceId, NodeId
from aether.model.lifecycle import SliceState
from aether.model.rows import InstanceRow, MemberRow
from aether.web.answer import encode_response
from aether.web.connection import HttpConnection
from aether.web.fast_heads import fastest_heads
from aether.web.request import FieldList, Request
from benchmarks.quote_slice import Quotes

PEER = NodeId("peer")
AT_ONCE = 64
UNITS = 1_024  # of a window, a multiple of AT_ONCE
BODY = b'{"sku": "a-17", "qty": 2}'
HEADERS = FieldList(
    (
        ("host", "127.0.0.1:8080"),
        ("user-agent", "wrk/4.1.0"),
        ("content-type", "application/json"),
        ("content-length", str(len(BODY))),
    )
)
RAW = b"POST /quote HTTP/1.1\r\n%b\r\n%b" % ("".join(f"{k}: {v}\r\n" for k, v in HEADERS).encode(), BODY)
ARTIFACT = Artifact.parse("bench:quotes:1.0.0")

Window = Callable[[], Awaitable[None]]


async def least_us(window: Window, windows: int) -> float:
    """Microseconds of the cheapest of so many windows, for one of its UNITS."""
    await window()
    gc.collect()
    gc.freeze()
    gc.disable()
    least = float("inf")
    for _ in range(windows):
        began = time.thread_time()
        await window()
        least = min(least, time.thread_time() - began)
        await trio.lowlevel.checkpoint()  # the node does what it has to
    gc.enable()
    return least / UNITS * 1e6


async def repeated(work: Callable[[], Awaitable[object]]) -> None:
    for _ in range(UNITS):
        await work()


def http(cluster: aether.Cluster) -> Window:
    handler = cluster._node.slice_handler()
    request = Request(verb="POST", path="/quote", headers=HEADERS, body=BODY, request_id="r-1", client="127.0.0.1")
    return functools.partial(repeated, functools.partial(handler, request))


def from_bytes(cluster: aether.Cluster) -> Window:
    handler = cluster._node.slice_handler()
    connection = HttpConnection(
        header_bytes_max=2**15,
        body_bytes_max=2**20,
        new_request_id=lambda: "r-1",
        heads=fastest_heads(),
        streams_body=handler.streams_body,
    )

    async def answered() -> None:
        connection.receive(RAW)
        request = connection.next()
        assert isinstance(request, Request)
        response = await handler(request)
        raw = encode_response(response, verb="POST", request_id=request.request_id, date="", keep_alive=True)
        assert raw.startswith(b"HTTP/1.1 200")

    return functools.partial(repeated, answered)


def local(cluster: aether.Cluster) -> Window:
    return functools.partial(repeated, functools.partial(cluster.get(Quotes).quote, "a-17", 2))


def awaiting(cluster: aether.Cluster) -> Window:
    return functools.partial(repeated, functools.partial(cluster.get(Quotes).reckon, "a-17", 2))


def deadline(cluster: aether.Cluster) -> Window:
    call = functools.partial(cluster.get(Quotes).quote, "a-17", 2)

    async def window() -> None:
        with trio.fail_after(10.0):
            await repeated(call)

    return window


def plain(_: aether.Cluster) -> Window:
    return functools.partial(repeated, functools.partial(Quotes().quote, "a-17", 2))


def served(cluster: aether.Cluster, method: str = "quote") -> Window:
    """Requests of a peer that is not there: what would be sent to it is counted."""
    invoker = cluster._node.invoker
    (endpoint,) = invoker._registry.endpoints(ARTIFACT.base)
    sent = [0]
    called = 0

    def send(_to: NodeId, message: object, _request_id: str) -> bool:
        assert isinstance(message, CallReply)
        assert isinstance(message.reply, Done), message
        sent[0] += 1
        return True

    invoker._transport_send = send
    invoker._server._send = send
    extra = {"trace": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"}

    async def window() -> None:
        nonlocal called
        for _ in range(UNITS // AT_ONCE):
            for _ in range(AT_ONCE):
                called += 1
                message = CallRequest(
                    called, str(ARTIFACT.base), endpoint.instance, method, Form.WIRE, 10.0,
                    {"sku": "a-17", "qty": 2}, 1, extra,
                )  # fmt: skip
                invoker.deliver(PEER, message, "r-1")
            while sent[0] < called:
                await trio.lowlevel.checkpoint()

    return window


async def made(nursery: trio.Nursery) -> Window:
    """Calls of a node whose only peer answers as soon as its callers wait."""
    me, owed = NodeId("me"), list[tuple[int, str]]()
    registry = EndpointRegistry(me)
    row = InstanceRow(
        instance=InstanceId("q"), artifact=ARTIFACT, node=PEER, incarnation=Incarnation("x"), state=SliceState.ACTIVE
    )
    member = MemberRow(node=PEER, incarnation=Incarnation("x"), cluster_address="127.0.0.1:1")
    own = attrs.evolve(member, node=me)
    registry.rebuild(View(members=(own, member), instances=(row,), connected=frozenset({PEER})))

    def send(_to: NodeId, message: object, request_id: str) -> bool:
        assert isinstance(message, CallRequest)
        owed.append((message.call_id, request_id))
        return True

    invoker = Invoker(me, registry, send, NoHost(), rng=Random(1))
    await nursery.start(invoker.run)
    proxy: Any = bind_proxy(Quotes, ARTIFACT.base, invoker)
    reply = Done({"sku": "a-17", "total": 500})
    waiting = 0

    async def caller() -> None:
        nonlocal waiting
        for _ in range(UNITS // AT_ONCE):
            await proxy.quote("a-17", 2)
        waiting -= 1

    async def window() -> None:
        nonlocal waiting
        waiting = AT_ONCE
        for _ in range(AT_ONCE):
            nursery.start_soon(caller)
        while waiting:
            await trio.lowlevel.checkpoint()
            for call_id, request_id in owed:
                invoker.deliver(PEER, CallReply(call_id, reply), request_id)
            owed.clear()

    return window


def counted(_: aether.Cluster) -> Window:
    """The lines that Chooser and Attempts have for the sake of counters, with the rule that costs most."""
    counters = MethodCounters()
    assert isinstance(counters.strategy, Adaptive)
    methods = counters.of_version(ARTIFACT)
    counters.of(ARTIFACT, "quote")

    async def window() -> None:
        for number in range(UNITS):
            latency_s = 1e-5 * (1 + number % 7)
            counter = methods.get("quote") or counters.of(ARTIFACT, "quote")
            counter.in_flight += 1
            slow = latency_s > counter.slow_over_s
            counter.in_flight -= 1
            counter.answered(latency_s)
            if slow:
                raise AssertionError("tens of microseconds are never slow")

    return window


PATHS: dict[str, Callable[[aether.Cluster], Window]] = {
    "plain": plain,
    "local": local,
    "awaiting": awaiting,
    "deadline": deadline,
    "http": http,
    "bytes": from_bytes,
    "served": served,
    "tasked": functools.partial(served, method="reckon"),
    "counted": counted,
}


async def measured(name: str, windows: int, profile: str = "") -> float:
    """Microseconds for one unit of the path `name`, in a node of its own."""
    async with aether.Cluster.open(Quotes) as cluster, trio.open_nursery() as nursery:
        with trio.fail_after(30.0):
            await cluster.get(Quotes).quote("a-17", 2)
        window = await made(nursery) if name == "made" else PATHS[name](cluster)
        if profile:
            profiler = cProfile.Profile()
            await window()
            profiler.enable()
            for _ in range(20):
                await window()
            profiler.disable()
            profiler.dump_stats(profile)
        found = await least_us(window, windows)
        nursery.cancel_scope.cancel()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", default=[*PATHS, "made"], help=f"some of {', '.join(PATHS)}, made")
    parser.add_argument("--windows", type=int, default=400, help="the cheapest of so many counts (default 400)")
    parser.add_argument("--profile", default="", help="file for the profile of the last path")
    options = parser.parse_args()
    for name in options.names or [*PATHS, "made"]:
        print(f"{name:10} {trio.run(measured, name, options.windows, options.profile):7.2f} us", flush=True)


if __name__ == "__main__":
    main()
