"""What makes a release: changelog out of fragments, one version, what wheel and sdist hold, oldest requirements."""

import importlib.util
import re
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


changelog, dist, lowest = script("changelog"), script("dist"), script("lowest")


def test_every_fragment_can_stand_in_the_changelog():
    """Links of a fragment are those of CHANGELOG.md: from the top of the project."""
    found = changelog.fragments(ROOT / "changelog.d")
    text = changelog.section(PROJECT["version"], "2026-11-29", found.values())

    assert text.count("\n- ") == len(found)
    for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        assert link.startswith("http") or (ROOT / link).exists(), link
    whole = changelog.with_section((ROOT / "CHANGELOG.md").read_text(), text)
    assert changelog.released(whole)[0] == PROJECT["version"]


def test_a_version_is_released_once():
    text = changelog.section("0.1.0", "2026-11-29", ["first"])
    whole = changelog.with_section(f"# Changelog\n\n{changelog.UNRELEASED}", text)

    assert whole.endswith("## 0.1.0 (2026-11-29)\n\n- first\n")
    with pytest.raises(ValueError, match="already"):
        changelog.with_section(whole, text)
    with pytest.raises(ValueError, match="Unreleased"):
        changelog.with_section("# Changelog\n", text)


@given(
    st.lists(st.text(st.characters(codec="ascii", exclude_categories=["C"]), min_size=1).filter(str.strip), max_size=4)
)
def test_a_fragment_is_one_point_whatever_is_in_it(texts):
    lines = changelog.section("1.0.0", "2026-11-29", [f"{text}\nand more" for text in texts]).split("\n")

    assert len([line for line in lines if line.startswith("- ")]) == len(texts)
    assert [line for line in lines[2:] if line and not line.startswith(("- ", "  "))] == []


@pytest.mark.parametrize(("name", "text"), [("0001-a.md", " \n"), ("a.md", "text")])
def test_a_fragment_without_words_or_number_is_refused(name, text, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=name):
        changelog.fragments(tmp_path)


def test_the_version_stands_in_one_place():
    said = re.compile(rf'(?<![\w.])(__version__|VERSION = "{re.escape(PROJECT["version"])}")')
    guilty = [str(path.relative_to(ROOT)) for path in (ROOT / "src").rglob("*.py") if said.search(path.read_text())]

    assert guilty == []
    assert "dynamic" not in PROJECT


def test_every_requirement_has_a_lower_bound():
    extras = [name for name in PROJECT["optional-dependencies"] if name != "all"]
    pins = list(lowest.lowest(lowest.direct(PROJECT, extras)))

    assert len(pins) == len(set(pins)) > 15
    assert all(re.fullmatch(r"[\w-]+==\d+(\.\d+)*", pin) for pin in pins)
    with pytest.raises(ValueError, match="lower bound"):
        list(lowest.lowest(["trio"]))


def test_the_wheel_is_tried_with_every_extra():
    """`all` names each; nox installs them one by one, since only those have bounds."""
    (whole,) = PROJECT["optional-dependencies"]["all"]
    tried = re.search(r"WHEEL_EXTRAS = \((.*)\)", (ROOT / "noxfile.py").read_text())[1]

    assert set(re.findall(r'"(\w+)"', tried)) == Requirement(whole).extras
    assert Requirement(whole).extras == set(PROJECT["optional-dependencies"]) - {"all"}


def pair(folder, extra="", less=""):
    """A wheel and an sdist by the rules, but for a file more in both, or a file less."""
    folder.mkdir()
    own = dist.kept("src") | dist.kept("examples/order_demo")
    wheel = {name.removeprefix("src/").replace("examples/order_demo", "aether/forge/order_demo", 1) for name in own}
    with zipfile.ZipFile(folder / "a.whl", "w") as archive:
        for name in sorted({*wheel, "a.dist-info/licenses/LICENSE", extra} - {less, ""}):
            archive.writestr(name, "")
    whole = set(dist.BESIDE) | {name for part in dist.IN_SDIST for name in dist.kept(part)}
    with tarfile.open(folder / "a.tar.gz", "w:gz") as archive:
        for name in sorted({*whole, extra} - {less, ""}):
            archive.addfile(tarfile.TarInfo(f"a-1/{name}"))
    return list(dist.problems(folder))


def test_what_is_wrong_with_a_distribution_is_seen(tmp_path):
    assert pair(tmp_path / "a") == []
    assert len(pair(tmp_path / "b", extra="aether/node.key")) == 3  # strange in both, and not ours in the wheel
    assert pair(tmp_path / "c", less="aether/py.typed") == ["aether/py.typed is missing in the wheel"]
    assert pair(tmp_path / "d", less="LICENSE") == ["LICENSE is missing in the sdist"]
    (tmp_path / "e").mkdir()
    assert "0 wheels" in next(dist.problems(tmp_path / "e"))
