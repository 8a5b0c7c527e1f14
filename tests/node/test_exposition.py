"""The metrics of a real node, as Prometheus and promtool read them."""

import re
import shutil
import subprocess

import pytest
import trio
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain

import aether
from aether.metrics.catalogue import METRICS, Kind
from aether.metrics.exposition import OPENMETRICS
from aether.metrics.slow_calls import Fixed

OF_THE_PROCESS = re.compile(r"process_|python_")


@aether.slice(artifact="tests.exposition:sleeper:1.0.0")
class Sleeper:
    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)


async def scraped(aether_cluster, accept):
    cluster = await aether_cluster(Sleeper, nodes=1)
    node = cluster.nodes[0]._node
    await node.operations.call_metrics.set_strategy(Fixed(0.5), "ann")
    for seconds in (0.2, 0.2, 2.0):
        await cluster.get(Sleeper).sleep(seconds)
    await trio.sleep(3)
    return node, *await node.operations.exposition.render(accept)


def complaints(body):
    done = subprocess.run(["promtool", "check", "metrics"], input=body, capture_output=True, timeout=60, check=False)
    return done.returncode, done.stderr.decode()


def families_of(text, parse):
    return {family.name: family for family in parse(text)}


async def test_every_metric_of_a_node_is_in_the_catalogue_and_the_other_way_round(aether_cluster):
    _, body, content_type = await scraped(aether_cluster, "text/plain")
    families = families_of(body.decode(), plain)

    assert content_type.startswith("text/plain; version=0.0.4")
    own = {name for name in families if not OF_THE_PROCESS.match(name)}
    known = {m.family if m.kind is Kind.COUNTER else m.name for m in METRICS.values()}
    assert own <= known
    assert {"aether_calls", "aether_node_cpu_usage_ratio", "aether_node_raft_term", "aether_slices_active"} <= own
    for name in own:
        metric = next(m for m in METRICS.values() if name in (m.name, m.family))
        assert families[name].documentation == metric.about
        labels = {label for sample in families[name].samples for label in sample.labels}
        assert labels <= {*metric.labels, "le"}


async def test_calls_are_a_histogram_of_what_was_measured(aether_cluster):
    _, body, _ = await scraped(aether_cluster, "")
    families = families_of(body.decode(), plain)
    found = {
        (sample.name, sample.labels.get("le")): sample.value
        for sample in families["aether_call_duration_seconds"].samples
        if sample.labels["method"] == "sleep"
    }

    assert found["aether_call_duration_seconds_bucket", "0.1"] == 0
    assert found["aether_call_duration_seconds_bucket", "0.25"] == 2
    assert found["aether_call_duration_seconds_bucket", "+Inf"] == 3
    assert found["aether_call_duration_seconds_sum", None] == pytest.approx(2.4, abs=0.1)
    (slow,) = families["aether_slow_calls"].samples
    assert slow.value == 1
    assert slow.labels == {"artifact": "tests.exposition:sleeper", "version": "1.0.0", "method": "sleep"}


async def test_openmetrics_names_the_slow_call_as_an_exemplar(aether_cluster):
    """From a histogram that looks bad to the one request that was."""
    node, body, content_type = await scraped(aether_cluster, "application/openmetrics-text; version=1.0.0,*/*;q=0.1")
    text = body.decode()
    families = families_of(text, openmetrics)

    assert content_type.startswith(OPENMETRICS)
    assert text.endswith("# EOF\n")
    (slow,) = node.operations.call_metrics.figures.slow_calls()
    exemplars = [s.exemplar for s in families["aether_call_duration_seconds"].samples if s.exemplar]
    assert [exemplar.labels["request_id"] for exemplar in exemplars] == [slow.call.request_id]
    assert exemplars[0].value == pytest.approx(2.0, abs=0.1)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is in Debian's package prometheus")
async def test_promtool_finds_nothing_to_complain_of(aether_cluster):
    _, body, _ = await scraped(aether_cluster, "")
    assert complaints(body) == (0, "")
