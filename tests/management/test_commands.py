"""Every mutation of the admin API: fields, answers, refusals, waiting."""

from __future__ import annotations

import json

import attrs
import pytest
import trio

from aether.errors import BadInput, Conflict, NoQuorum, NotFound, OutcomeUnknown
from aether.management.table import ENDPOINTS
from aether.model.lifecycle import SliceState
from aether.model.rows import UnsatisfiedRow

PRICING = "shop:pricing:1.0.0"
ORDERS = "shop.orders:place-order:1.2.0"
CHANGES = [e.path for e in ENDPOINTS if e.change is not None]
READS = {e.path for e in ENDPOINTS if not e.changes_something}


@pytest.mark.parametrize("prefix", ["", "/api"])
@pytest.mark.parametrize("verb", ["POST", "PUT"])
@pytest.mark.parametrize(
    ("path", "body", "asked", "answer"),
    [
        (
            "/deploy",
            {"artifact": PRICING, "instances": 3},
            ("deploy", PRICING, 3),
            {"status": "deployed", "artifact": PRICING, "instances": 3},
        ),
        (
            "/deploy",
            {"artifact": PRICING},
            ("deploy", PRICING, None),
            {"status": "deployed", "artifact": PRICING, "instances": 1},
        ),
        (
            "/scale",
            {"artifact": PRICING, "instances": 2},
            ("scale", PRICING, 2),
            {"status": "scaled", "artifact": PRICING, "instances": 2},
        ),
        ("/scale", {"artifactBase": "shop:pricing", "instances": 0}, ("scale", "shop:pricing", 0), {"instances": 0}),
        ("/undeploy", {"artifact": PRICING}, ("undeploy", PRICING), {"status": "undeployed", "artifact": PRICING}),
        ("/undeploy", {"artifact_base": "shop:pricing"}, ("undeploy", "shop:pricing"), {"artifact": "shop:pricing"}),
        (
            "/blueprint",
            {"toml": "x", "applied_by": "ann"},
            ("apply", "x", "ann"),
            {"status": "applied", "blueprint": "demo:7", "slices": 2, "id": "demo", "number": 7},
        ),
        (
            "/blueprint",
            {"toml": "x"},
            ("apply", "x", "admin"),
            {"artifacts": ["shop.orders:place-order:1.2.0", PRICING]},
        ),
    ],
)
async def test_a_mutation_asks_the_operator_and_answers_with_its_revision(
    world, prefix, verb, path, body, asked, answer
):
    """Fields as the original's, in either spelling; PUT as POST; the revision lets any other node be read after it."""
    given = await world.ask(verb, prefix + path, body)
    assert given.status == 200
    assert world.operator.asked == [asked]
    assert given.json | answer == given.json
    assert given.json["revision"] == 43


async def test_undeploying_what_nobody_wanted_says_so(world):
    """It is no failure, as in the original; but a misspelt name should not look like a success."""
    assert (await world.ask("POST", "/undeploy", {"artifact": PRICING})).json["wasWanted"] is True
    again = await world.ask("POST", "/undeploy", {"artifact": PRICING})
    assert (again.status, again.json["status"], again.json["wasWanted"]) == (200, "undeployed", False)


@pytest.mark.parametrize(
    "content_type", ["application/toml", "text/plain; charset=utf-8", "text/toml", "application/json"]
)
async def test_a_blueprint_may_be_sent_as_its_bare_text(world, content_type):
    """curl --data-binary @blueprint.toml; clients of the original label it JSON."""
    text = '# prices in ä\n[[slices]]\nartifact = "shop:pricing"\n'
    assert (await world.ask("POST", "/blueprint", text.encode(), content_type=content_type)).status == 200
    assert world.operator.asked == [("apply", text, "admin")]


VERBS = {path: {v for e in ENDPOINTS if e.path == path for v in e.verbs} for path in CHANGES}


@pytest.mark.parametrize("verb", ["GET", "DELETE", "PATCH"])
@pytest.mark.parametrize(  # an update may be named "start", and some paths are read and changed
    "path", [path for path in CHANGES if not path.endswith("/start") and path not in READS]
)
async def test_a_mutation_refuses_other_verbs(world, verb, path):
    """Above all GET: a link or an image must not change anything."""
    if verb in VERBS[path]:
        return
    answer = await world.ask(verb, path)
    heads = {"HEAD"} if "GET" in VERBS[path] else set()
    assert (answer.status, answer.response.headers["Allow"]) == (
        405,
        ", ".join(sorted({*VERBS[path], "OPTIONS"} | heads)),
    )
    assert not world.operator.asked


BAD = [
    ("/deploy", {}, ["artifact: missing; give text"]),
    ("/deploy", b"", ["artifact: missing; give text"]),
    ("/deploy", {"artifact": 7, "instances": "3"}, ["artifact: 7 is not text", 'instances: "3" is not a whole number']),
    ("/deploy", {"artifact": "", "instances": -1}, ["artifact: 0 characters", "instances: -1 is out of range"]),
    ("/deploy", {"artifact": "a", "instances": True}, ["instances: true is not a whole number"]),
    ("/deploy", {"artifact": "a", "instances": 1.5}, ["instances: 1.5 is not a whole number"]),
    ("/deploy", {"artifact": "a", "instances": 1001}, ["instances: 1001 is out of range; allowed are 0 to 1000"]),
    ("/deploy", {"artifact": "a", "instances": None}, ["instances: null is not a whole number"]),
    ("/deploy", {"artifact": "a", "instance": 3}, ["instance: unknown; did you mean instances?"]),
    ("/deploy", {"artefact": "a"}, ["artefact: unknown; did you mean artifact?", "artifact: missing; give text"]),
    (
        "/deploy",
        {"artifact": "a", "artifactBase": "b"},
        ["artifactBase: given twice, also in another spelling; keep one"],
    ),
    ("/deploy", b"[1]", ["an object is wanted"]),
    ("/deploy", b"{", ["Expecting property name"]),
    ("/deploy", b"\xff{}", ["decode"]),
    ("/deploy", b'{"artifact": "a", "artifact": "b"}', ["'artifact' is given twice"]),
    ("/deploy", b'{"artifact": "a", "instances": NaN}', ["NaN is no JSON number"]),
    ("/deploy", b"[" * 100_000, ["nested too deeply"]),
    ("/deploy", b"[" * 500 + b"]" * 500, ["an object is wanted, such as {}, not a list"]),
    ("/deploy", b'{"artifact": ' + b"[" * 500 + b"]" * 500 + b"}", ["artifact: a list is not text"]),
    ("/scale", b'{"artifact": "a", "instances": ' + b"9" * 4000 + b"}", [f"instances: {'9' * 80} is out of range"]),
    ("/scale", b'{"artifact": "\\ud800", "instances": 1}', ['artifact: "\\ud800" is not text']),
    ("/scale", b'{"artifact": "a", "instances": 1, "\\ud800": 1}', ["\ud800: unknown"]),
    ("/blueprint", b'{"toml": "slices=[]", "appliedBy": "\\udfff"}', ['appliedBy: "\\udfff" is not text']),
    ("/scale", {"artifact": "a"}, ["instances: missing; give a whole number"]),
    ("/undeploy", {"artifact": "a", "instances": 1}, ["instances: unknown; known are artifact"]),
    ("/blueprint", {"blueprnt": "x"}, ["blueprnt: unknown; did you mean blueprint?", "toml: missing"]),
    ("/blueprint", b"\xff", ["it is not UTF-8"]),
]


@pytest.mark.parametrize(("path", "body", "problems"), BAD, ids=lambda v: str(v)[:40])
async def test_a_body_that_does_not_fit_is_refused_with_every_problem_at_once(world, path, body, problems):
    """One round of corrections, not five; nothing unknown is ignored in silence."""
    answer = await world.ask("POST", path, body)
    assert answer.status == 400
    assert len(answer.json["problems"]) == len(problems)
    for said, wanted in zip(answer.json["problems"], problems, strict=True):
        assert wanted in said
    assert not world.operator.asked


async def test_a_hostile_body_of_very_many_names_is_answered_briefly(world):
    """Megabytes of wrong names cost neither seconds of the loop nor megabytes of answer."""
    for name in ("k", "artifac", "x" * 10_000):
        body = {f"{name}{n}": 1 for n in range(300)}
        answer = await world.ask("POST", "/deploy", body)
        assert (answer.status, len(answer.json["problems"])) == (400, 65)
        assert len(str(answer.json)) < 30_000


async def test_a_field_that_the_originals_clients_send_is_accepted_and_not_used(world):
    """Their scripts keep working."""
    body = {"artifact": PRICING, "instances": 2, "placement": "any"}
    assert (await world.ask("POST", "/scale", body)).status == 200


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (BadInput("blueprint", ("slices[0].artifact: missing",)), 400),
        (NotFound("slice", "shop:pricing"), 404),
        (Conflict("shop:pricing", "owned by demo"), 409),
        (NoQuorum(1, 2), 503),
        (OutcomeUnknown(), 504),
    ],
)
async def test_what_the_operator_refuses_is_shown_as_its_problem(world, error, status):
    """The caller learns what to do next from the status alone."""
    world.operator.fails = error
    answer = await world.ask("POST", "/deploy", {"artifact": PRICING})
    assert (answer.status, answer.json["detail"]) == (status, str(error))


# --- waiting ---------------------------------------------------------------------------------------------------------


async def test_wait_answers_when_the_instances_are_active_as_desired(world, autojump_clock):
    """`--wait` of the CLI: after it, a request reaches the slice."""
    began = trio.current_time()

    async def activate() -> None:
        for seconds, state in ((1, "LOADED"), (2, "ACTIVATING"), (3, "ACTIVE")):
            await trio.sleep_until(began + seconds)
            world.rows.instance_rows[2] = attrs.evolve(world.rows.instance_rows[2], state=SliceState(state))
            world.rows.changed()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(activate)
        answer = await world.ask("POST", "/deploy?wait=30", {"artifact": PRICING})
    assert (answer.status, answer.json["status"]) == (200, "deployed")
    assert trio.current_time() - began == 3.0
    assert not world.rows.watchers


async def test_wait_does_not_wait_for_what_is_already_so(world, autojump_clock):
    """A repeat of an applied blueprint answers at once."""
    began = trio.current_time()
    body = {"artifact": "shop.orders:place-order", "instances": 2}
    assert (await world.ask("POST", "/scale?wait=30", body)).status == 200
    assert trio.current_time() == began


async def test_wait_that_runs_out_says_what_is_missing_and_that_the_wish_stands(world, autojump_clock):
    """504 with the revision: the mutation happened, its effect is not complete, and here is why."""
    row = world.rows.instance_rows[2]
    world.rows.instance_rows[2] = attrs.evolve(row, state=SliceState.FAILED, reason="no module named shop")
    world.rows.unsatisfied_rows.append(
        UnsatisfiedRow(artifact=row.artifact.base, missing=1, reason="no node offers it")
    )
    began = trio.current_time()
    answer = await world.ask("POST", "/deploy?wait=2.5", {"artifact": PRICING, "instances": 2})
    assert trio.current_time() - began == 2.5
    assert (answer.status, answer.json["revision"]) == (504, 43)
    assert answer.json["missing"] == [
        "shop:pricing:1.0.0: 0 of 2 instances ACTIVE",
        "shop:pricing:1.0.0: 1 cannot be placed: no node offers it",
        "shop:pricing:1.0.0: instance i3 on node-3 is FAILED: no module named shop",
    ]
    assert not world.rows.watchers


async def test_wait_after_undeploy_waits_until_the_instances_are_gone(world, autojump_clock):
    """Otherwise a redeploy would meet the old ones."""
    answer = await world.ask("POST", "/undeploy?wait=1", {"artifact": "shop.orders:place-order"})
    assert answer.json["missing"] == ["shop.orders:place-order:1.2.0: 2 instances are still to go"]
    world.rows.instance_rows[:2] = []
    assert (await world.ask("POST", "/undeploy?wait=1", {"artifact": "shop.orders:place-order"})).status == 200


async def test_wait_zero_looks_once(world, autojump_clock):
    """Useful for a script that polls itself."""
    answer = await world.ask("POST", "/blueprint?wait=0", {"toml": "x"})
    assert answer.json["missing"][0] == "shop:pricing:1.0.0: 0 of 1 instances ACTIVE"


@pytest.mark.parametrize(
    "query",
    ["wait=-1", "wait=3601", "wait=soon", "wait=nan", "wiat=3", "wait=inf", "consistent=1", "wait=1_0", "wait="],
)
async def test_a_bad_wait_is_refused_before_anything_is_changed(world, query):
    """Bounded, and not after the fact."""
    answer = await world.ask("POST", f"/deploy?{query}", {"artifact": PRICING})
    assert answer.status == 400
    assert not world.operator.asked


async def test_an_answer_of_a_mutation_holds_no_word_error(world):
    """As for reads."""
    for path, body in (("/deploy", {"artifact": PRICING}), ("/undeploy", {"artifact": PRICING})):
        assert '"error"' not in json.dumps((await world.ask("POST", path, body)).json)
