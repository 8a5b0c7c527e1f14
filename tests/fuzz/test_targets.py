"""The targets of the fuzzer, driven by hypothesis: from nothing, and from what nearly fits."""

import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.fuzz.targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=300, deadline=None)
@example(raw=b"")
@given(raw=st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(name, raw):
    TARGETS[name].run(raw)


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 2**32), changes=st.integers(0, 8))
def test_what_nearly_fits_is_read_or_refused(name, seed, changes):
    rng = random.Random(seed)
    raw = bytearray(rng.choice(TARGETS[name].seeds))
    for _ in range(changes):
        at = rng.randrange(len(raw) + 1)
        match rng.randrange(3):
            case 0:
                raw[at:at] = rng.randbytes(rng.randrange(5))
            case 1:
                del raw[at : at + rng.randrange(5)]
            case _:
                raw[at : at + 1] = rng.randbytes(1)
    TARGETS[name].run(bytes(raw))
