"""Requests to a cluster in memory are real HTTP bytes through the nodes' own servers, in virtual time."""

import time

import httpx
import pytest
import trio
import trio.testing

import aether
from aether.testing import memory_cluster
from aether.testing.memory_http import BUFFER_BYTES_MAX, MemoryPorts
from aether.web.config import WebConfig
from aether.web.pressure_service import PressureGate


@aether.slice(artifact="tests.http:echo:1.0.0", instances=2)
class Echo:
    @aether.post("/echo")
    async def echo(self, text: str) -> str:
        return text

    @aether.get("/echo/{text}")
    async def after(self, text: str, seconds: float = 0.0) -> dict[str, str]:
        await trio.sleep(seconds)
        return {"text": text, "version": "1.0.0"}


@aether.slice(artifact="tests.http:echo:1.1.0", instances=2)
class Echo2:
    @aether.post("/echo")
    async def echo(self, text: str) -> str:
        return text * 2

    @aether.get("/echo/{text}")
    async def after(self, text: str, seconds: float = 0.0) -> dict[str, str]:
        await trio.sleep(seconds)
        return {"text": text, "version": "1.1.0"}


async def test_every_node_serves_the_routes_of_the_slices(aether_cluster):
    cluster = await aether_cluster(Echo, nodes=3)

    for name in ("node-1", "node-2", "node-3"):
        async with cluster.http(name) as client:
            assert (await client.get("/echo/a")).json() == {"text": "a", "version": "1.0.0"}
            assert (await client.post("/echo", json={"text": "x" * 200_000})).json() == "x" * 200_000
            refused = await client.post("/echo", json={"text": 7})
            assert (refused.status_code, "text" in refused.json()["detail"]) == (422, True), refused.text
            missing = await client.get("/nothing")
            assert (missing.status_code, missing.headers["content-type"]) == (404, "application/problem+json")


async def test_the_admin_api_knows_its_administrator(aether_cluster):
    cluster = await aether_cluster(Echo, nodes=3)

    async with cluster.management("node-2") as client:
        nobody = {"Authorization": "Bearer wrong"}
        body = {"artifact": "tests.http:echo", "instances": 3}
        assert (await client.post("/scale", json=body, headers=nobody)).status_code == 401
        assert (await client.post("/scale?wait=30", json=body)).json()["status"] == "scaled"
        assert (await client.get("/status")).json()["nodeId"] == "node-2"


async def test_an_answer_that_takes_too_long_is_a_time_out_of_the_client(aether_cluster):
    cluster = await aether_cluster(Echo, nodes=1)
    async with cluster.http("node-1") as client:
        began = trio.current_time()
        with pytest.raises(httpx.ReadTimeout):
            await client.get("/echo/a?seconds=25")
        assert trio.current_time() - began == pytest.approx(10, abs=0.1)


async def test_a_stream_of_events_arrives_as_it_happens(aether_cluster):
    cluster = await aether_cluster(Echo, nodes=3)
    async with cluster.management("node-1") as admin:
        stream = admin.stream("GET", "/events", headers={"Accept": "text/event-stream"}, timeout=None)
        async with stream as answer, trio.open_nursery() as nursery:
            nursery.start_soon(cluster.kill, "node-3")
            with trio.fail_after(30):
                async for line in answer.aiter_lines():
                    if line.startswith("data:") and "node-3" in line and "CONNECTION_FAILED" in line:
                        nursery.start_soon(cluster.stop, "node-1")  # which ends the stream


async def test_a_client_outlives_its_node(aether_cluster):
    """Killed, the node is not there; restarted, it is, at another address and with another token."""
    cluster = await aether_cluster(Echo, nodes=3)
    async with cluster.http("node-3") as client, cluster.management("node-3") as admin:
        assert (await client.get("/echo/a")).status_code == 200
        await cluster.kill("node-3")
        with pytest.raises(httpx.ConnectError, match="refused"):
            await client.get("/echo/a")

        await cluster.restart("node-3")

        assert (await client.get("/echo/a")).status_code == 200
        assert (await admin.post("/alerts/clear", json={})).status_code == 200


async def test_a_request_to_a_node_that_is_killed_ends_at_once(aether_cluster):
    cluster = await aether_cluster(Echo, nodes=1)
    errors = []

    async def ask():
        async with cluster.http("node-1") as client:
            with pytest.raises(httpx.RemoteProtocolError) as caught:
                await client.get("/echo/a?seconds=5")
            errors.append(caught.value)

    with trio.fail_after(1):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            await cluster.kill("node-1")
    assert errors


async def test_a_node_that_stops_answers_what_it_has_begun(aether_cluster):
    """As after SIGTERM: the request in flight ends well, the disk stays, the others go on."""
    cluster = await aether_cluster(Echo, nodes=3)
    answers = []

    async def ask():
        async with cluster.http("node-1") as client:
            answers.append((await client.get("/echo/slow?seconds=3")).json()["text"])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await trio.sleep(0.5)
        with trio.fail_after(60):
            await cluster.stop("node-1")
    assert answers == ["slow"]
    assert [node.node for node in cluster.nodes] == ["node-2", "node-3"]
    with trio.fail_after(60):
        await (await cluster.restart("node-1")).kv.barrier()


async def test_a_stalled_node_answers_when_it_goes_on(aether_cluster):
    """Its peers give it up after a while, its clients wait; what they asked arrives afterwards."""
    cluster = await aether_cluster(Echo, nodes=3)
    leader = (await cluster.wait_leader()).node
    answers = []

    async def ask():
        async with cluster.http(leader) as client:
            answers.append((await client.get("/echo/late", timeout=100)).json()["text"])

    async with trio.open_nursery() as nursery:
        cluster.stall(leader)
        nursery.start_soon(ask)
        with trio.fail_after(30):
            while (led := cluster.leader) is None or led.node == leader:
                await trio.sleep(0.1)
        assert answers == []
        cluster.resume(leader)
    assert answers == ["late"]


async def test_a_node_that_was_killed_while_it_was_stalled_starts_afresh(aether_cluster):
    cluster = await aether_cluster(Echo, nodes=3)
    cluster.stall("node-2")
    await cluster.kill("node-2")

    with trio.fail_after(60):
        await cluster.restart("node-2")
        async with cluster.http("node-2") as client:
            assert (await client.get("/echo/a")).status_code == 200


async def test_an_update_to_code_that_came_later(aether_cluster):
    """`offer` changes what is available; the version in force changes by a rollout."""
    cluster = await aether_cluster(Echo, nodes=3)
    async with cluster.http("node-1") as client, cluster.management("node-1") as admin:
        await cluster.offer(Echo2)
        members = (await admin.get("/members")).json()["members"]
        assert [len(each["available"]) for each in members if each["id"] == "node-1"] == [2]
        assert (await client.get("/echo/a")).json()["version"] == "1.0.0"

        await cluster.nodes[0].rollout(Echo2)

        with trio.fail_after(120):
            while (await client.get("/echo/a")).json()["version"] != "1.1.0":
                await trio.sleep(0.1)
    await cluster.kill("node-3")
    back = await cluster.restart("node-3")
    assert {str(each) for each in back._node.store.available()} == {"tests.http:echo:1.0.0", "tests.http:echo:1.1.0"}


async def test_two_classes_of_one_artifact_are_refused(aether_cluster):
    cluster = await aether_cluster(Echo, nodes=1)

    @aether.slice(artifact="tests.http:echo:1.0.0")
    class Other:
        async def other(self) -> None: ...

    with pytest.raises(aether.Conflict, match="both"):
        await cluster.offer(Other)


def test_a_cluster_may_be_opened_before_its_nodes_are_started():
    async def body():
        async with memory_cluster(Echo, nodes=3, started=False) as cluster:
            assert cluster.nodes == ()
            for name in ("node-1", "node-2", "node-3"):
                await cluster.start(name)
            with trio.fail_after(30):
                for node in cluster.nodes:
                    await node.wait_ready()
            async with cluster.http("node-1") as client:
                assert (await client.get("/echo/a")).status_code == 404, "nothing is deployed by itself"

    began = time.monotonic()
    trio.run(body, clock=trio.testing.MockClock(autojump_threshold=0))
    assert time.monotonic() - began < 30


# --- the streams ------------------------------------------------------------------------------------------------------


async def connected():
    ports = MemoryPorts()
    listening = await ports.listen("n")(WebConfig(), PressureGate())
    ours = await ports.connect(listening.address)
    return ports, listening, ours, await listening.listeners[0].accept()


async def test_bytes_keep_their_order_through_a_bounded_buffer():
    _, _, ours, theirs = await connected()
    sent = bytes(range(256)) * 2_000
    got = bytearray()

    async def send():
        await ours.send_all(sent)
        await ours.send_eof()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        await trio.testing.wait_all_tasks_blocked()
        assert len(theirs._incoming.buffer) == BUFFER_BYTES_MAX
        while part := await theirs.receive_some(1_000):
            got += part
    assert got == sent


async def test_an_end_that_was_closed_tells_the_other():
    _, _, ours, theirs = await connected()
    assert not ours.is_readable
    await theirs.send_all(b"last")
    await theirs.aclose()
    assert ours.is_readable
    assert await ours.receive_some() == b"last"
    assert await ours.receive_some() == b""
    with pytest.raises(trio.BrokenResourceError):
        await ours.send_all(b"x")
    with pytest.raises(trio.ClosedResourceError):
        await theirs.receive_some()


async def test_whoever_waits_learns_of_the_end():
    _, _, ours, theirs = await connected()

    async def broken():
        with pytest.raises(trio.BrokenResourceError):
            await ours.send_all(b"x" * 3 * BUFFER_BYTES_MAX)

    async def closed():
        with pytest.raises(trio.ClosedResourceError):
            await theirs.receive_some()

    ports, listening, asking, asked = await connected()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(broken)
        await trio.testing.wait_all_tasks_blocked()
        await theirs.receive_some(BUFFER_BYTES_MAX)
        await theirs.aclose()
        nursery.start_soon(closed)

        async def nobody():
            with pytest.raises(trio.ClosedResourceError):
                await asking.receive_some()

        nursery.start_soon(nobody)
        await trio.testing.wait_all_tasks_blocked()
        await asking.aclose()
    del ports, listening, asked


async def test_a_port_that_is_closed_refuses_and_one_that_is_taken_says_so():
    ports = MemoryPorts()
    listening = await ports.listen("n")(WebConfig(port=80), PressureGate())
    with pytest.raises(aether.AddressInUse):
        await ports.listen("m")(WebConfig(port=80), PressureGate())
    waiting = await ports.connect(listening.address)
    await listening.listeners[0].aclose()
    assert await waiting.receive_some() == b""
    with pytest.raises(ConnectionRefusedError):
        await ports.connect(listening.address)
