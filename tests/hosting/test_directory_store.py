"""A directory of trees over time, in virtual time: what is offered when, and what is told of the rest."""

import contextlib
import json
import logging

import pytest
import trio

from aether.errors import NotFound
from aether.hosting.directory_store import DirectoryStore
from aether.model.artifact import Artifact
from aether.model.limits import TREE_RETRY_MIN_S, TREES_RESCAN_S
from aether.slice_api.described import read_slice
from aether.slice_api.program import Program
from aether.testing.trees import remove_tree, shop_code, shop_tree, write_tree
from aether.work import InlineWork

ONE, TWO = Artifact.parse("e2e:shop:1.0.0"), Artifact.parse("e2e:shop:1.1.0")


class Describer:
    """Stands for worker processes: describes what it is told to. failing  artifact -> problem"""

    def __init__(self):
        self.asked = []
        self.failing = {}

    async def __call__(self, tree, base):
        self.asked.append(tree.name)
        await trio.sleep(0.5)
        return {each.artifact: self.failing.get(each.artifact) or said(each, tree, base) for each in tree.slices}


def said(each, tree, base):
    """A slice without methods."""
    artifact = str(each.artifact)
    contract = {"format": 1, "name": each.qualname, "artifact": artifact, "doc": "", "json_case": "snake"}
    whole = {
        "format": 1,
        "contract": {**contract, "methods": [], "faults": [], "definitions": {}, "options": {}},
        "methods": {},
        "openapi": "",
        "fields": [],
        "routes": [],
        "bases": [],
    }
    program = Program(module=each.module, qualname=each.qualname, path=(*tree.path, *base))
    return read_slice(json.dumps(whole), program, each.artifact)


@pytest.fixture
def root(tmp_path):
    found = tmp_path / "slices"
    found.mkdir()
    return found


@pytest.fixture
def describer():
    return Describer()


@pytest.fixture
def opened(root, describer):
    """A store that looks at `root`. late=True: by its clock every file is old."""

    @contextlib.asynccontextmanager
    async def opened(*, late=True):
        wall = (lambda: 1e12) if late else (lambda: 0.0)
        store = DirectoryStore(root, InlineWork(), base=("base",), wall=wall, describe=describer)
        async with trio.open_nursery() as nursery:
            await nursery.start(store.run)
            yield store
            nursery.cancel_scope.cancel()

    return opened


async def look():
    await trio.sleep(TREES_RESCAN_S + 2.0)


async def test_what_is_there_at_the_start_is_offered_and_loaded(root, opened, autojump_clock):
    shop_tree(root, "1.0.0")
    async with opened() as store:
        assert store.available() == (ONE,)
        found = await store.load(ONE)
        assert found.program.path == (str(root / "shop" / "1.0.0"), "base")
        with pytest.raises(NotFound, match=r"offers e2e:shop:1\.0\.0"):
            await store.load(TWO)


async def test_a_tree_that_came_a_moment_before_the_start_is_there_at_once(root, opened, autojump_clock):
    """Or a node would say that it is ready, and that nobody offers what lies in its directory."""
    shop_tree(root, "1.0.0")
    async with opened(late=False) as store:
        assert store.available() == (ONE,)


async def test_a_tree_is_described_once_however_often_it_is_looked_at(root, opened, describer, autojump_clock):
    shop_tree(root, "1.0.0")
    async with opened():
        for _ in range(5):
            await look()

        assert describer.asked == ["shop/1.0.0"]


async def test_a_tree_that_comes_and_goes_is_told_to_who_waits(root, opened, autojump_clock):
    async with opened() as store:
        assert store.available() == ()
        place = shop_tree(root, "1.0.0")
        with trio.fail_after(10.0):
            await store.changed()
        assert store.available() == (ONE,)

        remove_tree(place)
        with trio.fail_after(10.0):
            await store.changed()
        assert store.available() == ()


async def test_a_tree_whose_files_still_change_is_waited_for(root, opened, describer, autojump_clock):
    """By its clock no file is old: two looks in a row must find the same."""
    async with opened(late=False) as store:
        place = shop_tree(root, "1.0.0")
        for number in range(3):
            (place / f"{number}.txt").touch()
            await trio.sleep(TREES_RESCAN_S + 0.1)
            assert store.report()[0].copying
        assert store.available() == ()
        assert describer.asked == []
        await look()
        assert store.available() == (ONE,)
        assert not store.report()[0].copying


async def test_a_bad_tree_is_reported_and_the_others_work(root, opened, describer, caplog, autojump_clock):
    describer.failing[TWO] = "no module named nowhere"
    shop_tree(root, "1.0.0")
    shop_tree(root, "1.1.0")
    (root / "empty" / "1.0.0").mkdir(parents=True)
    with caplog.at_level(logging.WARNING):
        async with opened() as store:
            assert store.available() == (ONE,)
            reports = {report.tree: report for report in store.report()}
            assert reports["shop/1.1.0"].problems == (f"{TWO}: no module named nowhere",)
            assert "no aether.toml" in reports["empty/1.0.0"].problems[0]
            for _ in range(3):
                await look()
    told = [record.message for record in caplog.records]
    assert sum("nowhere" in line for line in told) == 1, "once, and not at each look"
    assert sum("no aether.toml" in line for line in told) == 1


async def test_what_is_odd_about_a_tree_is_told_once_and_not_at_each_try(
    root, opened, describer, caplog, autojump_clock
):
    describer.failing[ONE] = "its import took more than 30 s"
    write_tree(root, str(ONE), {"shop.py": shop_code("1.0.0")}, name="shop/latest")
    with caplog.at_level(logging.WARNING):
        async with opened():
            await trio.sleep(TREE_RETRY_MIN_S * 8)
    assert len(describer.asked) >= 3
    told = [record.message for record in caplog.records]
    assert sum("called latest" in line for line in told) == 1


async def test_a_tree_that_fails_is_tried_again_ever_more_rarely(root, opened, describer, autojump_clock):
    describer.failing[ONE] = "its import took more than 30 s"
    shop_tree(root, "1.0.0")
    async with opened() as store:
        await trio.sleep(TREE_RETRY_MIN_S * 8)
        assert 3 <= len(describer.asked) <= 4
        describer.failing.clear()
        await store.rescan(eager=True)
        assert store.available() == (ONE,)


async def test_a_tree_that_is_mended_is_looked_into_at_once(root, opened, describer, autojump_clock):
    place = root / "shop" / "1.0.0"
    place.mkdir(parents=True)
    async with opened() as store:
        assert store.available() == ()
        shop_tree(root, "1.0.0")
        await look()
        assert store.available() == (ONE,)


async def test_of_two_trees_with_one_artifact_the_first_is_used(root, opened, autojump_clock):
    shop_tree(root, "1.0.0")
    async with opened() as store:
        write_tree(root, str(ONE), {"shop.py": shop_code("1.0.0")}, name="a-shop/1.0.0")
        await look()
        assert (await store.load(ONE)).program.path[0] == str(root / "shop" / "1.0.0")
        double = next(report for report in store.report() if report.tree == "a-shop/1.0.0")
        assert "shop/1.0.0 has it too" in double.problems[0]
        assert double.artifacts == ()

        remove_tree(root / "shop" / "1.0.0")
        await look()
        assert (await store.load(ONE)).program.path[0] == str(root / "a-shop" / "1.0.0")


async def test_a_tree_that_changes_in_place_is_told_and_described_anew(root, opened, describer, caplog, autojump_clock):
    place = shop_tree(root, "1.0.0")
    with caplog.at_level(logging.WARNING):
        async with opened() as store:
            (place / "more.py").write_text("x = 1\n")
            await look()
            assert store.available() == (ONE,)
    assert describer.asked == ["shop/1.0.0", "shop/1.0.0"]
    assert any("has changed, and a version is what it was" in record.message for record in caplog.records)


async def test_a_directory_that_cannot_be_read_is_taken_for_what_it_was(root, opened, autojump_clock):
    """A file system that is away for a moment must not take every version with it."""
    shop_tree(root, "1.0.0")
    async with opened() as store:
        root.rename(root.with_name("away"))
        await look()
        assert store.available() == (ONE,)
        assert store.report()[0].problems
        root.with_name("away").rename(root)
        await look()
        assert [report.problems for report in store.report()] == [()]
