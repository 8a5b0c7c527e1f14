"""Where code comes from: which nodes can run what, and what is wrong with the trees of the answering one.

Knows: the shape of the answers.
Never: files; how a tree is described.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aether.management.actors import Actors
from aether.management.commands import Changed
from aether.management.endpoint import NO_BODY, Endpoint, get
from aether.management.facts import Answer, Facts
from aether.management.view import TreeFacts
from aether.model.access import Role
from aether.model.artifact import Artifact
from aether.model.ids import NodeId


def store(facts: Facts, query: Mapping[str, object]) -> Answer:
    """Every artifact with the nodes that can run it, and every tree of this node."""
    able: dict[Artifact, list[NodeId]] = {}
    for row in facts.view.members():
        for artifact in row.available:
            able.setdefault(artifact, []).append(row.node)
    return {
        "artifacts": [{"artifact": str(a), "nodes": sorted(nodes)} for a, nodes in sorted(able.items())],
        "node": facts.local.node,
        "trees": [_tree(tree) for tree in facts.local.trees],
        "revision": facts.view.revision,
    }


async def rescan(actors: Actors, body: Mapping[str, object], by: str) -> Changed:
    revision, trees = await actors.trees.rescan()
    shown = [_tree(tree) for tree in trees]
    return Changed({"status": "rescanned", "trees": shown, "revision": revision}, revision, frozenset())


def _tree(tree: TreeFacts) -> Answer:
    state = "copying" if tree.copying else "unfit" if tree.problems else "available"
    return {
        "tree": tree.tree,
        "state": state,
        "artifacts": [str(artifact) for artifact in tree.artifacts],
        "problems": list(tree.problems),
        "notes": list(tree.notes),
    }


STORE_ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    get("/slices/store", "Which nodes can run which artifact, and the trees of this node with their problems.", store),
    Endpoint(
        path="/slices/rescan",
        about="Let this node look at its trees now, also again at those that it could not describe.",
        role=Role.OPERATOR,
        query=NO_BODY,
        body=NO_BODY,
        change=rescan,
        is_act=True,
    ),
)
