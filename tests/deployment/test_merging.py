"""A blueprint's count and an override become one count."""

import attrs
from hypothesis import given
from hypothesis import strategies as st

from aether.deployment.merging import bounds, expired, is_void, merged, merged_count
from aether.model.artifact import Artifact
from aether.model.limits import INSTANCES_MAX
from aether.model.rows import DesiredRow, OverrideRow
from aether.model.version import Version

PRICING = Artifact.parse("shop:pricing:1.0.0")
counts = st.integers(0, 12)
NOW = 1_000.0


@st.composite
def rows(draw):
    low = draw(st.none() | counts)
    high = draw(st.none() | counts.filter(lambda n: n >= (low or 0)))
    return DesiredRow(
        artifact=PRICING,
        instances=draw(counts),
        wished=draw(st.none() | counts),
        instances_min=low,
        instances_max=high,
        blueprint="shop",
        beside=draw(st.none() | st.just(Version.parse("2.0.0"))),
    )


overrides = st.none() | st.builds(
    OverrideRow,
    artifact=st.just(PRICING.base),
    instances=counts,
    owner=st.sampled_from(["operator", "scaler", "ingress", "sleep"]),
    until=st.sampled_from([0.0, NOW - 1, NOW, NOW + 1]),
)


@given(rows(), overrides)
def test_a_merged_count_lies_within_the_bounds_and_says_what_holds(row, override):
    """Whoever wants more than the blueprint allows gets what it allows."""
    count = merged_count(row, override, NOW)

    low, high = bounds(row)
    assert low <= count <= high <= INSTANCES_MAX
    holds = override is not None and not is_void(row, override, NOW)
    wanted = override.instances if holds else row.instances if row.wished is None else row.wished
    assert count == wanted or (wanted < low and count == low) or (wanted > high and count == high)


@given(rows(), overrides)
def test_settling_once_is_enough_and_leaves_what_is_right(row, override):
    """The leader looks again and again: the second look finds nothing."""
    desired = {PRICING.base: row}
    known = {} if override is None else {PRICING.base: override}

    for base, settled in expired(known, desired, NOW).items():
        desired[base] = settled.row or desired[base]
        if settled.drop:
            del known[base]

    assert expired(known, desired, NOW) == {}
    if override is not None and row.beside is None:
        assert desired[PRICING.base] == merged(row, override, NOW)
        assert (PRICING.base in known) == (not is_void(row, override, NOW))


@given(rows(), overrides)
def test_an_update_under_way_keeps_its_counts(row, override):
    """The update moves instances itself; an override that ends meanwhile waits for it."""
    row = attrs.evolve(row, beside=Version.parse("2.0.0"))

    assert merged(row, override, NOW) == row
    assert expired({} if override is None else {PRICING.base: override}, {PRICING.base: row}, NOW) == {}


def test_an_override_of_what_nobody_wants_goes():
    """It must not wait there for the next slice of that name."""
    override = OverrideRow(artifact=PRICING.base, instances=3, owner="operator")

    assert expired({PRICING.base: override}, {}, NOW)[PRICING.base].drop


def test_what_let_a_slice_sleep_is_void_once_its_blueprint_says_that_it_may_not():
    """Else a slice that is wanted three times would sleep for ever, and no call would wake it."""
    slept = OverrideRow(artifact=PRICING.base, instances=0, owner="sleep")
    light = DesiredRow(artifact=PRICING, instances=0, wished=3, instances_min=0, blueprint="shop")

    assert merged_count(light, slept, NOW) == 0
    for low in (None, 1):
        row = attrs.evolve(light, instances_min=low)
        assert merged_count(row, slept, NOW) == 3
        settled = expired({PRICING.base: slept}, {PRICING.base: row}, NOW)[PRICING.base]
        assert (settled.drop, settled.row.instances) == (True, 3)
