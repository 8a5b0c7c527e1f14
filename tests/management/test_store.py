"""Where code comes from, over the admin API."""

from __future__ import annotations

import attrs
import pytest

from aether.errors import NotFound
from aether.model.artifact import Artifact

PRICING = Artifact.parse("shop:pricing:1.0.0")


@attrs.frozen
class Tree:
    tree: str
    artifacts: tuple[Artifact, ...] = ()
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    copying: bool = False


TREES = (
    Tree("pricing/1.0.0", (PRICING,)),
    Tree("pricing/1.1.0", copying=True),
    Tree("pricing/2.0.0", problems=("no aether.toml (yet)",), notes=("odd",)),
)


@pytest.mark.parametrize("path", ["/slices/store", "/api/slices/store"])
async def test_who_can_run_what_and_the_state_of_each_tree_are_shown(world, path):
    world.local.trees = TREES
    world.rows.member_rows[1] = attrs.evolve(world.rows.member_rows[1], available=(PRICING,))
    answer = (await world.ask("GET", path)).json

    assert {"artifact": str(PRICING), "nodes": ["node-1", "node-2"]} in answer["artifacts"]
    assert [(tree["tree"], tree["state"]) for tree in answer["trees"]] == [
        ("pricing/1.0.0", "available"),
        ("pricing/1.1.0", "copying"),
        ("pricing/2.0.0", "unfit"),
    ]
    assert answer["trees"][2]["problems"] == ["no aether.toml (yet)"]
    assert answer["revision"] == 42


async def test_looking_again_needs_the_token_and_shows_what_was_found(world):
    assert (await world.ask("POST", "/slices/rescan", token=None)).status == 401
    assert world.trees.asked == 0

    world.trees.found = list(TREES)
    answer = await world.ask("POST", "/slices/rescan", {})
    assert (answer.status, world.trees.asked) == (200, 1)
    assert [tree["tree"] for tree in answer.json["trees"]] == [tree.tree for tree in TREES]


async def test_a_node_without_such_a_directory_says_so(world, monkeypatch):
    async def none():
        raise NotFound("directory of slices", "--slices", "start this node with --slices DIR")

    monkeypatch.setattr(type(world.trees), "rescan", lambda self: none())
    answer = await world.ask("POST", "/slices/rescan", {})

    assert answer.status == 404
    assert "--slices DIR" in str(answer.json)
