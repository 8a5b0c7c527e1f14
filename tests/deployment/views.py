"""What a decision is made on, in few words: for tests of reconcile, step by step and by properties."""

from aether.deployment.orders import View
from aether.model.artifact import Artifact
from aether.model.rows import DesiredRow

OLD, NEW, OTHER = map(Artifact.parse, ("shop:pricing:1.0.0", "shop:pricing:2.0.0", "shop:stock:1.0.0"))


def wish(instances, artifact=OLD, **fields):
    return DesiredRow(artifact=artifact, instances=instances, blueprint="app", **fields)


def view(wishes=(), rows=(), members=(), **fields):
    return View(
        desired={w.artifact.base: w for w in wishes},
        instances=tuple(rows),
        members={m.node: m for m in members},
        **fields,
    )
