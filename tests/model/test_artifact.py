"""Coordinates are read strictly, since they become keys of the store and names of directories."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.errors import BadInput
from aether.model.artifact import Artifact, ArtifactBase
from aether.model.version import Version

GROUPS = st.from_regex(r"[a-z][a-z0-9_-]{0,5}(\.[a-z][a-z0-9_-]{0,5}){0,2}", fullmatch=True)
NAMES = st.from_regex(r"[a-z0-9]{1,5}(-[a-z0-9]{1,5}){0,2}", fullmatch=True)


@given(GROUPS, NAMES, st.integers(0, 99))
def test_text_and_value_are_two_forms_of_one_thing(group, name, major):
    """Artifacts travel and are stored as text."""
    text = f"{group}:{name}:{major}.0.0"
    artifact = Artifact.parse(text)

    assert str(artifact) == text
    assert artifact == ArtifactBase(group, name).at(Version(major, 0, 0))
    assert ArtifactBase.parse(str(artifact.base)) == artifact.base


def test_a_group_of_one_segment_is_allowed():
    """The original wanted two; a small application has one name."""
    assert ArtifactBase.parse("shop:pricing").group == "shop"


@pytest.mark.parametrize(
    "text",
    [
        *("", ":", "shop", "shop:", ":pricing", "shop:pricing:1.0.0", "Shop:pricing", "shop:Pricing", "shop:-a"),
        *("shop:a-", "shop:a--b", "shop:a_b", "shop..x:a", ".shop:a", "1shop:a", "shop/x:a", "shop:a/../b", "shop:a\n"),
        *("shop :a", "shöp:a", "shop:a b"),
    ],
)
def test_what_is_no_artifact_is_refused_with_the_rule(text):
    """A slash or a dot-dot in a name would one day be a path."""
    with pytest.raises(BadInput, match=r"is no artifact: write group:artifact in lower case"):
        ArtifactBase.parse(text)


@pytest.mark.parametrize("text", ["", "1.0.0", ":1.0.0", "shop:1.0.0", "a:b:c:1.0.0", "a:b:", "a:b:1.0", "a:b:^1.0"])
def test_an_artifact_needs_all_three_parts(text):
    """A missing version must not mean 'any'."""
    with pytest.raises(BadInput):
        Artifact.parse(text)


def test_artifacts_sort_by_name_and_then_by_version():
    """Rows and listings come in this order."""
    texts = ["a:b:1.10.0", "a:b:1.9.0", "a:a:2.0.0", "a.x:a:1.0.0"]

    assert [str(a) for a in sorted(map(Artifact.parse, texts))] == [
        "a:a:2.0.0",
        "a:b:1.9.0",
        "a:b:1.10.0",
        "a.x:a:1.0.0",
    ]
