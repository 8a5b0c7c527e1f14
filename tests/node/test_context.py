"""Request id, trace and context variables from the HTTP edge to the last hop, and in logs and errors."""

import logging

import attrs
import httpx
import pytest
import trio

import aether

TENANT = aether.ContextVar("tests.tenant", str, default="nobody")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@attrs.frozen
class Seen:
    request_id: str
    trace_id: str
    span_id: str
    traceparent: str
    tracestate: str
    where: str
    node: str
    tenant: str
    remaining_s: float


def seen():
    call = aether.current_call()
    assert call.instance
    where = f"{call.slice}.{call.method}"
    return Seen(
        call.request_id, call.trace_id, call.span_id, call.traceparent, call.tracestate, where, call.node,
        TENANT.get(), call.remaining_s,
    )  # fmt: skip


@aether.slice(artifact="tests.context:last:1.0.0")
class Last:
    async def look(self) -> list[Seen]:
        logging.getLogger("tests.context").warning("at the end")
        found = seen()
        TENANT.set("changed by the callee")
        return [found]

    @aether.blocking
    def block(self) -> list[Seen]:
        return [seen()]

    async def fail(self) -> None:
        raise ValueError("no")


@aether.slice(artifact="tests.context:middle:1.0.0")
class Middle:
    last: Last

    async def look(self, blocking: bool) -> list[Seen]:
        found = await (self.last.block() if blocking else self.last.look())
        assert TENANT.get() in ("acme", "nobody"), "a callee changed the variable of its caller"
        return [seen(), *found]


@aether.slice(artifact="tests.context:first:1.0.0")
class First:
    middle: Middle
    last: Last

    @aether.get("/look")
    async def look(self, tenant: str, blocking: bool = False) -> list[Seen]:
        with TENANT.set(tenant), trio.fail_after(10):
            return [seen(), *await self.middle.look(blocking)]

    @aether.get("/fail")
    async def fail(self) -> None:
        await self.last.fail()


SLICES = (First, Middle, Last)


@pytest.fixture(params=["one node", "three nodes"])
async def web(request):
    """A client of a cluster whose slices are on one node, called directly, or on three, one each."""
    if request.param == "one node":
        async with aether.Cluster.open(*SLICES, http=0) as cluster, httpx.AsyncClient() as client:
            client.base_url = cluster.http_url
            yield client
    else:
        async with aether.Cluster.local(*SLICES, nodes=3, http=True) as local, httpx.AsyncClient() as client:
            client.base_url = local.nodes[0].http_url
            yield client


@pytest.mark.parametrize("blocking", [False, True])
async def test_all_hops_know_the_request_the_trace_the_variables_and_the_time_left(web, blocking):
    headers = {"X-Request-Id": "r-1", "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", "tracestate": "vendor=1"}
    params = {"tenant": "acme", "blocking": str(blocking).lower()}
    answer = await web.get("/look", params=params, headers=headers)
    assert answer.status_code == 200, answer.text
    hops = answer.json()

    assert {hop["request_id"] for hop in hops} == {"r-1"}
    assert {hop["trace_id"] for hop in hops} == {TRACE}
    assert {hop["tracestate"] for hop in hops} == {"vendor=1"}
    assert {hop["tenant"] for hop in hops} == {"acme"}
    assert len({hop["span_id"] for hop in hops} | {"00f067aa0ba902b7"}) == 4
    assert [hop["where"] for hop in hops] == ["First.look", "Middle.look", f"Last.{'block' if blocking else 'look'}"]
    assert all(0 < hop["remaining_s"] <= 10 for hop in hops)


@pytest.mark.parametrize("traceparent", [None, "nonsense", f"00-{TRACE}-0000000000000000-01"])
async def test_without_a_valid_trace_a_new_one_begins(web, traceparent):
    headers = {} if traceparent is None else {"traceparent": traceparent, "tracestate": "vendor=1"}
    hops = (await web.get("/look", params={"tenant": "acme"}, headers=headers)).json()

    assert len({hop["trace_id"] for hop in hops}) == 1
    assert hops[0]["trace_id"] != TRACE
    assert {hop["tracestate"] for hop in hops} == {""}
    assert len({hop["request_id"] for hop in hops}) == 1


async def test_log_records_of_the_last_hop_have_the_id_of_the_request(web, caplog):
    caplog.handler.addFilter(aether.CallLogFilter())
    await web.get("/look", params={"tenant": "acme"}, headers={"X-Request-Id": "r-2"})
    await web.get("/fail", headers={"X-Request-Id": "r-3"})

    [record] = [record for record in caplog.records if record.getMessage() == "at the end"]
    assert (record.request_id, record.slice, record.method) == ("r-2", "Last", "look")
    assert len(record.trace_id) == 32
    assert any("Last.fail" in r.getMessage() and "request r-3" in r.getMessage() for r in caplog.records)


async def test_a_failed_call_names_its_request_and_calls_without_http_have_one_too(aether_cluster):
    cluster = await aether_cluster(*SLICES, nodes=3)
    with pytest.raises(aether.CallFailed) as caught:
        await cluster.get(Last).fail()

    assert len(caught.value.request_id) == 16
    assert f"request {caught.value.request_id}" in caught.value.__notes__[0]
    [alone] = await cluster.get(Last).look()
    assert len(alone.request_id) == 16
    assert alone.tenant == "nobody"


async def test_a_plain_object_reads_an_empty_call():
    """A unit test needs no cluster, and code that logs the request id must not fail there."""
    assert aether.current_call() == aether.CurrentCall()
    record = logging.LogRecord("n", logging.INFO, "p", 1, "m", (), None)
    assert aether.CallLogFilter().filter(record)
    assert record.request_id == ""
