"""Versions are ordered and ranges hold what Semantic Versioning 2.0.0 and the reference say."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.errors import BadInput
from aether.model.version import Version, VersionRange

PARSE = Version.parse

# Section 11 of the specification, in its own order.
ORDERED = [
    "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1",
    "1.0.0", "1.0.1", "1.2.0", "1.10.0", "2.0.0",
]  # fmt: skip


@pytest.mark.parametrize(("low", "high"), list(itertools.combinations(ORDERED, 2)))
def test_order_is_that_of_the_specification(low, high):
    """The original sorted a release before its own pre-releases, and so rolled back where it should roll on."""
    assert PARSE(low) < PARSE(high)
    assert not PARSE(high) < PARSE(low)
    assert PARSE(low) != PARSE(high)


def test_build_metadata_takes_no_part_in_order_and_equality():
    """Section 10 of the specification."""
    one, two = PARSE("1.0.0+a"), PARSE("1.0.0+b")

    assert one == two
    assert hash(one) == hash(two)
    assert str(one) != str(two)


PARTS = st.integers(0, 999_999_999)
VERSIONS = st.builds(
    Version, PARTS, PARTS, PARTS, st.sampled_from(["", "rc.1", "alpha", "0", "a-b.7"]), st.sampled_from(["", "sha.5"])
)


@given(VERSIONS)
def test_text_and_value_are_two_forms_of_one_thing(version):
    """Versions travel and are stored as text."""
    read = Version.parse(str(version))

    assert (read, read.pre, read.build) == (version, version.pre, version.build)


@given(VERSIONS, VERSIONS, VERSIONS)
def test_order_is_total(a, b, c):
    """Sorting and `max` rely on it."""
    assert (a < b) + (a == b) + (a > b) == 1
    if a <= b <= c:
        assert a <= c


@pytest.mark.parametrize(
    "text",
    ["", "1", "1.2", "1.2.3.4", "01.2.3", "1.02.3", "v1.2.3", "1.2.3-", "1.2.3-a..b", "1.2.3+", " 1.2.3", "1.2.3\n"],
)
def test_what_is_no_version_is_refused_with_the_rule(text):
    """Guessing `1.2` to be 1.2.0 would give one version two names."""
    with pytest.raises(BadInput, match=r"is no version: write major\.minor\.patch"):
        Version.parse(text)


def test_a_huge_number_is_refused_before_it_costs_anything():
    """Versions come in from outside."""
    with pytest.raises(BadInput):
        Version.parse("1.2." + "9" * 100_000)


RANGES = {
    "1.2.3": (["1.2.3", "1.2.3+build"], ["1.2.2", "1.2.4", "1.2.3-rc.1"]),
    "^1.2": (["1.2.0", "1.99.0"], ["1.1.9", "2.0.0"]),
    "^0.2.3": (["0.2.3", "0.2.99"], ["0.2.2", "0.3.0"]),
    "^0.0.3": (["0.0.3"], ["0.0.4", "0.0.2"]),
    "~1.2.3": (["1.2.3", "1.2.99"], ["1.2.2", "1.3.0"]),
    ">=1.2": (["1.2.0", "9.0.0"], ["1.1.9", "1.2.0-rc.1"]),
    ">1.2.0": (["1.2.1"], ["1.2.0"]),
    "<=1.2": (["1.2.0", "0.0.1"], ["1.2.1"]),
    "<2": (["1.9.9"], ["2.0.0"]),
    "[1.0,2.0)": (["1.0.0", "1.9.9"], ["0.9.9", "2.0.0"]),
    "(1.0.0,2.0.0]": (["1.0.1", "2.0.0"], ["1.0.0", "2.0.1"]),
    "[1.0,)": (["1.0.0", "99.0.0"], ["0.9.9"]),
    "(,2.0)": (["0.0.0"], ["2.0.0"]),
    "*": (["0.0.0", "9.9.9-rc.1"], []),
    " ^1.2 ": (["1.3.0"], ["2.0.0"]),
}


@pytest.mark.parametrize("text", RANGES)
def test_a_range_holds_what_its_form_says(text):
    """Each form, with what lies just inside and just outside."""
    inside, outside = RANGES[text]
    versions = VersionRange.parse(text)

    assert [v for v in inside if PARSE(v) not in versions] == []
    assert [v for v in outside if PARSE(v) in versions] == []
    assert str(versions) == text


@pytest.mark.parametrize("text", ["", "^", "^x", "1.2", "[1,2", "[1;2]", "=>1", "[a,b]", "1.x"])
def test_what_is_no_range_is_refused(text):
    """A misspelt range must not hold everything."""
    with pytest.raises(BadInput):
        VersionRange.parse(text)


def test_the_newest_is_the_highest_release_and_a_pre_release_only_when_there_is_no_other():
    """Nobody gets a release candidate because it happens to be in range."""
    candidates = [PARSE("1.0.0"), PARSE("1.3.0-rc.1"), PARSE("1.2.0"), PARSE("2.0.0")]

    assert VersionRange.parse("^1").newest(candidates) == PARSE("1.2.0")
    assert VersionRange.parse("^1").newest([PARSE("1.3.0-rc.1"), PARSE("1.3.0-rc.2")]) == PARSE("1.3.0-rc.2")
    assert VersionRange.parse("^3").newest(candidates) is None


@given(VERSIONS, st.lists(VERSIONS, max_size=6))
def test_the_newest_of_a_range_is_in_the_range(low, candidates):
    """And there is one whenever a candidate fits."""
    versions = VersionRange.parse(f">={low}")
    newest = versions.newest(candidates)

    assert newest is None or (newest in versions and newest in candidates)
    assert (newest is None) == (not any(v in versions for v in candidates))


def test_the_pre_release_of_the_next_major_version_is_not_compatible():
    """2.0.0-rc.1 sorts before 2.0.0, and breaks what 2.0.0 breaks."""
    assert PARSE("2.0.0-rc.1") not in VersionRange.parse("^1.2")


def test_digits_are_ascii():
    """Two spellings of one version would be two directories."""
    with pytest.raises(BadInput):
        Version.parse("1\u0662.0.0")


def test_a_numeric_pre_release_identifier_has_no_leading_zero():
    """Section 9 of the specification; two spellings of one version would be two directories."""
    with pytest.raises(BadInput):
        Version.parse("1.0.0-01")
