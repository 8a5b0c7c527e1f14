"""Every path, verb and field that clients of the original use, against a real node: no token, few header fields.

What they do is the whole of the reference of its release 0.7.1; scripts look for the key `error` to see failure.
"""

import contextlib
import json

import pytest

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]

SLICE = "e2e:echo:1.0.0"
NUMBER = (int, float)
TEXT = str

READS = {
    "/health": {
        "status": TEXT,
        "quorum": bool,
        "nodeCount": int,
        "connectedPeers": int,
        "metricsNodeCount": int,
        "sliceCount": int,
    },
    "/status": {"nodeId": TEXT, "status": "running", "isLeader": bool, "leader": TEXT},
    "/nodes": {"nodes": [TEXT]},
    "/slices": {"slices": list},
    "/slices/status": {
        "slices": [{"artifact": TEXT, "state": TEXT, "instances": [{"nodeId": TEXT, "state": TEXT, "health": TEXT}]}]
    },
    "/metrics": {"load": dict, "deployments": dict},
    "/invocation-metrics": {"snapshots": list},
    "/invocation-metrics/slow": {"slowInvocations": list},
    "/invocation-metrics/strategy": {"type": TEXT},
    "/thresholds": dict,
    "/alerts": {"active": list, "history": list},
    "/alerts/active": list,
    "/alerts/history": list,
    "/controller/config": {
        "cpuScaleUpThreshold": NUMBER,
        "cpuScaleDownThreshold": NUMBER,
        "callRateScaleUpThreshold": NUMBER,
        "evaluationIntervalMs": NUMBER,
    },
    "/controller/status": {"enabled": bool, "evaluationIntervalMs": NUMBER, "config": dict},
    "/rolling-updates": {"updates": list},
    "/routes": {"routes": [{"method": TEXT, "path": TEXT, "artifact": TEXT, "sliceMethod": TEXT}]},
    "/events": {"events": list},
    "/metrics/comprehensive": dict,
    "/metrics/derived": dict,
    "/node-metrics": (dict, list),
    "/artifact-metrics": (dict, list),
}
"""path of a GET -> what its answer is: a type, a text, an object of fields, or a list of what each item is."""

CHANGES = [
    ("POST", "/deploy", {"artifact": SLICE, "instances": 1}, {"status": "deployed", "artifact": SLICE, "instances": 1}),
    ("POST", "/scale", {"artifact": SLICE, "instances": 2}, {"status": "scaled", "artifact": SLICE, "instances": 2}),
    (
        "POST",
        "/controller/config",
        {"cpuScaleUpThreshold": 0.75},
        {"status": "updated", "config": {"cpuScaleUpThreshold": 0.75}},
    ),
    ("POST", "/controller/evaluate", None, {"status": "evaluation_triggered"}),
    (
        "POST",
        "/thresholds",
        {"metric": "cpu.usage", "warning": 0.6, "critical": 0.8},
        {"status": "threshold_set", "metric": "cpu.usage", "warning": 0.6, "critical": 0.8},
    ),
    ("DELETE", "/thresholds/cpu.usage", None, {"status": "threshold_removed", "metric": "cpu.usage"}),
    ("POST", "/alerts/clear", None, {"status": "alerts_cleared"}),
    ("POST", "/undeploy", {"artifact": SLICE}, {"status": "undeployed", "artifact": SLICE}),
    ("POST", "/undeploy", {"artifact": "no.such:slice:1.0.0"}, {"status": "undeployed"}),
]
REFUSED = [
    ("POST", "/deploy", {}, 400),
    ("POST", "/deploy", {"artifact": "nonsense"}, 400),
    ("POST", "/scale", {"artifact": SLICE}, 400),
    ("POST", "/thresholds", {"metric": "cpu.usage"}, 400),
    ("POST", "/blueprint", "this is no TOML [", 400),
    ("GET", "/rolling-update/no-such-id", None, 404),
    ("POST", "/rolling-update/no-such-id/approve", {}, 404),
    ("POST", "/rolling-update/start", {"version": "2.0.0"}, 400),
    ("GET", "/no/such/path", None, 404),
    ("PATCH", "/status", None, 405),
    ("GET", "/repository/org/acme/a/1.0/a-1.0.jar", None, 501),
    ("PUT", "/repository/org/acme/a/1.0/a-1.0.jar", "bytes", 501),
]


def misfits(value, wanted, path="answer"):
    """What is not as `wanted` says."""
    if isinstance(wanted, dict):
        if not isinstance(value, dict):
            return [f"{path} is {value!r:.80}, no object"]
        missing = [f"{path}.{name} is missing" for name in wanted if name not in value]
        both = [(name, inner) for name, inner in wanted.items() if name in value]
        return missing + [line for name, inner in both for line in misfits(value[name], inner, f"{path}.{name}")]
    if isinstance(wanted, list):
        if not isinstance(value, list) or not value:
            return [f"{path} is {value!r:.80}, no list with anything in it"]
        return [line for each in value for line in misfits(each, wanted[0], f"{path}[]")]
    if isinstance(wanted, type | tuple):
        return [] if isinstance(value, wanted) else [f"{path} is {value!r:.80}"]
    return [] if value == wanted else [f"{path} is {value!r:.80}, not {wanted!r}"]


def named_error(value):
    """Every place at which a healthy answer says the word that scripts take for failure."""
    if isinstance(value, dict):
        return [k for k in value if k == "error"] + [e for v in value.values() for e in named_error(v)]
    if isinstance(value, list):
        return [e for v in value for e in named_error(v)]
    return [value] if value == "error" else []


async def asked(running, verb, path, body):
    """As the original's own clients ask: JSON or a text, a bare POST with neither body nor type."""
    url = running.processes.ports["node-1"].management_url + path
    raw = None if body is None else (body if isinstance(body, str) else json.dumps(body)).encode()
    kind = {} if body is None else {"Content-Type": "text/plain" if isinstance(body, str) else "application/json"}
    return await running.client.request(verb, url, content=raw, headers=kind)


@contextlib.asynccontextmanager
async def one_node(open_cluster):
    """It asks for no token, as the original does not; a slice is deployed."""
    async with open_cluster(nodes=1, arguments=("--insecure",)) as running:
        await running.ready()
        await running.offered(SLICE)
        yield running


async def problems_of(running, verb, path, body, wanted):
    answer = await asked(running, verb, path, body)
    if answer.status_code != 200:
        return [f"{verb} {path}: {answer.status_code} {answer.text[:200]}"]
    value = answer.json()
    wrong = misfits(value, wanted) + [f"says {word!r}" for word in named_error(value)]
    return [f"{verb} {path}: {line}" for line in wrong]


@pytest.mark.parametrize("prefix", ["", "/api"])
async def test_every_read_has_the_fields_that_the_originals_clients_look_at(open_cluster, prefix):
    async with one_node(open_cluster) as running:
        await running.deploy(SLICE)
        found = []
        for path, wanted in READS.items():
            found += await problems_of(running, "GET", prefix + path, None, wanted)
        text = await asked(running, "GET", f"{prefix}/metrics/prometheus", None)

    assert found == []
    assert text.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "# TYPE aether_" in text.text


async def test_every_change_is_taken_as_the_originals_clients_send_it(open_cluster):
    async with one_node(open_cluster) as running:
        found = [line for change in CHANGES for line in await problems_of(running, *change)]

    assert found == []


async def test_what_the_original_refuses_is_refused_with_the_field_that_its_clients_read(open_cluster):
    """The statuses are right where the original's were not; the field `error` says why to old clients."""
    async with one_node(open_cluster) as running:
        found = []
        for verb, path, body, status in REFUSED:
            answer = await asked(running, verb, path, body)
            if (answer.status_code, isinstance(answer.json().get("error"), str)) != (status, True):
                found.append(f"{verb} {path}: {answer.status_code} {answer.text[:200]}")

    assert found == []
