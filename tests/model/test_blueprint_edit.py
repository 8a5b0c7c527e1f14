"""Another version in a text, and nothing else."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.model.artifact import ArtifactBase
from aether.model.blueprint_edit import with_version
from aether.model.version import Version

PRICING, STOCK = ArtifactBase.parse("shop:pricing"), ArtifactBase.parse("shop:stock")
TWO = Version.parse("2.0.0")

TEXT = """# the shop; "shop:pricing:1.0.0" stood here since May, don't touch
id = "shop:1.0.0"

[[slices]]   # prices
artifact   =   'shop:pricing:1.0.0'  # exact: "shop:pricing:1.0.0"
instances = {min = 1, max = 4}
config = { "old" = "shop:pricing:1.0.0" }

[[slices]]
artifact = "shop:stock:^1.2"
"""


def test_comments_and_layout_stay():
    """The text belongs to a person."""
    assert with_version(TEXT, PRICING, TWO) == TEXT.replace(
        "artifact   =   'shop:pricing:1.0.0'", 'artifact   =   "shop:pricing:2.0.0"'
    )


def test_a_range_that_allows_the_version_stays_and_another_becomes_the_version():
    """`^1.2` is what its author means, as long as it holds."""
    assert with_version(TEXT, STOCK, Version.parse("1.3.0")) == TEXT
    assert with_version(TEXT, STOCK, TWO) == TEXT.replace("shop:stock:^1.2", "shop:stock:2.0.0")


def test_a_slice_that_the_text_does_not_name_changes_nothing():
    """A dependency stands in no text."""
    assert with_version(TEXT, ArtifactBase.parse("shop:other"), TWO) == TEXT


names = st.from_regex(r"[a-z]{1,4}", fullmatch=True)
SPELLINGS = (
    '"{0}"',
    "'{0}'",
    '"""{0}"""',
    "'''{0}'''",
    '"\\u0073hop:{1}"',
)
fillers = st.sampled_from(
    ["", "# a comment with \"quotes\" and 'such'\n", '# shop:a:1.0.0 "shop:a:1.0.0"\n', "\n\n", "  # don't\n"]
)


@st.composite
def blueprints(draw):
    found = draw(st.lists(names, min_size=1, max_size=4, unique=True))
    tables = draw(st.booleans())
    text = draw(fillers) + 'id = "x"\n'
    for name in found:
        artifact = f"shop:{name}:1.0.0"
        spelt = draw(st.sampled_from(SPELLINGS)).format(artifact, artifact.removeprefix("shop:"))
        text += draw(fillers)
        text += f"[slices.{name}]\n" if tables else "[[slices]]\n"
        decoy = f"config = {{ a = \"{artifact}\", b = 'shop:{found[0]}:1.0.0' }}\n" if draw(st.booleans()) else ""
        before = draw(st.booleans())
        text += (decoy if before else "") + f"artifact = {spelt} # {artifact}\n" + ("" if before else decoy)
        text += draw(fillers)
    return text, found


@given(blueprints(), st.data())
def test_read_as_data_only_the_one_value_differs_and_every_line_but_one_stays(drawn, data):
    """Whatever the spelling, and whatever looks alike in comments and in configuration."""
    text, found = drawn
    name = data.draw(st.sampled_from(found))

    changed = with_version(text, ArtifactBase.parse(f"shop:{name}"), TWO)

    before, after = tomllib.loads(text), tomllib.loads(changed)
    slices = before["slices"].values() if isinstance(before["slices"], dict) else before["slices"]
    (entry,) = [entry for entry in slices if entry["artifact"] == f"shop:{name}:1.0.0"]
    entry["artifact"] = f"shop:{name}:2.0.0"
    assert after == before
    old, new = text.split("\n"), changed.split("\n")
    assert len(old) == len(new)
    assert sum(a != b for a, b in zip(old, new, strict=True)) == 1


@pytest.mark.parametrize("version", ["1.0.0", "2.0.0"])
def test_it_is_idempotent(version):
    once = with_version(TEXT, PRICING, Version.parse(version))
    assert with_version(once, PRICING, Version.parse(version)) == once


@pytest.mark.parametrize("number", ["nan", "-nan", "inf", "-0.0", "1e400"])
def test_a_number_that_is_not_even_itself_stands_in_no_way(number):
    text = f'[[slices]]\nartifact = "shop:pricing:1.0.0"\nconfig = {{ limit = {number} }}\n'
    changed = with_version(text, ArtifactBase.parse("shop:pricing"), Version.parse("2.0.0"))
    assert changed == text.replace("1.0.0", "2.0.0")
