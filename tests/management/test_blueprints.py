"""Blueprints at the admin API: what each path passes on, and how its answer reads."""

import pytest

from aether.errors import Conflict
from aether.model.artifact import Artifact
from aether.model.rows import ApplyRow, ApplyState

TEXT = 'id = "demo"\n[[slices]]\nartifact = "shop:pricing:^1"\n'


async def test_a_text_is_applied_with_its_conditions(world):
    """Pipelines say which number they have seen."""
    body = {"toml": TEXT, "force": True, "ifNumber": 6}
    asked = await world.ask("POST", "/blueprint", body)

    assert world.operator.asked == [("apply", TEXT, "admin", True, 6)]
    assert asked.json["updates"] == {"shop.orders:place-order": "u1"}
    assert asked.json["warnings"] == ["mind the gap"]


async def test_a_plan_is_shown_slice_by_slice_and_changes_nothing(world):
    asked = await world.ask("POST", "/blueprint/plan", TEXT.encode(), content_type="application/toml")

    assert world.operator.asked == [("plan", TEXT, False)]
    assert (asked.json["id"], asked.json["number"], asked.json["changes"]) == ("demo", 8, True)
    (each,) = asked.json["slices"]
    assert (each["artifact"], each["action"]) == ("shop.orders:place-order", "change")
    assert (each["oldVersion"], each["newVersion"]) == ("1.2.0", "1.2.0")
    assert (each["oldInstances"], each["newInstances"], each["takesBack"]) == (2, 3, "5 instances by ann")


@pytest.mark.parametrize("path", ["/blueprint", "/blueprint/validate", "/blueprint/plan"])
async def test_a_mark_that_an_editor_leaves_before_the_text_is_no_part_of_it(world, path):
    """Some write a byte order mark, which no reader of TOML takes."""
    bare = await world.ask("POST", path, ("\ufeff" + TEXT).encode(), content_type="application/toml")
    inside = await world.ask("POST", path, {"toml": "\ufeff" + TEXT})

    assert (bare.status, inside.status) == (200, 200)
    assert {asked[1] for asked in world.operator.asked} <= {TEXT}


async def test_validating_says_everything_that_is_wrong_and_asks_nobody(world):
    good = await world.ask("POST", "/blueprint/validate", {"toml": TEXT})
    bad = await world.ask("POST", "/blueprint/validate", {"toml": "slcies = 1"})
    broken = await world.ask("POST", "/blueprint/validate", {"toml": "id = \n"})

    assert (good.status, good.json["status"], good.json["artifacts"]) == (200, "valid", ["shop:pricing:^1"])
    assert bad.status == 400
    assert len(bad.json["problems"]) == 2
    assert broken.json["problems"][0].startswith("line 1, column 6")
    assert world.operator.asked == []


async def test_the_history_says_who_when_and_why_newest_first(world):
    asked = await world.ask("GET", "/blueprints/demo/history")

    assert [(row["number"], row["appliedBy"], row["appliedAt"]) for row in asked.json["history"]] == [
        (2, "bob", 2.0), (1, "ann", 1.0),
    ]  # fmt: skip
    assert asked.json["watched"] is None
    assert (await world.ask("GET", "/blueprints/other/history")).status == 404


async def test_the_history_shows_an_atomic_apply_that_is_not_active_yet(world):
    artifact = Artifact.parse("shop:pricing:1.0.0")
    world.rows.apply_rows = [
        ApplyRow(
            id="demo",
            number=2,
            previous=1,
            slices=(artifact,),
            timeout_s=60.0,
            state=ApplyState.RETURNING,
            reason="broken",
        )
    ]

    watched = (await world.ask("GET", "/blueprints/demo/history")).json["watched"]

    assert watched == {"number": 2, "state": "RETURNING", "reason": "broken"}


@pytest.mark.parametrize(
    ("path", "body", "asked", "status"),
    [
        ("/blueprints/demo/rollback", {}, ("rollback", "demo", None, "admin"), "rolled back"),
        (
            "/blueprints/demo/rollback",
            {"number": 3, "appliedBy": "ann"},
            ("rollback", "demo", 3, "ann"),
            "rolled back",
        ),
        ("/blueprints/demo/delete", {}, ("delete", "demo", "admin", False), "deleted"),
        ("/blueprints/demo/delete", {"force": True}, ("delete", "demo", "admin", True), "deleted"),
    ],
)
async def test_what_is_asked_of_one_blueprint_is_passed_on(world, path, body, asked, status):
    answer = await world.ask("POST", path, body)

    assert (world.operator.asked, answer.json["status"]) == ([asked], status)


@pytest.mark.parametrize(
    "path", ["/blueprint", "/blueprint/plan", "/blueprints/demo/rollback", "/blueprints/demo/delete"]
)
async def test_a_conflict_says_whose_change_won(world, path):
    world.operator.fails = Conflict("blueprint demo", "number 3 by ann is in force")
    body = {"toml": TEXT} if "blueprints" not in path else {}

    asked = await world.ask("POST", path, body)

    assert (asked.status, asked.json["detail"]) == (409, "blueprint demo: number 3 by ann is in force")


@pytest.mark.parametrize("path", ["/blueprint", "/blueprint/plan", "/blueprint/validate"])
async def test_a_change_needs_the_token(world, path):
    assert (await world.ask("POST", path, {"toml": TEXT}, token=None)).status == 401
