"""What the nemesis draws, cuts, concludes and reports, without a node."""

import json
import random

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.failpoints import parse_plan
from aether.testing.linearizability import Operation, Outcome
from aether.testing.nemesis.client import HarnessError, RegisterClient, concluded
from aether.testing.nemesis.faults import FAULTS, drawn_crash, drawn_error, drawn_slowness
from aether.testing.nemesis.run import NemesisPlan, NemesisReport, judge
from aether.testing.nemesis.schedule import CUTS, draw_schedule

NODES = {3: ["a", "b", "c"], 5: ["a", "b", "c", "d", "e"]}


# --- schedules --------------------------------------------------------------------------------------------------------


@given(st.integers(0, 2**32), st.integers(1, 2_000))
def test_a_seed_draws_the_same_schedule_again_and_each_fault_before_any_repeats(seed, seconds):
    faults = list(FAULTS)
    steps = draw_schedule(seed, seconds, faults)

    assert steps == draw_schedule(seed, seconds, faults)
    first = [step.faults[0] for step in steps[: len(faults)]]
    assert len(set(first)) == len(first)
    assert all(len(set(step.faults)) == len(step.faults) <= 2 for step in steps)


@pytest.mark.parametrize("draw", [drawn_crash, drawn_error, drawn_slowness])
@given(seed=st.integers(0, 2**32))
def test_what_is_armed_is_a_plan_that_a_node_accepts(draw, seed):
    (failure,) = parse_plan(draw(random.Random(seed)))

    assert failure.crash or failure.error or failure.sleep_ms


# --- partitions -------------------------------------------------------------------------------------------------------


def reachable(nodes, cut, source):
    """Whom `source` can talk with, both ways, by way of others too."""
    found, waiting = {source}, [source]
    while waiting:
        here = waiting.pop()
        for other in nodes:
            if other not in found and (here, other) not in cut and (other, here) not in cut:
                found.add(other)
                waiting.append(other)
    return found


@pytest.mark.parametrize("count", [3, 5])
@pytest.mark.parametrize("name", CUTS)
def test_a_partition_cuts_something_and_never_everything(name, count):
    nodes = NODES[count]
    for draw in range(20):
        cut = CUTS[name](nodes, "b", random.Random(draw))
        assert cut
        assert cut < {(a, b) for a in nodes for b in nodes if a != b}
        assert all(a != b for a, b in cut)


def test_who_hears_whom_in_each_kind_of_partition():
    rng = random.Random(1)
    assert reachable(NODES[5], CUTS["isolate-leader"](NODES[5], "b", rng), "b") == {"b"}
    assert CUTS["deaf-leader"](NODES[3], "b", rng) == {("a", "b"), ("c", "b")}
    assert CUTS["mute-leader"](NODES[3], "b", rng) == {("b", "a"), ("b", "c")}
    assert len(CUTS["one-way-pair"](NODES[5], "b", rng)) == 1
    halves = CUTS["halves"](NODES[5], "b", rng)
    assert sorted({len(reachable(NODES[5], halves, n)) for n in NODES[5]}) == [2, 3]
    bridged = CUTS["bridged-by-leader"](NODES[5], "b", rng)
    assert not [way for way in bridged if "b" in way]
    assert len(bridged) == 12


def test_a_bridge_and_a_ring_of_five():
    cut = CUTS["bridge"](NODES[5], "b", random.Random(3))
    whole = [n for n in NODES[5] if not any(n in way for way in cut)]
    assert len(whole) == 1
    ring = CUTS["ring"](NODES[5], "b", random.Random(3))
    assert all(sum((n, m) not in ring for m in NODES[5] if m != n) == 2 for n in NODES[5])


# --- what an answer means ---------------------------------------------------------------------------------------------


def body(**fields):
    return json.dumps(fields).encode()


@pytest.mark.parametrize(
    ("kind", "status", "content", "expected"),
    [
        ("get", 200, body(value="v", version=3), (Outcome.OK, ("v", 3))),
        ("get", 404, body(kind="row"), (Outcome.OK, (None, 0))),
        ("put", 200, body(revision=4), (Outcome.OK, 4)),
        ("cas", 200, body(revision=4), (Outcome.OK, (True, 4))),
        ("cas", 409, body(type="urn:aether:conflict"), (Outcome.OK, (False, None))),
        ("delete", 200, body(revision=4), (Outcome.OK, None)),
        ("put", 503, b"", (Outcome.FAILED, None)),
        ("put", 429, b"", (Outcome.FAILED, None)),
        ("put", 504, b"", (Outcome.UNKNOWN, None)),
        ("put", 500, b"", (Outcome.UNKNOWN, None)),
    ],
)
def test_an_operation_is_what_its_answer_says(kind, status, content, expected):
    assert concluded(kind, status, content, "x") == expected


@pytest.mark.parametrize(("status", "content"), [(401, body()), (404, body(kind="route")), (409, body(type="x"))])
def test_an_answer_to_a_wrong_question_is_the_harness_s_fault(status, content):
    with pytest.raises(HarnessError, match=str(status)):
        concluded("put", status, content, "PUT x of node-1")


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (httpx.ConnectError("refused"), Outcome.FAILED),
        (httpx.ConnectTimeout("no answer"), Outcome.FAILED),
        (httpx.ReadTimeout("silence"), Outcome.UNKNOWN),
        (httpx.RemoteProtocolError("closed"), Outcome.UNKNOWN),
        (httpx.WriteError("broken"), Outcome.UNKNOWN),
    ],
)
async def test_a_request_that_may_have_been_sent_is_of_unknown_outcome(error, outcome):
    def fail(_):
        raise error

    async with httpx.AsyncClient(transport=httpx.MockTransport(fail)) as http:
        client = RegisterClient("p", http, {"n": "http://n"}, {"n": "t"})
        written = await client.put("n", "k", "v")

    assert written.outcome is outcome
    assert (written.kind, written.argument, written.result) == ("put", "v", None)


async def test_reads_ask_the_majority_unless_they_are_to_be_stale():
    asked = []

    def answer(request):
        asked.append(dict(request.url.params))
        return httpx.Response(200, json={"value": "v", "version": 1})

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        for stale in (False, True):
            await RegisterClient("p", http, {"n": "http://n"}, {"n": "t"}, reads_locally=stale).get("n", "k")

    assert asked == [{"key": "maps/nemesis/k", "consistent": "true"}, {"key": "maps/nemesis/k"}]


# --- the verdict ------------------------------------------------------------------------------------------------------


def write(value, called, outcome=Outcome.OK):
    result = called + 1 if outcome is Outcome.OK else None
    end = called + 0.5 if outcome is Outcome.OK else None
    return Operation(
        process="p", key="k", kind="put", argument=value, result=result, called=called, returned=end, outcome=outcome
    )


def read(value, version, called):
    return Operation(process="p", key="k", kind="get", result=(value, version), called=called, returned=called + 0.5)


def report_on(history):
    report = NemesisReport(plan=NemesisPlan())
    report.outcomes.update(o.outcome for o in history)
    judge(report, history)
    return report


def test_an_acknowledged_write_that_the_last_look_misses_is_a_violation():
    assert report_on([write("v", 1), read("v", 2, 5)]).exit_code == 0
    lost = report_on([write("v", 1), read(None, 0, 5)])
    assert lost.exit_code == 1
    assert "not linearizable" in str(lost)


def test_a_run_that_nobody_answered_proves_nothing_and_says_so():
    silent = report_on([write(str(n), n, Outcome.UNKNOWN) for n in range(20)] + [read(None, 0, 50)])

    assert silent.exit_code == 3
    assert "proves little" in str(silent)
