"""What a node can load, and how its member row tells it."""

import trio

import aether
from aether.kv import keys
from aether.model.artifact import Artifact
from aether.node.shelf import base_environment


@aether.slice(artifact="tests.shelf:thing:1.0.0")
class Thing:
    async def say(self) -> str:
        return "hello"


async def test_a_node_without_a_directory_offers_what_it_has_imported(aether_cluster):
    cluster = await aether_cluster(Thing)
    node = cluster.node("node-1")._node
    artifact = Artifact.parse("tests.shelf:thing:1.0.0")

    assert node.store.available() == (artifact,)
    assert node.shelf.known(artifact).name == "Thing"
    assert node.shelf.known(Artifact.parse("tests.shelf:thing:2.0.0")) is None
    assert node.shelf.report() == ()
    with trio.fail_after(10.0):
        await node.shelf.looked()
    assert node.kv.get(keys.member(node.config.node)).available == (artifact,)


def test_a_tree_may_import_the_environment_but_not_the_application(tmp_path, monkeypatch):
    """A module of the application may have the name of one in the tree."""
    for name in ("here", "app", "site"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    path = ["", str(tmp_path / "here"), str(tmp_path / "app"), str(tmp_path / "site"), "../site"]

    found = base_environment(path, tmp_path / "app")
    assert found == (str(tmp_path / "site"), str(tmp_path / "here" / ".." / "site"))
    assert base_environment([str(tmp_path / "app")], None) == (str(tmp_path / "app"),)
