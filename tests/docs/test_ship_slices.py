"""The page on trees of slices is typed in as it stands, with the trees of the example."""

import re
import shutil
from pathlib import Path

import pytest

from aether.cli.main import run
from aether.hosting.trees import scan_trees

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "howto" / "ship-slices.md").read_text()
EXAMPLE = ROOT / "examples" / "slice_trees"

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]


@pytest.fixture
def slices(tmp_path, monkeypatch):
    """The example, where the page has it."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(EXAMPLE, tmp_path / "slices")
    return tmp_path / "slices"


def test_the_metadata_on_the_page_is_that_of_the_example():
    (shown,) = re.findall(r'^```toml title="slices/(\S+)"\n(.*?)^```', PAGE, flags=re.M | re.S)

    assert (EXAMPLE / shown[0]).read_text() == shown[1]


def test_checking_prints_what_the_page_says(slices, capsys):
    (shown,) = re.findall(r"^\$ aether slices check slices\n(.*?)^```", PAGE, flags=re.M | re.S)

    assert run(["slices", "check", "slices"]) == 0
    assert capsys.readouterr().out == shown


def test_a_tree_that_cannot_be_used_is_told_with_exit_code_1(slices, capsys):
    (slices / "pricing" / "1.1.0" / "pricing.py").write_text("import nowhere_to_be_found\n")

    assert run(["slices", "check", "slices", "-o", "json"]) == 1
    said = capsys.readouterr().out
    assert "nowhere_to_be_found" in said
    assert '"shop:pricing:1.0.0"' in said


def test_a_directory_that_is_not_there_is_a_failure_with_a_way_out(slices, capsys):
    assert run(["slices", "check", "absent"]) != 0
    assert "create the directory" in capsys.readouterr().err


def test_moving_a_tree_in_as_the_page_does_makes_it_appear_whole(slices):
    """Its commands, in Python: what begins with a dot is not looked at."""
    shutil.copytree(slices / "pricing" / "1.1.0", slices / ".incoming" / "pricing-1.2.0")
    assert len(scan_trees(slices)) == 2
    (slices / ".incoming" / "pricing-1.2.0").rename(slices / "pricing" / "1.2.0")
    assert len(scan_trees(slices)) == 3
