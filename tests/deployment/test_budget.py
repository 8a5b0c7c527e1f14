"""The disruption budget as arithmetic."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.deployment.budget import needed, spare, wanted_in_all
from aether.model.artifact import Artifact
from aether.model.ids import Incarnation, InstanceId, NodeId
from aether.model.lifecycle import SliceState
from aether.model.rows import DesiredRow, InstanceRow
from aether.model.version import Version

PRICING = Artifact.parse("shop:pricing:1.0.0")
S = SliceState


def rows(*states):
    return [
        InstanceRow(
            instance=InstanceId(f"a{n}"),
            artifact=PRICING,
            node=NodeId("n"),
            incarnation=Incarnation("i"),
            state=state,
        )
        for n, state in enumerate(states)
    ]


def wish(instances, min_available="", **fields):
    return DesiredRow(artifact=PRICING, instances=instances, blueprint="app", min_available=min_available, **fields)


@pytest.mark.parametrize(
    ("text", "wanted", "found"),
    [("", 5, 0), ("2", 5, 2), ("9", 5, 5), ("60%", 5, 3), ("50%", 5, 3), ("1%", 5, 1), ("100%", 5, 5), ("0", 5, 0)],
)
def test_a_number_counts_and_a_share_is_rounded_up(text, wanted, found):
    """Half of five must not leave two."""
    assert needed(text, wanted) == found


@given(st.text(max_size=6), st.integers(0, 1000))
def test_whatever_the_text_says_no_more_is_needed_than_wanted(text, wanted):
    """A budget that can never be kept would stop every drain for ever, and scaling down too."""
    assert 0 <= needed(text, wanted) <= wanted


def test_what_cannot_be_read_protects_everything():
    """A row of a newer release must not take a service down."""
    assert needed("most", 3) == 3


def test_only_what_serves_can_be_spared():
    """A starting instance serves nobody yet, a stopping one no more."""
    found = rows(S.ACTIVE, S.ACTIVE, S.ACTIVE, S.ACTIVATING, S.DEACTIVATING, S.FAILED)

    assert spare(found, wish(4, "2")) == 1
    assert spare(found[2:], wish(4, "2")) == 0
    assert spare(found, wish(4)) == 3


def test_a_share_is_meant_of_both_versions_and_a_singleton_is_one():
    both = wish(2, "50%", beside=Version.parse("2.0.0"), beside_instances=2)

    assert wanted_in_all(both) == 4
    assert spare(rows(S.ACTIVE, S.ACTIVE, S.ACTIVE), both) == 1
    assert wanted_in_all(wish(5, singleton=True)) == 1
