"""What a scan makes of a directory: good trees, bad ones, and what nobody should run."""

import os

import pytest

from aether.errors import BadInput
from aether.hosting import trees
from aether.hosting.trees import check_directory, read_metadata, scan_trees
from aether.model.artifact import Artifact
from aether.testing.trees import shop_tree, write_tree

PRICING = """import aether


@aether.slice(artifact="{0}")
class Pricing:
    async def quote(self) -> int:
        return 1
"""


@pytest.fixture
def root(tmp_path):
    found = tmp_path / "slices"
    found.mkdir()
    return found


def only(root):
    (tree,) = scan_trees(root)
    return tree


def put(root, text, name="pricing/1.0.0"):
    place = root / name
    place.mkdir(parents=True)
    (place / "aether.toml").write_text(text)
    return place


def test_a_tree_is_found_with_its_slices_and_search_path(root):
    place = shop_tree(root, "1.0.0")
    tree = only(root)

    assert (tree.name, tree.problem, tree.note) == ("shop/1.0.0", "", "")
    assert [(str(s.artifact), s.module, s.qualname) for s in tree.slices] == [("e2e:shop:1.0.0", "shop", "Shop")]
    assert tree.path == (str(place),)


def test_a_directory_without_trees_has_none(root):
    (root / "README").write_text("hello")
    (root / "empty").mkdir()

    assert scan_trees(root) == ()


def test_what_is_built_behind_a_dot_is_not_looked_at(root):
    put(root, "", ".incoming/pricing")
    put(root, "", "pricing/.1.0.0")

    assert scan_trees(root) == ()


def test_the_stamp_tells_every_change_of_a_file_but_not_of_compiled_ones(root):
    place = shop_tree(root, "1.0.0")
    before = only(root).stamp
    (place / "__pycache__").mkdir()
    (place / "__pycache__" / "shop.pyc").write_bytes(b"x")
    assert only(root).stamp == before

    (place / "more.py").write_text("x = 1\n")
    changed = only(root).stamp
    assert changed != before
    os.utime(place / "more.py", ns=(0, 0))
    assert only(root).stamp not in (before, changed)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("artifact = ", "Invalid value"),
        ('artifact = "shop:pricing:1.0.0"', 'write "module:Class"'),
        ('slice = "pricing:Pricing"', "group:name:version"),
        ('artifact = "shop:pricing"\nslice = "pricing:Pricing"', "artifact"),
        ('artifact = "shop:pricing:1.0.0"\nslice = "pricing"', "module:Class"),
        ('artifact = "shop:pricing:1.0.0"\nslice = "__import__(\'os\'):X"', "module:Class"),
        ('artifact = "shop:pricing:1.0.0"\nslice = "pricing:Pricing"\ncolour = 1', "colour: unknown key"),
        ('artifact = "shop:pricing:1.0.0"\nslice = "pricing:Pricing"\npath = "."', "path"),
        ("slices = 3", r"\[\[slices\]\]"),
        ('[[slices]]\nartifact="a:b:1.0.0"\nslice="b:B"\n[[slices]]\nartifact="a:b:1.0.0"\nslice="b:C"', "named twice"),
    ],
)
def test_wrong_metadata_is_a_problem_of_its_tree_that_says_where(root, text, said):
    put(root, text)
    shop_tree(root, "1.0.0")
    bad, good = scan_trees(root)

    assert good.problem == ""
    assert "aether.toml" in bad.problem
    with pytest.raises(BadInput, match=said):
        read_metadata(text.encode())


def test_metadata_that_is_no_text_or_too_long_is_a_problem(root):
    (put(root, "") / "aether.toml").write_bytes(b"\xff\xfe")
    put(root, "#" * (trees.TREE_METADATA_BYTES_MAX + 1), "pricing/2.0.0")
    first, second = scan_trees(root)

    assert "aether.toml" in first.problem
    assert "bytes" in second.problem


@pytest.mark.parametrize(
    "text",
    [
        "x = " + "[" * 30_000,
        "x = " + "{a=" * 10_000,
        ".".join(["a"] * 20_000) + " = 1",
        "x = " + "1" * 60_000,
        'artifact = "a:b:1.0.0"\nslice = "m:C"\npath = ["a\\u0000b"]',
    ],
    ids=["arrays", "tables", "keys", "digits", "null byte"],
)
def test_metadata_beyond_all_measure_is_a_problem_of_its_tree_alone(root, text):
    put(root, text)
    shop_tree(root, "1.0.0")
    bad, good = scan_trees(root)

    assert bad.problem.startswith("aether.toml: ")
    assert good.problem == ""


def test_links_that_lead_nowhere_or_in_a_circle_leave_the_other_trees_alone(root):
    shop_tree(root, "1.0.0")
    odd = put(root, 'artifact = "a:b:1.0.0"\nslice = "m:C"\n', "b/1.0.0")
    for link, target in {"one": "two", "two": "one", "self": "self", "long": "x" * 300, "up": ".."}.items():
        (odd / link).symlink_to(target)
    put(root, "", "c/1.0.0")
    (root / "c" / "1.0.0" / "aether.toml").unlink()
    (root / "c" / "1.0.0" / "aether.toml").symlink_to("aether.toml")
    put(root, 'artifact = "a:d:1.0.0"\nslice = "m:C"\n', "d/1.0.0")
    (root / "d" / "2.0.0").symlink_to("x" * 300)
    (root / "long").symlink_to("x" * 300)
    found = {tree.name: tree.problem for tree in scan_trees(root)}

    assert found["shop/1.0.0"] == found["b/1.0.0"] == found["d/1.0.0"] == ""
    assert "aether.toml" in found["c/1.0.0"]
    assert found.keys() == {"shop/1.0.0", "b/1.0.0", "c/1.0.0", "d/1.0.0"}


def test_metadata_that_is_a_link_to_a_pipe_is_not_waited_for(root):
    place = put(root, "")
    (root / ".hidden").mkdir()
    os.mkfifo(root / ".hidden" / "pipe")
    (place / "aether.toml").unlink()
    (place / "aether.toml").symlink_to("../../.hidden/pipe")

    assert "aether.toml is no file" in only(root).problem


def test_names_that_are_no_text_or_several_lines_are_spelt(root):
    (root / os.fsdecode(b"\xff\xfe") / "1\n2").mkdir(parents=True)
    tree = only(root)

    assert tree.name == "\\udcff\\udcfe/1\\n2"
    tree.problem.encode()


def test_a_tree_without_metadata_is_not_complete(root):
    (root / "pricing" / "1.0.0").mkdir(parents=True)

    assert only(root).problem == "no aether.toml (yet)"


def test_several_slices_of_one_tree_share_its_path(root):
    slices = (f'[[slices]]\nartifact = "shop:{n}:1.0.0"\nslice = "shop.{n}:{n.title()}"\n' for n in ("till", "cart"))
    text = "path = ['src']\n" + "".join(slices)
    (put(root, text, "shop/1.0.0") / "src").mkdir()
    tree = only(root)

    assert [each.artifact for each in tree.slices] == [Artifact.parse(f"shop:{n}:1.0.0") for n in ("till", "cart")]
    assert tree.path == (str(root / "shop" / "1.0.0" / "src"),)
    assert (tree.problem, tree.note) == ("", "")


@pytest.mark.parametrize("path", ["/", "..", "../2.0.0", "absent", "aether.toml"])
def test_a_search_path_that_leaves_its_tree_is_refused(root, path):
    shop_tree(root, "2.0.0")
    put(root, f'artifact = "e2e:shop:1.0.0"\nslice = "shop:Shop"\npath = ["{path}"]', "shop/1.0.0")

    assert "no folder of the tree" in scan_trees(root)[0].problem


def test_folders_that_say_something_else_than_the_metadata_are_noted(root):
    write_tree(root, "shop:pricing:1.0.0", PRICING.format("shop:pricing:1.0.0"), name="pricing/latest")
    write_tree(root, "shop:pricing:2.0.0", PRICING.format("shop:pricing:2.0.0"), name="other/2.0.0")
    other, latest = scan_trees(root)

    assert "called latest" in latest.note
    assert "in other" in other.note
    assert (latest.problem, other.problem) == ("", "")


def test_links_that_lead_out_are_refused_and_other_names_of_a_tree_left_out(root, tmp_path):
    (tmp_path / "outside").mkdir()
    place = shop_tree(root, "1.0.0")
    (root / "shop" / "current").symlink_to(place)
    assert [tree.name for tree in scan_trees(root)] == ["shop/1.0.0"]

    (place / "inside").symlink_to(place / "shop.py")
    assert only(root).problem == ""
    (root / "shop" / "2.0.0").symlink_to(tmp_path / "outside")
    assert "leads out" in scan_trees(root)[1].problem
    (place / "secrets").symlink_to(tmp_path / "outside")
    assert "secrets is a link that leads out" in scan_trees(root)[0].problem


def test_what_everybody_may_write_to_is_refused(root):
    place = shop_tree(root, "1.0.0")
    (place / "shop.py").chmod(0o666)
    assert "everybody may write to shop.py" in only(root).problem

    root.chmod(0o777)
    with pytest.raises(BadInput, match="chmod o-w"):
        check_directory(root)


def test_files_of_another_user_are_refused(root):
    place = shop_tree(root, "1.0.0")
    with pytest.raises(trees._Unfit, match="chown"):
        trees._stamped(root, place, frozenset({place.stat().st_uid + 1}))


def test_pipes_and_devices_are_refused(root):
    os.mkfifo(shop_tree(root, "1.0.0") / "pipe")

    assert "neither a file nor a folder" in only(root).problem


def test_a_tree_that_is_too_large_is_refused(root, monkeypatch):
    place = shop_tree(root, "1.0.0")
    monkeypatch.setattr(trees, "TREE_FILES_MAX", 3)
    assert only(root).problem == ""
    for number in range(2):
        (place / f"{number}.txt").touch()
    assert "at most 3 files" in only(root).problem

    monkeypatch.setattr(trees, "TREE_FILES_MAX", 100)
    monkeypatch.setattr(trees, "TREE_BYTES_MAX", 10)
    assert "more" in only(root).problem


def test_further_trees_than_a_directory_may_have_are_told(root, monkeypatch):
    monkeypatch.setattr(trees, "TREES_MAX", 1)
    for version in ("1.0.0", "1.1.0", "2.0.0"):
        shop_tree(root, version)
    first, second = scan_trees(root)

    assert (first.problem, "left out" in second.problem) == ("", True)


def test_a_directory_that_is_none_is_refused_with_the_way_out(tmp_path):
    with pytest.raises(BadInput, match="create the directory"):
        check_directory(tmp_path / "absent")
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match="no directory"):
        check_directory(tmp_path / "file")
