"""Limits have a unit, a value and relations that hold."""

import re
from pathlib import Path

import pytest

from aether.model import limits

NAMES = [name for name in vars(limits) if name.isupper()]


@pytest.mark.parametrize("name", NAMES)
def test_every_limit_is_a_positive_number(name):
    """0 or a negative number would mean 'nothing ever' or, read carelessly, 'no limit'."""
    value = getattr(limits, name)

    assert type(value) in (int, float)
    assert value > 0


@pytest.mark.parametrize("name", [n for n in NAMES if isinstance(getattr(limits, n), float)])
def test_what_is_no_count_is_in_seconds_or_a_share(name):
    """Milliseconds next to seconds are how time-outs become a thousand times too long."""
    is_share = name.endswith("_SHARE") and getattr(limits, name) < 1.0
    assert is_share or re.search(r"_S(_|$)", name), f"{name} is a float: seconds, with _S in its name, or a share of 1"


def test_lower_and_upper_ends_are_in_order():
    """A back-off whose start lies above its end would never grow."""
    for name in NAMES:
        if "_MIN" in name and name.replace("_MIN", "_MAX") in NAMES:
            assert getattr(limits, name) < getattr(limits, name.replace("_MIN", "_MAX")), name


def test_the_relations_are_checked_at_import():
    """Changing one limit alone must fail loudly: here a proposal no longer fits an AppendEntries."""
    source = Path(limits.__file__).read_text()
    broken = source.replace("APPEND_BYTES_MAX: Final = 1 * 2**20", "APPEND_BYTES_MAX: Final = 1 * 2**10")
    assert broken != source

    with pytest.raises(AssertionError):
        exec(compile(broken, "limits", "exec"), {"__name__": "limits"})


def test_a_dead_node_is_replaced_well_before_a_call_to_it_runs_out_of_time():
    """Silence, one look and a start fit into the default deadline of a call."""
    assert limits.MEMBER_LOST_S + limits.RECONCILE_FLOOR_S < limits.CALL_DEADLINE_S / 2
