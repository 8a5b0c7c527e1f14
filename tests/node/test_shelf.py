"""What a node can load, and how its member row tells it."""

import logging

import trio

import aether
from aether.errors import BadInput
from aether.kv import keys
from aether.kv.commands import BatchResult
from aether.model.artifact import Artifact
from aether.model.ids import Incarnation, NodeId, Revision
from aether.model.rows import MemberRow
from aether.node.config import NodeConfig
from aether.node.enrolment import set_draining
from aether.node.seams import Seams
from aether.node.shelf import Shelf, base_environment
from aether.work import InlineWork

ONE, TWO, THREE = (Artifact.parse(f"tests.shelf:thing:{number}.0.0") for number in (1, 2, 3))


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


class Rows:
    """A store of rows of which one holds two artifacts at most; `conflicts` writes come too late."""

    def __init__(self, conflicts=0):
        self.written = {}
        self.conflicts = conflicts

    def get(self, key):
        return self.written.get(key)

    def version(self, key):
        return Revision(int(key in self.written))

    async def propose(self, batch):
        await trio.lowlevel.checkpoint()
        (change,) = batch.changes
        if len(change.value.available) > 2:
            raise BadInput("a value of 600000 bytes", ("at most 524288",))
        if self.conflicts:
            self.conflicts -= 1
            return BatchResult(applied=False, revision=Revision(1), conflict=change.key.text)
        self.written[change.key] = change.value
        return BatchResult(applied=True, revision=Revision(1), conflict=None)


def member(*available, **more):
    return MemberRow(node=NodeId("n"), incarnation=Incarnation("i"), available=available, **more)


async def test_more_than_a_row_holds_is_told_once_per_change(tmp_path, caplog, autojump_clock):
    shelf = Shelf(NodeConfig(node=NodeId("n"), slices=tmp_path), Seams(work=InlineWork()), ())
    offered, rows = (ONE,), Rows()
    shelf.store.available = lambda: offered

    def told():
        return sum("do not fit its member row" in record.message for record in caplog.records)

    async with trio.open_nursery() as nursery:
        with caplog.at_level(logging.WARNING):
            await nursery.start(shelf.publish, rows, lambda: member(*offered))
            offered = (ONE, TWO, THREE)
            await trio.sleep(60.0)
            assert told() == 1
            offered = (TWO, THREE, Artifact.parse("tests.shelf:thing:4.0.0"))
            await trio.sleep(60.0)
            assert told() == 2
            assert rows.get(keys.member(NodeId("n"))).available == (ONE,), "what was told before stays"
            offered = (ONE, TWO)
            await trio.sleep(60.0)
            assert rows.get(keys.member(NodeId("n"))).available == (ONE, TWO)
        nursery.cancel_scope.cancel()
    assert told() == 2
    assert str(tmp_path) in caplog.text


async def test_a_node_that_cannot_tell_all_it_has_still_says_that_it_drains():
    rows = Rows()
    rows.written[keys.member(NodeId("n"))] = member(ONE)
    await set_draining(rows, lambda: member(ONE, TWO, THREE))
    assert rows.get(keys.member(NodeId("n"))) == member(ONE, draining=True)


async def test_a_node_says_that_it_drains_also_when_its_row_changes_meanwhile():
    """It would be given new instances while it stops."""
    rows = Rows(conflicts=2)
    rows.written[keys.member(NodeId("n"))] = member(ONE)
    await set_draining(rows, lambda: member(ONE))
    assert rows.get(keys.member(NodeId("n"))).draining


async def test_the_row_of_an_earlier_process_is_not_what_a_node_drains_with():
    rows = Rows()
    rows.written[keys.member(NodeId("n"))] = MemberRow(node=NodeId("n"), incarnation=Incarnation("earlier"))
    await set_draining(rows, lambda: member(ONE))
    assert rows.get(keys.member(NodeId("n"))) == member(ONE, draining=True)
