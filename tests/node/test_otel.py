"""Spans of calls in OpenTelemetry, with the in-memory exporter of its SDK."""

import subprocess
import sys

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

import aether

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class Gone(aether.Fault):
    status = 410


@aether.slice(artifact="tests.otel:last:1.0.0")
class Last:
    async def look(self) -> str:
        with trace.get_tracer("author").start_as_current_span("own work"):
            return aether.current_call().traceparent

    async def fail(self) -> None:
        raise ValueError("no")

    async def gone(self) -> None:
        raise Gone


@aether.slice(artifact="tests.otel:first:1.0.0")
class First:
    last: Last

    @aether.get("/look")
    async def look(self) -> str:
        return await self.last.look()


@pytest.fixture
def spans(monkeypatch):
    """What is exported while the test runs; the provider of the process is set for as long."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    return exporter


def by_name(exporter):
    return {(span.name, span.kind): span for span in exporter.get_finished_spans()}


def open_one_or_three(nodes):
    if nodes == 1:
        return aether.Cluster.open(First, Last, http=0)
    return aether.Cluster.local(First, Last, nodes=nodes, http=True)


@pytest.mark.parametrize("nodes", [1, 3])
async def test_each_call_has_a_client_and_a_server_span_below_the_one_of_the_http_client(spans, nodes):
    async with open_one_or_three(nodes) as opened, httpx.AsyncClient() as web:
        url = opened.http_url if nodes == 1 else opened.nodes[0].http_url
        headers = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", "X-Request-Id": "r-7"}
        answer = await web.get(f"{url}/look", headers=headers)
    assert answer.status_code == 200, answer.text
    found = by_name(spans)

    chain = [
        found["First/look", SpanKind.CLIENT],
        found["First/look", SpanKind.SERVER],
        found["Last/look", SpanKind.CLIENT],
        found["Last/look", SpanKind.SERVER],
        found["own work", SpanKind.INTERNAL],
    ]
    assert {f"{span.context.trace_id:032x}" for span in chain} == {TRACE}
    assert f"{chain[0].parent.span_id:016x}" == "00f067aa0ba902b7"
    assert [span.parent.span_id for span in chain[1:]] == [span.context.span_id for span in chain[:-1]]
    assert answer.json() == f"00-{TRACE}-{chain[3].context.span_id:016x}-01"
    attributes = chain[3].attributes
    assert (attributes["rpc.system"], attributes["rpc.service"], attributes["rpc.method"]) == ("aether", "Last", "look")
    assert attributes["aether.request_id"] == "r-7"
    assert attributes["aether.instance"]


async def test_a_failure_is_one_and_a_fault_of_the_contract_is_an_answer(spans, aether_cluster):
    cluster = await aether_cluster(First, Last, nodes=3)
    with pytest.raises(aether.CallFailed):
        await cluster.get(Last).fail()
    with pytest.raises(Gone):
        await cluster.get(Last).gone()
    found = by_name(spans)

    for kind in (SpanKind.CLIENT, SpanKind.SERVER):
        assert found["Last/fail", kind].status.status_code is StatusCode.ERROR
        assert found["Last/fail", kind].attributes["error.type"] == "ValueError"
        assert found["Last/gone", kind].status.status_code is StatusCode.UNSET
        assert found["Last/gone", kind].attributes["error.type"] == "Gone"


async def test_without_a_provider_nothing_is_recorded_and_calls_work(aether_cluster):
    cluster = await aether_cluster(First, Last, nodes=1)
    assert len(await cluster.get(First).look()) == 55


def test_importing_aether_and_a_node_does_not_import_opentelemetry():
    """An extra costs nothing until it is used."""
    code = "import sys, aether, aether.node.node; print('opentelemetry' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"
